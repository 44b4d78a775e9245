//! What a run says of itself over HTTP, while it lives, recovers, waits and fails.
#![allow(missing_docs)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use support::exposition::{Page, checked};
use support::faults::{Faults, disk_full};
use support::{Deployment, NOON_MS, open, open_with};
use tidegate_dataflow::survey::Appended;
use tidegate_log::CommitError;
use tidegate_model::EventTime;
use tidegate_runner::Script;
use tidegate_runner::status::NotReady;

/// Ninety page views of five users, one each second; the clock goes along.
fn ninety_views(it: &Deployment) {
    for second in 0..90 {
        it.append(&format!("u{}", second % 5), NOON_MS + second * 1_000);
        it.clock.0.store(NOON_MS + second * 1_000, Ordering::SeqCst);
    }
}

fn value(page: &Page, series: &str) -> f64 {
    *page.get(series).unwrap_or_else(|| panic!("{series} is not among {:#?}", page.keys()))
}

/// Equal, as far as numbers of milliseconds go.
fn assert_value(page: &Page, series: &str, expected: f64) {
    let found = value(page, series);
    assert!((found - expected).abs() < 1e-6, "{series} is {found}, not {expected}");
}

/// The sum over the values of a label.
fn total(page: &Page, name: &str) -> f64 {
    page.iter().filter(|(series, _)| series.split('{').next() == Some(name)).map(|(_, value)| value).sum()
}

fn pointers(answer: &Value) -> Vec<&str> {
    let errors = answer["errors"].as_array().expect("every reason is listed");
    errors.iter().map(|error| error["pointer"].as_str().expect("text")).collect()
}

#[test]
fn a_live_run_says_where_everything_stands() {
    let dir = tempfile::tempdir().expect("a directory");
    let it = open(dir.path(), 2, NOON_MS);
    ninety_views(&it);
    it.until("all is committed", 0, |it| it.accepted() == 90);
    let in_flight = |it: &Deployment| total(&checked(&it.metrics()), "tidegate_in_flight_bytes");
    it.until("nothing is in flight", 0, |it| in_flight(it) < 1.0);
    it.until("an epoch without a record", 0, |it| {
        it.running.status().progress().newest.is_some_and(|newest| newest.survey.records == 0)
    });

    let status = it.get("/v1/status").json();
    assert_eq!((&status["state"], &status["version"]), (&json!("live"), &json!("1.2.3")), "{status:#}");
    assert_eq!(status["now_ms"], json!(NOON_MS + 89_000));
    let partitions = status["partitions"].as_array().expect("a list");
    assert_eq!(partitions.len(), 3);
    let offsets: u64 = partitions.iter().map(|it| it["offset"].as_u64().expect("a number")).sum();
    assert_eq!(offsets, 90, "{status:#}");
    assert!(partitions.iter().all(|it| it["lag_records"] == json!(0)), "{status:#}");
    assert_eq!(
        status["frontier"]["held_by"]["what"],
        json!("partitions"),
        "the clock stands: nobody is idle"
    );
    let holding = status["frontier"]["held_by"]["partitions"].as_array().expect("a list");
    assert!(!holding.is_empty() && holding.iter().all(|it| it["reason"].is_string()), "{status:#}");
    assert_eq!(status["open"]["SessionTracker"]["sessions"], json!(5), "{status:#}");
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["commit"]["waiting"], Value::Null);
    assert_eq!((&status["failure"], &status["last_error"]), (&Value::Null, &Value::Null));

    let ledger = it.get("/v1/ledger").json();
    assert_eq!(ledger["adds_up"], json!(true));
    assert_eq!(ledger["jobs"]["SessionTracker"]["accepted"], json!(90));
    assert_eq!(ledger["jobs"]["SessionTracker"]["adds_up"], json!(true));
    assert_eq!(it.get("/healthz").json(), json!({"status": "ok"}));
    let ready = it.get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, json!({"status": "ready"})));

    let page = checked(&it.metrics());
    assert_value(&page, "tidegate_ledger_events_total{job=\"SessionTracker\",outcome=\"counted\"}", 90.0);
    assert_value(&page, "tidegate_open_sessions", 5.0);
    assert_value(&page, "tidegate_build_info{version=\"1.2.3\"}", 1.0);
    assert_value(&page, "tidegate_replay_events_remaining", 0.0);
    assert_value(&page, "tidegate_epochs_uncommitted", 0.0);
    assert!((total(&page, "tidegate_partition_offset") - 90.0).abs() < 1e-6);
    assert!(total(&page, "tidegate_partition_holds_frontier") >= 1.0);
    let commits = value(&page, "tidegate_commit_duration_seconds_count");
    assert!(commits >= 1.0 && commits <= value(&page, "tidegate_epochs_committed_total"));

    let told = it.told.epochs();
    assert_eq!(told.iter().map(|epoch| epoch.records).sum::<u64>(), 90);
    let appended = told.iter().filter_map(|epoch| epoch.appended).reduce(Appended::and).expect("records");
    let noon = EventTime::from_millis(NOON_MS);
    assert!(appended.oldest == noon && appended.newest.since_ms(noon) <= 89_000, "{appended:?}");
    assert_eq!(
        told.iter().map(|epoch| epoch.provisional > 0).next(),
        Some(false),
        "nothing is known at first"
    );
    it.stop();
}

