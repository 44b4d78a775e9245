//! The end of a service that is stuck: it has a deadline.

mod common;

use common::service::{Service, up};
use common::{Event, now_ms, run, tidegate, wait_for};
use rusqlite::Connection;
use tempfile::TempDir;

#[test]
fn a_sink_that_is_stuck_does_not_hold_up_the_end_and_loses_nothing() {
    let dir = TempDir::new().expect("a temporary directory");
    let count = |sql: &str| {
        let ran = run(tidegate(dir.path()).args(["query", sql, "--format", "csv", "--data-dir", "data"]));
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        ran.out.lines().nth(1).expect("a row").to_owned()
    };
    let deadline = ["--set", "shutdown_deadline=100ms"];
    let service = Service::start(up(dir.path(), "data").args(deadline));
    // Whoever else writes the file of the tables keeps the sink waiting inside of a step, for 5 s each time.
    let other = Connection::open(dir.path().join("data/metrics.db")).expect("the file is there");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    // Beyond the tolerance: dropped, and a row at once.
    let event = Event::page_view("u", now_ms() + 3_600_000).line();
    let answer = service.client("ingest").post("/v1/analytics/track", &event).expect("it answers");
    assert_eq!(answer.status, 202, "{}", answer.text());
    let committed = || {
        let ran = run(tidegate(dir.path()).args(["ledger", "--format", "json", "--data-dir", "data"]));
        let ledger: serde_json::Value = serde_json::from_str(&ran.out).ok()?;
        (ledger["EventAggregator"]["future"] == 1).then_some(())
    };
    wait_for("the event to be committed", committed);

    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(7), "{}{}", ended.out, ended.err);
    for part in ["shutdown_deadline (100ms)", "while storing what is committed", "by the next start"] {
        assert!(ended.err.contains(part), "{part:?} is missing in {}", ended.err);
    }

    drop(other);
    let service = Service::start(&mut up(dir.path(), "data"));
    let dropped = "SELECT count(*) AS n FROM dropped_events WHERE reason = 'future'";
    wait_for("the next start to store the row", || (count(dropped) == "1").then_some(()));
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(count(dropped), "1");
}
