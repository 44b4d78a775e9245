//! The demo, from its first line to its ledger.

mod common;

use std::path::Path;
use std::process::Command;

use common::service::Service;
use common::{run, tidegate};
use tempfile::TempDir;

/// A demo on any free ports, with its directory below `dir`.
fn demo(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = tidegate(dir);
    command.env("TMPDIR", dir).args(["demo", "--rate", "100", "--users", "50", "--ingest-listen", "0"]);
    command.args([
        "--api-listen",
        "0",
        "--dataflow-listen",
        "0",
        "--metrics-listen",
        "0",
        "--sink-listen",
        "0",
    ]);
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

#[test]
fn an_interrupt_ends_it_in_order() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut service = Service::start(&mut demo(dir.path(), &[]));
    service.signal("INT");
    let ended = service.ended();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("\nledger\n"), "{}", ended.out);
    assert_eq!(entries(dir.path()), 0, "something is left behind");
}
