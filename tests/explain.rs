//! `tidegate explain` on the built program: beside a service, and after an import.

mod common;

use std::fs;
use std::path::Path;

use common::service::{SHORT, Service, up};
use common::{Event, Ran, lines, now_ms, run, tidegate, wait_for};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_log::partitioner::partition_of;

const TRACK: &str = "/v1/analytics/track";
/// 2026-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_767_225_600_000;

fn explain(dir: &Path, args: &[&str]) -> Ran {
    run(tidegate(dir).args(["explain", "--data-dir", "data"]).args(args))
}

fn explained(dir: &Path, job: &str, instant: i64, key: &str) -> Value {
    let instant = instant.to_string();
    let ran = explain(dir, &["--job", job, "--window", &instant, "--key", key, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).expect("JSON")
}

/// Two users, three clicks and two page views in the first minute of the year, another one later.
fn imported() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let event = |kind, user: &str, second: i64| {
        let agent = "Mozilla Mobile".to_owned();
        let load_time = Some(100);
        Event { kind, agent, load_time, ..Event::page_view(user, NEW_YEAR + second * 1_000) }
    };
    let events = [
        event("click", "a", 1),
        event("click", "a", 2),
        event("click", "b", 3),
        event("page_view", "a", 4),
        event("page_view", "a", 50),
        event("page_view", "b", 400),
    ];
    fs::write(dir.path().join("events.jsonl"), lines(&events)).expect("a file");
    let ran = run(tidegate(dir.path()).args(["import", "events.jsonl", "--data-dir", "data"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    dir
}

fn records(row: &Value) -> u64 {
    let shares = |epoch: &Value| epoch["partitions"].as_array().expect("a list").clone();
    let epochs = row["epochs"].as_array().expect("a list").iter();
    epochs.flat_map(shares).map(|share| share["records"].as_u64().expect("a number")).sum()
}

#[test]
fn an_imported_row_is_explained_by_its_epochs_and_offsets() {
    let dir = imported();
    let found = explained(dir.path(), "event_metrics", NEW_YEAR + 30_000, "click");
    assert_eq!(found["window"]["start"], "2026-01-01T00:00:00.000Z");
    let row = &found["rows"][0];
    assert_eq!((&row["state"], &row["records"]), (&"final".into(), &3.into()), "{found:#}");
    assert_eq!(records(row), 3, "{found:#}");
    let said = &row["said"][0];
    assert_eq!((&said["op"], &said["columns"]["event_count"]), (&"final".into(), &3.into()), "{found:#}");
    assert_eq!(row["stored"][0]["version"], said["epoch"], "{found:#}");
    assert_eq!((&found["waiting"], &found["untold"]), (&Value::Null, &Value::Array(Vec::new())));

    // The text says the same, and without a key there are all types.
    let text = explain(dir.path(), &["--job", "EventAggregator", "--window", "2026-01-01T00:00:30Z"]);
    assert_eq!(text.code, Some(0), "{}", text.err);
    for part in [
        "event_metrics (EventAggregator), window 2026-01-01T00:00:00.000Z to 2026-01-01T00:01:00.000Z\n",
        "click: final, said once, and not changed since\n",
        "  row        event_count 3, user_count 2 (version ",
        "page_view: final",
        "  made of    3 records in 1 epoch\n",
    ] {
        assert!(text.out.contains(part), "{part:?} in\n{}", text.out);
    }
}

#[test]
fn every_job_is_explained() {
    let dir = imported();
    let loads = explained(dir.path(), "performance_metrics", NEW_YEAR, "Mobile");
    assert_eq!(loads["rows"][0]["records"], 2, "{loads:#}");
    let session = explained(dir.path(), "session_metrics", NEW_YEAR + 20_000, "s-a");
    let row = &session["rows"][0];
    assert_eq!((&row["key"], &row["state"]), (&"s-a|a".into(), &"final".into()), "{session:#}");
    assert_eq!((&row["records"], &row["said"][0]["columns"]["page_count"]), (&2.into(), &2.into()));
    let windows = explained(dir.path(), "SessionOverview", NEW_YEAR, "Mobile");
    let row = &windows["rows"][0];
    assert_eq!(row["stored"][0]["columns"]["sessions"], 1, "{windows:#}");
    assert_eq!(row["epochs"][0]["sessions"][0]["columns"]["session_id"], "s-a", "{windows:#}");
}

#[test]
fn where_there_is_nothing_the_nearest_is_named() {
    let dir = imported();
    let nothing = explained(dir.path(), "event_metrics", NEW_YEAR + 120_000, "page_view");
    assert_eq!(nothing["rows"], Value::Array(Vec::new()));
    assert_eq!(nothing["nearest"]["before"], "2026-01-01T00:00:00.000Z", "{nothing:#}");
    assert_eq!(nothing["nearest"]["after"], "2026-01-01T00:06:00.000Z", "{nothing:#}");
    let session = explained(dir.path(), "session_metrics", NEW_YEAR - 7_200_000, "s-b");
    assert_eq!(session["nearest"]["after"], "2026-01-01T00:06:40.000Z", "{session:#}");
}

#[test]
fn what_was_pruned_and_removed_is_said() {
    let dir = imported();
    let journal = rusqlite::Connection::open(dir.path().join("data/journal.db")).expect("it opens");
    let prune = "UPDATE bindings SET body = json_remove(body, '$.origin');
                 DELETE FROM rows; UPDATE topics SET first_offset = next_offset;";
    journal.execute_batch(prune).expect("they go");
    let found = explained(dir.path(), "event_metrics", NEW_YEAR, "click");
    let untold = found["untold"].to_string();
    assert!(untold.contains("were pruned"), "{found:#}");
    assert!(untold.contains("rows of event_metrics were removed from the log"), "{found:#}");
    let row = &found["rows"][0];
    assert_eq!((&row["state"], &row["stored"][0]["columns"]["event_count"]), (&"final".into(), &3.into()));
    assert_eq!((&row["epochs"][0]["epoch"], records(row)), (&Value::Null, 3), "{found:#}");
}

#[test]
fn bad_questions_end_with_2_and_say_what_to_ask() {
    let dir = imported();
    let window = ["--window", "2026-01-01T00:00:00Z"];
    for (args, said) in [
        (vec!["--job", "clicks"], "performance_metrics (PerformanceTracker)"),
        (vec!["--job", "session_metrics"], "needs --key SESSION_ID"),
        (vec!["--job", "event_metrics", "--key", "clik"], "it counts page_view, click"),
        (vec!["--job", "performance_metrics", "--key", "Phone"], "there are Bot, Desktop, Mobile, Tablet"),
    ] {
        let ran = explain(dir.path(), &[&args[..], &window].concat());
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(said) && ran.err.contains(args[args.len() - 1]), "{args:?}: {}", ran.err);
    }
    let ran = explain(dir.path(), &["--job", "event_metrics", "--window", "yesterday"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("yesterday") && ran.err.contains("2026-01-01T00:00:30Z"), "{}", ran.err);
    let elsewhere = TempDir::new().expect("a temporary directory");
    let ran = explain(elsewhere.path(), &[&["--job", "event_metrics"][..], &window].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("there is no journal in data"), "{}", ran.err);
}

#[test]
fn corrections_drops_and_open_windows_are_explained_beside_the_service() {
    let dir = TempDir::new().expect("a temporary directory");
    let settings = ["--set", "jobs.allowed_lateness=1h", "--set", "time.future_tolerance=3h"];
    let service = Service::start(up(dir.path(), "data").args(SHORT).args(settings));
    let mut client = service.client("ingest");
    let mut send = |time: i64| {
        let event = Event { kind: "click", ..Event::page_view("a", time) };
        let answer = client.post(TRACK, &event.line()).expect("it answers");
        assert_eq!(answer.status, 202, "{}", answer.text());
    };
    let explained = |instant| explained(dir.path(), "event_metrics", instant, "click");
    let now = now_ms();

    send(now);
    // Before the first commit there is nothing to explain.
    wait_for("a commit", || {
        let ran = explain(dir.path(), &["--job", "event_metrics", "--window", &now.to_string()]);
        assert!(ran.code == Some(0) || ran.err.contains("no event was committed yet"), "{}", ran.err);
        (ran.code == Some(0)).then_some(())
    });
    let state = |instant| explained(instant)["rows"][0]["state"].clone();
    wait_for("the row to be final", || (state(now) == "final").then_some(()));
    send(now);
    wait_for("the row to be corrected", || (state(now) == "corrected").then_some(()));
    let found = explained(now);
    let row = &found["rows"][0];
    let ops: Vec<_> = row["said"].as_array().expect("a list").iter().map(|said| &said["op"]).collect();
    assert_eq!(ops, ["final", "correct"], "{found:#}");
    assert_eq!(row["said"][1]["columns"]["event_count"], 2, "{found:#}");
    let late: Vec<_> = row["epochs"].as_array().expect("a list").iter().map(|epoch| &epoch["late"]).collect();
    assert_eq!(late, [false, true], "{found:#}");

    let too_late = now - 2 * 3_600_000;
    send(too_late);
    wait_for("the record to be left out", || {
        let left_out = &explained(too_late)["rows"][0]["left_out"][0];
        (left_out["reason"] == "expired" && left_out["epoch"].is_u64()).then_some(())
    });
    assert_eq!(state(too_late), "nothing");

    let ahead = now + 2 * 3_600_000;
    send(ahead);
    let open = wait_for("the record to be in an epoch", || {
        let found = explained(ahead);
        (found["rows"][0]["records"] == 1).then_some(found)
    });
    assert_eq!(open["rows"][0]["state"], "open", "{open:#}");
    let waiting = &open["waiting"];
    assert!(waiting["short_ms"].as_i64().is_some_and(|short| short > 3_600_000), "{open:#}");
    assert!(waiting["held_by"] == "partitions" || waiting["held_by"] == "clock", "{open:#}");
    assert_eq!(waiting["partitions"].as_array().map(Vec::len), Some(6), "{open:#}");

    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
}

#[test]
fn what_a_job_gave_up_when_it_began_anew_is_said_never_to_come() {
    let dir = TempDir::new().expect("a temporary directory");
    let start = |window: &str, accept: &[&str]| {
        let mut command = up(dir.path(), "data");
        command.args(SHORT).args(["--set", &format!("jobs.event_window={window}")]);
        Service::start(command.args(accept))
    };
    let now = now_ms();
    let send = |service: &Service| {
        let event = Event { kind: "click", ..Event::page_view("a", now) };
        assert_eq!(service.client("ingest").post(TRACK, &event.line()).expect("it answers").status, 202);
    };
    let service = start("12h", &[]);
    send(&service);
    wait_for("the record to count", || {
        let asked = ["--job", "event_metrics", "--window", &now.to_string()];
        let ran = explain(dir.path(), &[&asked[..], &["--format", "json"]].concat());
        let found: Option<Value> = serde_json::from_str(&ran.out).ok();
        found.filter(|found| found["rows"][0]["records"] == 1)
    });
    assert_eq!(service.terminate().status.code(), Some(0));

    let service = start("24h", &["--accept-changed-jobs"]);
    send(&service);
    let found = wait_for("the other one to be in an epoch", || {
        let found = explained(dir.path(), "event_metrics", now, "click");
        found["rows"][0]["left_out"][1]["epoch"].is_u64().then_some(found)
    });
    let row = &found["rows"][0];
    assert_eq!((&row["state"], &row["records"]), (&"never".into(), &0.into()), "{found:#}");
    let reasons = ["given up: the job began anew in epoch ", "filtered: the job began anew in epoch "];
    for (left_out, reason) in row["left_out"].as_array().expect("a list").iter().zip(reasons) {
        assert!(left_out["reason"].as_str().is_some_and(|text| text.starts_with(reason)), "{found:#}");
    }
    assert_eq!((&found["waiting"], found["begun"]["epoch"].is_u64()), (&Value::Null, true), "{found:#}");
    assert_eq!(service.terminate().status.code(), Some(0));
}

#[test]
fn what_a_gap_gave_up_is_said_and_not_taken_for_what_came_after_it() {
    let dir = TempDir::new().expect("a temporary directory");
    let start = |accept: &[&str]| {
        let mut command = up(dir.path(), "data");
        Service::start(command.args(SHORT).args(["--set", "jobs.event_window=12h"]).args(accept))
    };
    let (now, old) = (now_ms(), now_ms() - 48 * 3_600_000);
    // Whoever moves the frontier is in another partition: each record is the first of its own, before the gap and
    // after it.
    let partition = |user: &str| partition_of(user.as_bytes(), 6);
    let other = ["b", "c", "d", "e"].into_iter().find(|user| partition(user) != partition("a"));
    let other = other.expect("not all are in one");
    let send = |service: &Service, user: &str, time: i64| {
        let event = Event { kind: "click", ..Event::page_view(user, time) };
        assert_eq!(service.client("ingest").post(TRACK, &event.line()).expect("it answers").status, 202);
    };
    let found = |instant: i64| {
        let asked = ["--job", "event_metrics", "--format", "json", "--window", &instant.to_string()];
        serde_json::from_str::<Value>(&explain(dir.path(), &asked).out).unwrap_or_default()
    };
    let left_out = |begun: bool| {
        wait_for("the record to be left out", || {
            let found = found(old);
            let is_read = found["rows"][0]["left_out"][0]["epoch"].is_u64();
            (is_read && found["begun"].is_object() == begun).then_some(found)
        })
    };
    let service = start(&[]);
    send(&service, other, now);
    wait_for("the frontier to move", || found(now)["as_of"]["frontier"].is_string().then_some(()));
    send(&service, "a", old);
    let before = left_out(false);
    assert_eq!(before["rows"][0]["left_out"][0]["reason"], "expired", "{before:#}");
    service.kill();

    for partition in fs::read_dir(dir.path().join("data/events")).expect("it is there") {
        for file in fs::read_dir(partition.expect("it is listed").path()).expect("it is a folder") {
            fs::remove_file(file.expect("it is listed").path()).expect("it is removed");
        }
    }
    // Nothing is bound before the record comes: of what comes later nothing is told, as the window cannot change.
    let service = start(&["--accept-gap", "--set", "time.idle_timeout=60s"]);
    send(&service, "a", old);
    send(&service, other, now);
    let after = left_out(true);
    let [before, record] = [&before, &after].map(|found| &found["rows"][0]["left_out"][0]);
    assert_eq!(record["offset"], before["offset"], "{after:#}");
    let filtered =
        record["reason"].as_str().is_some_and(|reason| reason.starts_with("filtered: the job began"));
    assert!(filtered && after["untold"].to_string().contains("was given up (--accept-gap)"), "{after:#}");
    let open = found(now);
    assert_eq!((&open["rows"][0]["state"], &open["waiting"]), (&"never".into(), &Value::Null), "{open:#}");
    assert_eq!(service.terminate().status.code(), Some(0));
}