#[test]
fn what_holds_the_frontier_is_seen_while_nothing_is_committed() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::default();
    let it = open_with(dir.path(), 2, NOON_MS, Script::Live, &faults);
    it.append("u1", NOON_MS);
    it.until("it is committed", 0, |it| it.accepted() == 1);
    let holder = |it: &Deployment| it.get("/v1/status").json()["frontier"]["held_by"].clone();
    let committed = |it: &Deployment| it.get("/v1/status").json()["epoch"]["committed"].clone();
    faults.looks.store(true, Ordering::SeqCst);
    let before = committed(&it);
    it.clock.0.fetch_add(3_600_000, Ordering::SeqCst);
    it.until("the failing looks hold it", 0, |it| {
        let holder = holder(it);
        let partitions = holder["partitions"].as_array().expect("a list");
        !partitions.is_empty() && partitions.iter().all(|it| it["reason"] == json!("look_failed"))
    });
    assert_eq!(committed(&it), before, "nothing happened that could be committed");
    it.until("no lag is known", 0, |it| {
        !checked(&it.metrics()).keys().any(|series| series.starts_with("tidegate_partition_lag_records"))
    });
    faults.looks.store(false, Ordering::SeqCst);
    it.until("time goes on with the clock", 0, |it| holder(it)["what"] == json!("clock"));
    let page = checked(&it.metrics());
    assert!((total(&page, "tidegate_partition_idle") - 3.0).abs() < 1e-6);
    it.stop();
}

#[test]
fn what_is_not_known_is_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let it = open(dir.path(), 1, NOON_MS);
    it.until("the partitions are known", 0, |it| {
        it.running.status().progress().newest.is_some_and(|newest| !newest.survey.standings.is_empty())
    });
    let page = checked(&it.metrics());
    for unknown in ["tidegate_frontier", "tidegate_ledger", "tidegate_partition_watermark"] {
        assert_eq!(page.keys().find(|series| series.starts_with(unknown)), None);
    }
    let status = it.get("/v1/status").json();
    assert_eq!((&status["frontier"]["at_ms"], &status["frontier"]["delay_ms"]), (&Value::Null, &Value::Null));
    assert!(status["partitions"].as_array().expect("a list").iter().all(|it| it["watermark_ms"].is_null()));
    assert_eq!(it.get("/readyz").status, 200, "a new deployment has nothing to recover");
    it.stop();
}

#[test]
fn while_it_recovers_it_is_not_ready_and_says_how_far_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path(), 2, NOON_MS);
    ninety_views(&first);
    first.until("all is committed", 0, |it| it.accepted() == 90);
    first.stop();

    let faults = Faults::default();
    faults.reads.store(true, Ordering::SeqCst);
    let it = open_with(dir.path(), 2, NOON_MS + 90_000, Script::Live, &faults);
    let answer = it.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.headers.contains("application/problem+json") && answer.headers.contains("retry-after"));
    assert_eq!(pointers(&answer.json()), ["/replay"]);
    assert!(answer.body.contains("0 of 90 committed events are replayed"), "{}", answer.body);
    assert_eq!(it.get("/v1/status").json()["state"], json!("recovering"));
    assert_value(&checked(&it.metrics()), "tidegate_replay_events_remaining", 90.0);
    assert_eq!(it.get("/v1/ledger").json()["jobs"]["SessionTracker"]["counted"], json!(90), "as committed");
    assert_eq!(it.get("/healthz").status, 200, "it lives");

    faults.reads.store(false, Ordering::SeqCst);
    it.until("the replay is over", 0, |it| it.get("/readyz").status == 200);
    let status = it.get("/v1/status").json();
    let replay = json!({"events": 90, "replayed_events": 90, "remaining_events": 0});
    assert_eq!((&status["state"], &status["replay"]), (&json!("live"), &replay));
    assert_eq!(status["generation"], json!(2));
    assert_eq!(status["open"]["SessionTracker"]["sessions"], json!(5), "as before: {status:#}");
    it.stop();
}

