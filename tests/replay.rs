//! `tidegate replay` on the built program: epochs come out again as they were committed, and what does not is shown.

mod common;

use std::path::Path;

use common::service::{SHORT, Service, up};
use common::{Event, Ran, now_ms, run, tidegate, wait_for};
use serde_json::Value;
use tempfile::TempDir;

fn replay(dir: &Path, args: &[&str]) -> Ran {
    run(tidegate(dir).args(["replay", "--data-dir", "data"]).args(SHORT).args(args))
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err))
}

fn journal(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("data/journal.db")).expect("it opens")
}

/// Epochs and what they name as a snapshot.
fn bindings(dir: &Path) -> Vec<(u64, Option<u64>)> {
    let journal = journal(dir);
    let sql = "SELECT epoch, json_extract(body, '$.snapshot.epoch') FROM bindings ORDER BY epoch";
    let mut statement = journal.prepare(sql).expect("it is good");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("it can be read");
    rows.collect::<Result<_, _>>().expect("it can be read")
}

/// Runs a service that is sent events for some windows, and ends in order.
fn serve(dir: &Path, run: u64, workers: &str, snapshots: &str) {
    let settings = ["--workers", workers, "--set", snapshots];
    let service = Service::start(up(dir, "data").args(SHORT).args(settings));
    let mut client = service.client("ingest");
    let mut sent = 0;
    let own = format!("SELECT count(*) AS n FROM session_metrics WHERE user_id LIKE 'u{run}-%'");
    let rows = || common::query(dir, &own)[0]["n"].as_u64();
    wait_for("rows of sessions", || {
        let event = Event { load_time: Some(sent), ..Event::page_view(&format!("u{run}-{sent}"), now_ms()) };
        assert_eq!(client.post("/v1/analytics/track", &event.line()).expect("it answers").status, 202);
        sent += 1;
        (rows() > Some(20)).then_some(())
    });
    assert!(service.terminate().status.success());
}

#[test]
fn epochs_come_out_again_as_they_were_committed() {
    let dir = TempDir::new().expect("a temporary directory");
    serve(dir.path(), 1, "1", "snapshot.every=1d");
    // One snapshot, of its end: everything is there from the beginning.
    for workers in ["1", "2", "4"] {
        let ran = replay(dir.path(), &["--workers", workers, "--format", "json"]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        let report = report(&ran);
        assert_eq!((&report["snapshot"], &report["differences"]), (&Value::Null, &0.into()));
        assert_eq!(report["epochs"], bindings(dir.path()).len(), "{report:#}");
        assert!(report["rows"].as_u64() > Some(20), "{report:#}");
    }
    // And from that one on.
    serve(dir.path(), 2, "3", "snapshot.every=1d");
    let all = bindings(dir.path());
    let snapshot = all.iter().find_map(|(_, snapshot)| *snapshot).expect("a run ends with one");
    let from =
        all.iter().map(|(epoch, _)| *epoch).find(|epoch| *epoch > snapshot).expect("there are later ones");
    let ran = replay(dir.path(), &["--from-epoch", &from.to_string()]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(&format!("started from  the snapshot of epoch {snapshot}")), "{}", ran.out);
    assert!(ran.out.contains("differences   0\n") && !ran.out.contains("equal rows    0\n"), "{}", ran.out);

    // A row that somebody changed is found, and shown.
    let changed =
        "UPDATE rows SET value = CAST(replace(value, '\"page_count\":1', '\"page_count\":2') AS BLOB)
                   WHERE topic = (SELECT id FROM topics WHERE name = 'session_metrics') AND offset = (SELECT next_offset - 1 FROM topics WHERE name = 'session_metrics')";
    assert_eq!(journal(dir.path()).execute(changed, []).expect("it is good"), 1);
    let ran = replay(dir.path(), &[]);
    assert_eq!(ran.code, Some(8), "{}{}", ran.out, ran.err);
    for part in ["differences   1\n", "session_metrics", "\"page_count\":2", "\"page_count\":1"] {
        assert!(ran.out.contains(part), "no {part:?} in {}", ran.out);
    }
}

#[test]
fn what_cannot_be_computed_again_is_refused() {
    let dir = TempDir::new().expect("a temporary directory");
    let nothing_more = "snapshot.history=0s";
    serve(dir.path(), 1, "2", nothing_more);
    let begun = bindings(dir.path())[0].0;
    serve(dir.path(), 2, "2", nothing_more);
    let all = bindings(dir.path());
    assert!(all[0].0 > begun, "older bindings were pruned: {all:?}");
    let (first, last) = (all[0].0, all[all.len() - 1].0);
    let ran = replay(dir.path(), &["--from-epoch", &first.to_string()]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("the oldest epoch that can be is"), "{}", ran.err);
    for (args, said) in [
        (vec!["--from-epoch", "7"], format!("which are {first} to {last}")),
        (vec!["--from-epoch", "9", "--to-epoch", "8"], "exchange them".to_owned()),
    ] {
        let ran = replay(dir.path(), &args);
        assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains(&said), "{}", ran.err);
    }
    let ran = replay(dir.path(), &["--set", "jobs.session_gap=3s"]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("SessionTracker session_gap_ms = 2000, now 3000"), "{}", ran.err);
    // What follows the older of two snapshots can be.
    let ran = replay(dir.path(), &["--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(report(&ran)["snapshot"].is_u64(), "{}", ran.out);
}
