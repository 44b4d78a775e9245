//! A job whose settings changed: refused by name, or begun anew when that is accepted.

mod common;

use common::service::{SHORT, Service, up};
use common::{Event, now_ms, query, run, wait_for};
use tempfile::TempDir;

const TRACK: &str = "/v1/analytics/track";

fn page_view(service: &Service, user: &str) {
    let event = Event { kind: "page_view", ..Event::page_view(user, now_ms()) };
    assert_eq!(service.client("ingest").post(TRACK, &event.line()).expect("it answers").status, 202);
}

#[test]
fn a_changed_job_begins_anew_only_when_that_is_accepted() {
    let dir = TempDir::new().expect("a temporary directory");
    // No minute to wait for: nothing is sent from the future.
    let tolerance = ["--set", "time.future_tolerance=0ms"];
    let service = Service::start(up(dir.path(), "data").args(SHORT).args(tolerance));
    page_view(&service, "before");
    wait_for("the first window", || {
        (!query(dir.path(), "SELECT * FROM event_metrics").is_empty()).then_some(())
    });
    assert_eq!(service.terminate().status.code(), Some(0));

    let changed = ["--set", "jobs.event_window=3s"];
    let refused = run(up(dir.path(), "data").args(SHORT).args(tolerance).args(changed));
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    for part in ["EventAggregator", "event_window_ms = 2000", "with 3000", "--accept-changed-jobs"] {
        assert!(refused.err.contains(part), "no {part:?} in {}", refused.err);
    }

    let mut command = up(dir.path(), "data");
    let service =
        Service::start(command.args(SHORT).args(tolerance).args(changed).arg("--accept-changed-jobs"));
    let mut sent = 0;
    let windows = wait_for("a window of three seconds", || {
        page_view(&service, &format!("after-{sent}"));
        sent += 1;
        let sql = "SELECT window_start, window_end FROM event_metrics \
                   WHERE julianday(window_end) - julianday(window_start) > 2.5 / 86400";
        Some(query(dir.path(), sql)).filter(|windows| !windows.is_empty())
    });
    let sessions = query(dir.path(), "SELECT count(*) AS n FROM session_metrics WHERE user_id = 'before'");
    assert_eq!(sessions[0]["n"], 1, "a job that did not change goes on: {windows:?}");
    assert_eq!(service.terminate().status.code(), Some(0));

    // It is accepted once.
    let service = Service::start(up(dir.path(), "data").args(SHORT).args(tolerance).args(changed));
    assert_eq!(service.terminate().status.code(), Some(0));
}