#[test]
fn while_the_disk_is_full_it_is_not_ready_and_then_it_heals() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::default();
    faults.fail_commits(Some(disk_full()));
    let it = open_with(dir.path(), 2, NOON_MS, Script::Live, &faults);
    ninety_views(&it);
    it.until("commits wait", 0, |it| it.get("/readyz").status == 503);
    let answer = it.get("/readyz").json();
    assert!(pointers(&answer).contains(&"/commit/waiting"), "{answer:#}");
    assert!(answer["detail"].as_str().expect("text").contains("the disk is full since"), "{answer:#}");
    let status = it.get("/v1/status").json();
    assert_eq!(status["state"], json!("waiting_for_commit"));
    assert_eq!(status["commit"]["waiting"]["disk_full"], json!(true));
    let page = checked(&it.metrics());
    assert_value(&page, "tidegate_commits_waiting", 1.0);
    assert!(value(&page, "tidegate_epochs_uncommitted") >= 1.0);
    assert!(total(&page, "tidegate_in_flight_bytes") > 0.0, "what is not committed is held");
    assert_eq!(it.accepted(), 0);

    faults.fail_commits(None);
    it.until("everything is committed", 0, |it| it.accepted() == 90);
    it.until("it is ready", 0, |it| it.get("/readyz").status == 200);
    let status = it.get("/v1/status").json();
    assert_eq!((&status["state"], &status["commit"]["waiting"]), (&json!("live"), &Value::Null));
    assert!(status["last_error"]["error"].as_str().expect("it is kept").contains("no space is left"));
    it.stop();
}

#[test]
fn an_error_that_ends_the_run_is_shown_until_the_process_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = Faults::default();
    let reason = "power".to_owned();
    faults.fail_commits(Some(CommitError::Indefinite { path: "journal.db".to_owned(), reason }));
    let it = open_with(dir.path(), 2, NOON_MS, Script::Live, &faults);
    it.append("u1", NOON_MS);
    assert!(it.running.wait(std::time::Duration::from_mins(1)), "the run ends");
    let answer = it.get("/readyz");
    assert_eq!(answer.status, 503);
    assert!(pointers(&answer.json()).contains(&"/failure"), "{}", answer.body);
    let status = it.get("/v1/status").json();
    assert_eq!(status["state"], json!("failed"));
    assert!(status["failure"].as_str().expect("text").contains("may or may not have been stored"));
    it.running.join().expect_err("the outcome is unknown");
}

#[test]
fn reasons_of_other_parts_count_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let it = open(dir.path(), 1, NOON_MS);
    let full = || vec![NotReady { pointer: "/log", detail: "the log is full".to_owned() }];
    let answer = it.get_with("/readyz", Arc::new(full));
    assert_eq!((answer.status, pointers(&answer.json())), (503, vec!["/log"]));
    it.stop();
}

#[test]
fn the_index_names_routes_that_answer_and_others_are_problems() {
    let dir = tempfile::tempdir().expect("a directory");
    let it = open(dir.path(), 1, NOON_MS);
    let index = it.get("/").json();
    let routes = index["routes"].as_object().expect("routes by path");
    assert_eq!(routes.len(), 4);
    for path in routes.keys() {
        assert_eq!(it.get(path).status, 200, "{path}");
    }
    let answer = it.get("/v1/nothing");
    assert_eq!((answer.status, &answer.json()["title"]), (404, &json!("Not Found")));
    it.stop();
}

#[test]
fn a_good_page_of_metrics_is_read() {
    let page = checked(
        "# HELP tidegate_a A.\n# TYPE tidegate_a counter\ntidegate_a_total{job=\"x\",outcome=\"y, z\"} 3\n# EOF\n",
    );
    assert_value(&page, "tidegate_a_total{job=\"x\",outcome=\"y, z\"}", 3.0);
}

/// A check that cannot fail would check nothing.
#[test]
fn what_breaks_a_convention_of_metrics_is_found() {
    for (page, why) in [
        (
            "# HELP tidegate_a A.\n# TYPE tidegate_a counter\ntidegate_a 3\n# EOF\n",
            "a counter without _total",
        ),
        ("# HELP tidegate_a_ms A.\n# TYPE tidegate_a_ms gauge\ntidegate_a_ms 3\n# EOF\n", "milliseconds"),
        ("# HELP other A.\n# TYPE other gauge\nother 3\n# EOF\n", "no prefix"),
        ("# HELP tidegate_a A.\n# TYPE tidegate_a gauge\ntidegate_b 3\n# EOF\n", "another family"),
        ("# TYPE tidegate_a gauge\ntidegate_a 3\n# EOF\n", "no help"),
        (
            "# HELP tidegate_a A.\n# TYPE tidegate_a gauge\ntidegate_a{user=\"x\"} 3\n# EOF\n",
            "a label of many",
        ),
        (
            "# HELP tidegate_a A.\n# TYPE tidegate_a gauge\ntidegate_a -9223372036854775.808\n# EOF\n",
            "no time",
        ),
        ("# HELP tidegate_a A.\n# TYPE tidegate_a gauge\ntidegate_a 3\n", "cut off"),
    ] {
        assert!(std::panic::catch_unwind(|| checked(page)).is_err(), "{why}");
    }
}
