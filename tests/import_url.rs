//! `tidegate import --url` against real servers: what arrives, what is sent again, and what is said when nobody can
//! know.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::stub::{Reply, Request, Stub};
use common::{Event, Ran, lines, run, sample, tidegate, wait_for};
use tempfile::TempDir;

/// A directory with a file of so many events, a second apart.
fn with_events(count: i64) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let event = |n: i64| Event::page_view(&format!("u{n}"), 1_700_000_000_000 + 1_000 * n);
    fs::write(dir.path().join("events.jsonl"), lines(&(1..=count).map(event).collect::<Vec<_>>()))
        .expect("a file");
    dir
}

fn send(dir: &TempDir, stub: &Stub, more: &[&str]) -> Ran {
    run(tidegate(dir.path()).args(["import", "--url", &stub.url()]).args(more))
}

/// The user of an event, such as `u7`.
fn user(request: &Request) -> String {
    let event: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
    event["user"]["id"].as_str().expect("a name").to_owned()
}

#[test]
fn every_event_of_every_line_arrives_once() {
    let dir = with_events(200);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let stub = Stub::start(move |request| {
        assert!(request.head.starts_with("POST /v1/analytics/track HTTP/1.1\r\n"), "{}", request.head);
        log.lock().expect("no panic").push(user(request));
        Reply::accepted()
    });
    let ran = send(&dir, &stub, &["events.jsonl"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let title = format!("Sent 1 file to {}/v1/analytics/track in ", stub.url());
    assert!(ran.out.starts_with(&title), "{}", ran.out);
    for line in
        ["  lines                200\n", "  acknowledged         200\n", "  refused                0\n"]
    {
        assert!(ran.out.contains(line), "{line:?} in\n{}", ran.out);
    }
    let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
    assert_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>().len()), (200, 200));
    // Nothing was written here.
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
}

#[test]
fn access_logs_are_sent_as_the_events_that_their_lines_are() {
    let dir = TempDir::new().expect("a directory");
    let stub = Stub::start(|_| Reply::accepted());
    let ran = send(&dir, &stub, &[&sample("sample_access.log").display().to_string()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for line in ["  malformed              6\n", "  acknowledged          57\n", "\nMalformed lines:\n"] {
        assert!(ran.out.contains(line), "{line:?} in\n{}", ran.out);
    }
}

#[test]
fn an_event_that_is_turned_away_for_now_is_sent_again_until_it_is_taken() {
    let dir = with_events(20);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let stub = Stub::start(move |request| {
        if request.number < 3 {
            return Reply::Answer(503, "retry-after: 0\r\n", "{\"detail\":\"the log is full\"}".to_owned());
        }
        log.lock().expect("no panic").push(user(request));
        Reply::accepted()
    });
    let ran = send(&dir, &stub, &["--connections", "4", "events.jsonl"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let said = "  acknowledged          20  3 requests were turned away for now and sent again\n";
    assert!(ran.out.contains(said), "{}", ran.out);
    let mut seen = std::mem::take(&mut *seen.lock().expect("no panic"));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20);
}

#[test]
fn what_the_instance_refuses_is_reported_like_a_malformed_line() {
    let dir = with_events(9);
    let refuse = |request: &Request| {
        if user(request) != "u4" {
            return Reply::accepted();
        }
        let body = r#"{"title":"t","status":422,"detail":"d","errors":[{"pointer":"/user/id","detail":"is too odd"}]}"#;
        Reply::Answer(422, "", body.to_owned())
    };
    let stub = Stub::start(refuse);
    let ran = send(&dir, &stub, &["events.jsonl"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("  acknowledged           8\n  refused                1\n"), "{}", ran.out);
    let said =
        "\nRefused by the instance:\n  events.jsonl:4: the instance answered 422: /user/id: is too odd\n";
    assert!(ran.out.ends_with(said), "{}", ran.out);

    let ran = send(&dir, &stub, &["--strict", "--connections", "1", "events.jsonl"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(5), ""), "{}", ran.err);
    let said = "events.jsonl:4: the instance answered 422: /user/id: is too odd\n3 events were acknowledged; every one \
                before events.jsonl:4 is settled. To go on, send the lines from events.jsonl:4 on\n";
    assert!(ran.err.ends_with(said), "{}", ran.err);
}

#[test]
fn when_nobody_can_know_the_import_ends_and_says_from_where_to_go_on() {
    let dir = with_events(50);
    let stub = Stub::start(
        |request| if user(request) == "u7" { Reply::Bytes(Vec::new()) } else { Reply::accepted() },
    );
    let ran = send(&dir, &stub, &["--connections", "1", "events.jsonl"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    for part in [
        "error: events.jsonl:7: the connection was lost before the answer was complete",
        "; the instance may have counted this event or not\n6 events were acknowledged; every one before \
         events.jsonl:7 is settled. To go on, send the lines from events.jsonl:7 on; of those, 0 were acknowledged \
         already and 1 more may have been",
    ] {
        assert!(ran.err.contains(part), "{part:?} in\n{}", ran.err);
    }

    // With several under way, those behind it are finished and told apart.
    let others = AtomicUsize::new(0);
    let stub = Stub::start(move |request| {
        if user(request) == "u7" {
            wait_for("all the others", || (others.load(Ordering::SeqCst) == 49).then_some(()));
            return Reply::Bytes(Vec::new());
        }
        others.fetch_add(1, Ordering::SeqCst);
        Reply::accepted()
    });
    let ran = send(&dir, &stub, &["--connections", "8", "--timeout", "1m", "events.jsonl"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let said = "49 events were acknowledged; every one before events.jsonl:7 is settled. To go on, send the lines from \
                events.jsonl:7 on; of those, 43 were acknowledged already and 1 more may have been";
    assert!(
        ran.err.contains("events.jsonl:7: the connection was lost") && ran.err.contains(said),
        "{}",
        ran.err
    );
}

#[test]
fn an_url_that_is_no_endpoint_ends_it_at_the_first_event() {
    let dir = with_events(50);
    let stub = Stub::start(|_| Reply::Answer(404, "", "{\"detail\":\"there is nothing at /v1\"}".to_owned()));
    let ran = send(&dir, &stub, &["events.jsonl"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(
        ran.err.contains("it answered 404 Not Found: there is nothing at /v1; give the URL"),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains("\n0 events were acknowledged; every one before events.jsonl:1 is"),
        "{}",
        ran.err
    );
}

#[test]
fn options_of_a_data_directory_do_not_fit() {
    let dir = with_events(1);
    let stub = Stub::start(|_| panic!("nothing is to be sent"));
    for option in [&["--data-dir", "d"][..], &["--max-disorder", "1h"], &["--workers", "1"], &["--check"]] {
        let ran = send(&dir, &stub, &[option, &["events.jsonl"]].concat());
        assert_eq!(ran.code, Some(2), "{option:?}: {}", ran.err);
        assert!(
            ran.err.contains("cannot be used with") && ran.err.contains(option[0]),
            "{option:?}: {}",
            ran.err
        );
    }
    let ran = run(tidegate(dir.path()).args(["import", "--connections", "4", "events.jsonl"]));
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("--url"), "{}", ran.err);
}
