//! Events that are gone: refused, or gone on without when that is accepted.

mod common;

use common::service::{SHORT, Service, up};
use common::{Event, now_ms, query, run, wait_for};
use tempfile::TempDir;

fn send(service: &Service, user: &str) {
    let event = Event::page_view(user, now_ms());
    let answer = service.client("ingest").post("/v1/analytics/track", &event.line()).expect("it answers");
    assert_eq!(answer.status, 202);
}

#[test]
fn a_wiped_log_is_gone_on_without_only_when_that_is_accepted() {
    let dir = TempDir::new().expect("a temporary directory");
    // No minute to wait for: nothing is sent from the future.
    let tolerance = ["--set", "time.future_tolerance=0ms"];
    let command = || {
        let mut command = up(dir.path(), "data");
        command.args(SHORT).args(tolerance);
        command
    };
    let rows = |user: &str| {
        query(dir.path(), &format!("SELECT * FROM session_metrics WHERE user_id = '{user}'")).len()
    };
    let accepted = || {
        let ledger =
            run(common::tidegate(dir.path()).args(["ledger", "--data-dir", "data", "--format", "json"]));
        assert_eq!(ledger.code, Some(0), "{}", ledger.err);
        let ledger: serde_json::Value = serde_json::from_str(&ledger.out).expect("JSON");
        ledger["SessionTracker"]["accepted"].as_u64().expect("a number")
    };
    let service = Service::start(&mut command());
    send(&service, "before");
    wait_for("the session to close", || (rows("before") == 1).then_some(()));
    send(&service, "open");
    wait_for("the other one to be counted", || (accepted() == 2).then_some(()));
    service.kill();

    let events = dir.path().join("data/events");
    for partition in std::fs::read_dir(&events).expect("it is there") {
        for file in std::fs::read_dir(partition.expect("it is listed").path()).expect("it is a folder") {
            std::fs::remove_file(file.expect("it is listed").path()).expect("it is removed");
        }
    }
    let refused = run(&mut command());
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    for part in ["but the log holds offsets 0 to 0", "--accept-gap"] {
        assert!(refused.err.contains(part), "no {part:?} in {}", refused.err);
    }

    let service = Service::start(command().arg("--accept-gap"));
    wait_for("a session that began after it", || {
        send(&service, "after");
        (rows("after") > 0 || accepted() > 40).then_some(())
    });
    let sent = accepted();
    drop(service.kill());
    // From now on nothing is gone any more, and nothing of what came before is lost.
    let service = Service::start(&mut command());
    wait_for("the sessions to close", || (rows("after") > 0).then_some(()));
    assert!(accepted() >= sent && sent > 2, "{sent} and then {}", accepted());
    assert_eq!((rows("before"), rows("open")), (1, 0), "what was open was given up");
    assert!(service.terminate().status.success());
}
