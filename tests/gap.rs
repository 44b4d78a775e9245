//! Events that are gone: refused, or gone on without when that is accepted.

mod common;

use std::fs;
use std::path::Path;

use common::service::{SHORT, Service, up};
use common::{Event, now_ms, query, run, wait_for};
use tempfile::TempDir;

/// No minute to wait for: nothing is sent from the future.
const NO_TOLERANCE: [&str; 2] = ["--set", "time.future_tolerance=0ms"];

fn send(service: &Service, user: &str) {
    track(service, &Event::page_view(user, now_ms()));
}

fn track(service: &Service, event: &Event) {
    let answer = service.client("ingest").post("/v1/analytics/track", &event.line()).expect("it answers");
    assert_eq!(answer.status, 202);
}

/// How many sessions of a user have a row.
fn rows(dir: &Path, user: &str) -> usize {
    query(dir, &format!("SELECT * FROM session_metrics WHERE user_id = '{user}'")).len()
}

/// A count of the ledger, of the job of sessions.
fn tracked(dir: &Path, count: &str) -> u64 {
    let ledger = run(common::tidegate(dir).args(["ledger", "--data-dir", "data", "--format", "json"]));
    assert_eq!(ledger.code, Some(0), "{}", ledger.err);
    let ledger: serde_json::Value = serde_json::from_str(&ledger.out).expect("JSON");
    ledger["SessionTracker"].get(count).map_or(0, |count| count.as_u64().expect("a number"))
}

#[test]
fn a_wiped_log_is_gone_on_without_only_when_that_is_accepted() {
    let dir = TempDir::new().expect("a temporary directory");
    let command = || {
        let mut command = up(dir.path(), "data");
        command.args(SHORT).args(NO_TOLERANCE);
        command
    };
    let (rows, accepted) = (|user: &str| rows(dir.path(), user), || tracked(dir.path(), "accepted"));
    let service = Service::start(&mut command());
    send(&service, "before");
    wait_for("the session to close", || (rows("before") == 1).then_some(()));
    send(&service, "open");
    wait_for("the other one to be counted", || (accepted() == 2).then_some(()));
    service.kill();

    let events = dir.path().join("data/events");
    for partition in fs::read_dir(&events).expect("it is there") {
        for file in fs::read_dir(partition.expect("it is listed").path()).expect("it is a folder") {
            fs::remove_file(file.expect("it is listed").path()).expect("it is removed");
        }
    }
    let refused = run(&mut command());
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    for part in ["but the log holds offsets 0 to 0", "--accept-gap"] {
        assert!(refused.err.contains(part), "no {part:?} in {}", refused.err);
    }

    let service = Service::start(command().arg("--accept-gap"));
    let mut sent = 2;
    wait_for("a session that began after it", || {
        send(&service, "after");
        sent += 1;
        (rows("after") > 0 || sent > 40).then_some(())
    });
    drop(service.kill());
    // From now on nothing is gone any more, and nothing of what came before is lost.
    let service = Service::start(&mut command());
    wait_for("the sessions to close", || (rows("after") > 0).then_some(()));
    wait_for("everything sent to be counted", || (accepted() == sent).then_some(()));
    assert_eq!(tracked(dir.path(), "missing"), 0, "everything had been read");
    assert_eq!((rows("before"), rows("open")), (1, 0), "what was open was given up");
    assert!(service.terminate().status.success());
}

#[test]
fn a_deployment_whose_journal_is_gone_begins_anew_with_the_events_that_are_left() {
    let dir = TempDir::new().expect("a temporary directory");
    let data = dir.path().join("data");
    let command = || {
        let mut command = up(dir.path(), "data");
        command.args(SHORT).args(NO_TOLERANCE);
        command.args(["--set", "topics.partitions=1", "--set", "log.segment_bytes_max=1MiB"]);
        command
    };
    let segments = || {
        let listed = fs::read_dir(data.join("events/0")).expect("the partition is there");
        let mut names: Vec<_> = listed.map(|file| file.expect("it is listed").path()).collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "segment"));
        names.sort();
        names
    };
    let service = Service::start(&mut command());
    let agent = "a".repeat(16 << 10);
    while segments().len() < 2 {
        track(&service, &Event { agent: agent.clone(), ..Event::page_view("before", now_ms()) });
    }
    wait_for("the session to close", || (rows(dir.path(), "before") > 0).then_some(()));
    service.kill();

    let all = segments();
    fs::remove_file(&all[0]).expect("it is removed");
    let first_left = all[1].file_stem().and_then(|base| base.to_str()).expect("it is named by a number");
    let first_left: u64 = first_left.parse().expect("it is named by a number");
    let remove = |name: &str| {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(data.join(format!("{name}{suffix}")));
        }
    };
    remove("journal.db");
    let refused = run(&mut command());
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    let part = format!("the log holds partition 0 from offset {first_left} on only");
    for part in [&*part, "restore journal.db", "--accept-gap"] {
        assert!(refused.err.contains(part), "no {part:?} in {}", refused.err);
    }
    let service = Service::start(command().arg("--accept-gap"));
    send(&service, "after");
    wait_for("a session of its own", || (rows(dir.path(), "after") > 0).then_some(()));
    assert_eq!(tracked(dir.path(), "missing"), first_left);
    assert_eq!(
        rows(dir.path(), "before"),
        1,
        "what was stored stays, and is not made again of the events that are left"
    );
    assert!(service.terminate().status.success());
    assert!(Service::start(&mut command()).terminate().status.success(), "nothing is gone any more");
}
