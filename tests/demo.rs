//! The demo, from its first line to its ledger.

mod common;

use std::path::Path;
use std::process::Command;

use common::service::Service;
use common::{run, tidegate, wait_for};
use tempfile::TempDir;

const LISTENERS: [&str; 5] =
    ["--ingest-listen", "--api-listen", "--dataflow-listen", "--metrics-listen", "--sink-listen"];

/// A demo with its directory below `dir`, on any free ports but for those that are given.
fn demo(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = tidegate(dir);
    command.env("TMPDIR", dir).args(["demo", "--rate", "100", "--users", "50"]);
    for listener in LISTENERS.iter().filter(|listener| !arguments.contains(listener)) {
        command.args([listener, "0"]);
    }
    command.args(arguments);
    command
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).expect("a directory").count()
}

#[test]
fn what_was_sent_is_read_back_and_nothing_is_left_behind() {
    let dir = TempDir::new().expect("a temporary directory");
    let ran = run(&mut demo(dir.path(), &["--duration", "4s"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    for said in ["400  202: durable", "exactly what was acknowledged", "as it must be", "adds up"] {
        assert!(ran.out.contains(said), "{said:?} is missing in {}", ran.out);
    }
    assert!(!ran.out.contains("DOES NOT ADD UP"), "{}", ran.out);
    assert_eq!(entries(dir.path()), 0, "something is left behind");
}

/// The events that `EventAggregator` accepted, as the ledger at the end says.
fn accepted(out: &str) -> u64 {
    let line = out.lines().find(|line| line.trim_start().starts_with("EventAggregator "));
    let cell = line.and_then(|line| line.split_whitespace().nth(1));
    cell.and_then(|text| text.replace(',', "").parse().ok()).unwrap_or_else(|| panic!("no ledger in {out}"))
}

#[test]
fn an_interrupt_amid_traffic_ends_it_in_order() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut service = Service::start(&mut demo(dir.path(), &[]));
    let mut dataflow = service.client("dataflow");
    wait_for("some traffic to be committed", || {
        let ledger = dataflow.get("/v1/ledger").expect("it answers").json();
        ledger["jobs"]["EventAggregator"]["accepted"].as_u64().filter(|accepted| *accepted >= 50)
    });
    service.signal("INT");
    let ended = service.ended();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("then told to stop") && ended.out.contains("\nledger\n"), "{}", ended.out);
    assert!(ended.out.contains("adds up") && !ended.out.contains("DOES NOT ADD UP"), "{}", ended.out);
    let acknowledged = ended.out.lines().find_map(|line| line.strip_suffix("202: durable"));
    let acknowledged = acknowledged.and_then(|line| line.split_whitespace().nth(1)).expect("a count");
    let acknowledged: u64 = acknowledged.replace(',', "").parse().expect("a number");
    assert!(acknowledged >= 50 && accepted(&ended.out) >= acknowledged, "{}", ended.out);
    assert_eq!(entries(dir.path()), 0, "something is left behind");
}

#[test]
fn a_demo_that_nobody_looks_at_ends_in_order() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut service = Service::start_unread(&mut demo(dir.path(), &[]), true);
    let ended = service.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.err);
    assert!(ended.err.contains("nobody looks any more: the demo ends"), "{}", ended.err);
    assert!(!ended.err.contains("could not be removed"), "{}", ended.err);
    assert_eq!(entries(dir.path()), 0, "something is left behind");
}

#[test]
fn settings_of_ones_own_are_no_reason_to_find_the_numbers_wrong() {
    let cases = [
        (r#"jobs.allowed_event_types=["click"]"#, "as it must be"),
        ("time.mode=processing_time", "not compared with what was sent"),
    ];
    std::thread::scope(|scope| {
        for (set, said) in cases {
            scope.spawn(move || {
                let dir = TempDir::new().expect("a temporary directory");
                let ran = run(&mut demo(dir.path(), &["--duration", "2s", "--set", set]));
                assert_eq!(ran.code, Some(0), "{set}: {}{}", ran.out, ran.err);
                assert!(ran.out.contains(said) && !ran.out.contains("WRONG"), "{set}: {}", ran.out);
            });
        }
    });
}

#[test]
fn a_port_in_use_is_named_with_its_flag_and_nothing_is_left_behind() {
    let dir = TempDir::new().expect("a temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("an address").port().to_string();
    for flag in LISTENERS {
        let ran = run(&mut demo(dir.path(), &["--duration", "1s", flag, &port]));
        assert_eq!(ran.code, Some(1), "{flag}: {}{}", ran.out, ran.err);
        let address = format!("cannot listen on 127.0.0.1:{port}: ");
        assert!(ran.err.contains(&address) && ran.err.contains(flag), "{flag}: {}", ran.err);
        assert_eq!(entries(dir.path()), 0, "something is left behind");
    }
}
