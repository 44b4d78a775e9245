//! What the program refuses or survives, and that it does no harm by it: each message names the culprit
//! and the remedy, each exit code is the documented one.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};

use common::{
    Event, Ran, assert_same, bytes_under, everything, kill_when, lines, run, sample, tidegate, wait_for,
};
use rusqlite::Connection;
use tempfile::TempDir;

/// 2023-11-14T22:13:20Z.
const START_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;

/// A directory with an input of `events` page views, from `start` on, in a.jsonl.
fn with_input(start: i64, events: i64) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    write_input(dir.path(), "a.jsonl", start, events);
    dir
}

fn write_input(dir: &Path, name: &str, start: i64, events: i64) {
    fs::write(dir.join(name), page_views(start, events)).expect("a file");
}

fn page_views(start: i64, events: i64) -> String {
    let event = |index: i64| Event::page_view(&format!("u{}", index % 50), start + index * 100);
    lines(&(0..events).map(event).collect::<Vec<_>>())
}

fn tide(dir: &Path, args: &[&str]) -> Ran {
    run(tidegate(dir).args(args))
}

/// The number that a query gives.
fn number(dir: &Path, sql: &str) -> Option<u64> {
    let ran = tide(dir, &["query", sql, "--format", "csv"]);
    if ran.code == Some(0) { ran.out.lines().nth(1)?.parse().ok() } else { None }
}

/// Every file under a directory, and what is in it.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(contents(&path));
            all.insert(path.display().to_string(), Vec::new());
        } else {
            all.insert(path.display().to_string(), fs::read(&path).expect("a file"));
        }
    }
    all
}

/// An import of standard input that waits for more of it.
fn waiting_import(dir: &Path, text: String) -> (Child, std::thread::JoinHandle<ChildStdin>) {
    let mut child = tidegate(dir)
        .args(["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("it is piped");
    let feeder = std::thread::spawn(move || {
        stdin.write_all(text.as_bytes()).expect("it reads");
        stdin
    });
    (child, feeder)
}

#[test]
fn an_import_beside_an_unfinished_one_is_refused_and_the_unfinished_one_goes_on() {
    let dir = with_input(START_MS, 70_000);
    write_input(dir.path(), "b.jsonl", START_MS + 24 * HOUR_MS, 100);
    let undisturbed = with_input(START_MS, 70_000);
    assert_eq!(tide(undisturbed.path(), &["import", "a.jsonl"]).code, Some(0));

    let data = dir.path().join("tidegate-data");
    let killed = kill_when(tidegate(dir.path()).args(["import", "a.jsonl"]), || {
        bytes_under(&data.join("events")) > 1 << 20
    });
    assert!(killed, "it ended before it could be killed");
    let events = bytes_under(&data.join("events"));
    for _ in 0..2 {
        let refused = tide(dir.path(), &["import", "b.jsonl"]);
        assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
        for word in ["another import", "was interrupted", "run its command again", "empty data directory"] {
            assert!(refused.err.contains(word), "{}", refused.err);
        }
    }
    // Opening it may have cut off what the kill left half written.
    assert!(bytes_under(&data.join("events")) <= events, "a refused import appended something");

    let resumed = tide(dir.path(), &["import", "a.jsonl"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    let expected = everything(undisturbed.path(), "tidegate-data");
    assert_same(&everything(dir.path(), "tidegate-data"), &expected, "resumed");
    // Now that nothing is unfinished, the other one is welcome.
    let other = tide(dir.path(), &["import", "b.jsonl"]);
    assert_eq!(other.code, Some(0), "{}", other.err);
    assert_eq!(number(dir.path(), "SELECT sum(event_count) FROM event_metrics"), Some(70_100));
}

#[test]
fn an_older_file_is_refused_with_both_times() {
    let dir = with_input(START_MS, 100);
    write_input(dir.path(), "older.jsonl", START_MS - HOUR_MS, 10);
    assert_eq!(tide(dir.path(), &["import", "a.jsonl"]).code, Some(0));
    let before = everything(dir.path(), "tidegate-data");
    let refused = tide(dir.path(), &["import", "older.jsonl"]);
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    // The last event was 9.9 s after 22:13:20; its session closed half an hour later.
    for word in ["closed up to 2023-11-14T22:", "is of 2023-11-14T21:13:20.000Z", "empty data directory"] {
        assert!(refused.err.contains(word), "{word}: {}", refused.err);
    }
    assert_same(&everything(dir.path(), "tidegate-data"), &before, "after the refusal");
    let newer = START_MS + 24 * HOUR_MS;
    write_input(dir.path(), "newer.jsonl", newer, 10);
    assert_eq!(tide(dir.path(), &["import", "newer.jsonl"]).code, Some(0), "a newer one goes on");
    assert_eq!(number(dir.path(), "SELECT sum(event_count) FROM event_metrics"), Some(110));
}

#[test]
fn while_an_import_runs_others_may_read_and_none_may_write() {
    let dir = with_input(START_MS, 100);
    // More than two epochs: the rows of one are there when it is known where the next one ends.
    let (child, feeder) = waiting_import(dir.path(), page_views(START_MS, 140_000));
    let counted = wait_for("rows of the first epoch", || {
        number(dir.path(), "SELECT sum(event_count) FROM event_metrics").filter(|counted| *counted > 0)
    });
    assert!(counted < 140_000, "windows of the last ten minutes are open");
    // What is there is whole: closed windows of a minute hold 600 events, but for the first one, which
    // began before the first event.
    let odd = "SELECT count(*) FROM event_metrics WHERE event_count <> 600";
    assert_eq!(number(dir.path(), odd), Some(1));
    let ledger = tide(dir.path(), &["ledger"]);
    assert_eq!(ledger.code, Some(0), "{}{}", ledger.out, ledger.err);
    assert!(ledger.out.contains("adds up"), "{}", ledger.out);

    let second = tide(dir.path(), &["import", "a.jsonl"]);
    assert_eq!(second.code, Some(4), "{}{}", second.out, second.err);
    assert!(second.err.contains(&format!("pid {}", child.id())), "{}", second.err);

    drop(feeder.join().expect("it reads"));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(number(dir.path(), "SELECT sum(event_count) FROM event_metrics"), Some(140_000));
}

#[test]
fn a_strict_import_of_a_malformed_line_leaves_a_data_directory_as_it_was() {
    let dir = with_input(START_MS, 100);
    assert_eq!(tide(dir.path(), &["import", "a.jsonl"]).code, Some(0));
    let data = dir.path().join("tidegate-data");
    let before = contents(&data);
    let bad = page_views(START_MS + 24 * HOUR_MS, 20_000) + "{\"event\":{}}\n";
    fs::write(dir.path().join("bad.jsonl"), bad).expect("a file");
    let strict = tide(dir.path(), &["import", "--strict", "bad.jsonl"]);
    assert_eq!(strict.code, Some(5), "{}{}", strict.out, strict.err);
    assert!(strict.err.contains("bad.jsonl:20001: "), "{}", strict.err);
    assert!(contents(&data) == before, "something was written");
}

#[test]
fn what_was_read_of_a_truncated_gzip_file_counts() {
    let dir = TempDir::new().expect("a directory");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(page_views(START_MS, 5_000).as_bytes()).expect("memory takes everything");
    let bytes = encoder.finish().expect("memory takes everything");
    fs::write(dir.path().join("cut.jsonl.gz"), &bytes[..bytes.len() * 6 / 10]).expect("a file");
    let ran = tide(dir.path(), &["import", "cut.jsonl.gz"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    for word in ["Not read to the end:\n  cut.jsonl.gz: line ", "the file is cut off"] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    let counted = number(dir.path(), "SELECT sum(event_count) FROM event_metrics").expect("rows");
    assert!((1_000..5_000).contains(&counted), "{counted}");
    let line = ran.out.lines().find_map(|line| line.trim().strip_prefix("events ")).expect("a count");
    let said = line.split_whitespace().next().expect("a number").replace(',', "");
    assert_eq!(said, counted.to_string());
    assert_eq!(number(dir.path(), "SELECT sum(page_count) FROM session_metrics"), Some(counted));
}

#[test]
fn a_changed_session_gap_is_refused_by_job_and_setting() {
    let dir = with_input(START_MS, 100);
    write_input(dir.path(), "b.jsonl", START_MS + 24 * HOUR_MS, 100);
    assert_eq!(tide(dir.path(), &["import", "a.jsonl"]).code, Some(0));
    let refused = tide(dir.path(), &["import", "b.jsonl", "--set", "jobs.session_gap=10m"]);
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    for word in ["job Session", "session_gap", "1800000", "600000"] {
        assert!(refused.err.contains(word), "{word}: {}", refused.err);
    }
    let same = tide(dir.path(), &["import", "b.jsonl", "--set", "jobs.session_gap=30m"]);
    assert_eq!(same.code, Some(0), "{}", same.err);
}

#[test]
fn what_a_later_version_wrote_is_refused_by_name() {
    let dir = with_input(START_MS, 100);
    write_input(dir.path(), "b.jsonl", START_MS + 24 * HOUR_MS, 100);
    assert_eq!(tide(dir.path(), &["import", "a.jsonl"]).code, Some(0));
    let data = dir.path().join("tidegate-data");
    let query = ["query", "SELECT count(*) FROM event_metrics"];
    let import = ["import", "b.jsonl"];
    let refused = |args: &[&str], file: &str| {
        let ran = tide(dir.path(), args);
        assert!(matches!(ran.code, Some(1 | 3)), "{file}: {:?} {}{}", ran.code, ran.out, ran.err);
        let said = format!("{file} has format version 2; this version of tidegate reads up to 1");
        assert!(ran.err.contains(&said), "{file}: {}", ran.err);
    };

    let format = fs::read_to_string(data.join("format")).expect("a file");
    let later = format.replace("\"format\":1", "\"format\":2");
    assert_ne!(later, format);
    fs::write(data.join("format"), later).expect("a file");
    refused(&import, "tidegate-data/format");
    fs::write(data.join("format"), format).expect("a file");

    let journal = |version: u32| {
        let journal = Connection::open(data.join("journal.db")).expect("a journal");
        let set = journal.execute("UPDATE meta SET value = ?1 WHERE key = 'version'", [version]);
        assert_eq!(set, Ok(1));
    };
    journal(2);
    refused(&import, "tidegate-data/journal.db");
    refused(&["ledger"], "tidegate-data/journal.db");
    journal(1);

    let metrics = |version: u32| {
        let metrics = Connection::open(data.join("metrics.db")).expect("a metric store");
        metrics.pragma_update(None, "user_version", version).expect("it is set");
    };
    metrics(2);
    refused(&query, "tidegate-data/metrics.db");
    refused(&import, "tidegate-data/metrics.db");
    metrics(1);

    // None of that has harmed anything, and nothing counts as begun.
    write_input(dir.path(), "c.jsonl", START_MS + 24 * HOUR_MS, 100);
    let import = ["import", "c.jsonl"];
    let ran = tide(dir.path(), &import);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(number(dir.path(), "SELECT sum(event_count) FROM event_metrics"), Some(200));
}

#[test]
fn a_query_never_writes() {
    let dir = with_input(START_MS, 100);
    assert_eq!(tide(dir.path(), &["import", "a.jsonl"]).code, Some(0));
    let before = everything(dir.path(), "tidegate-data");
    let files = |dir: &Path| -> Vec<String> { contents(dir).into_keys().collect() };
    let names = files(dir.path());
    for sql in [
        "DELETE FROM event_metrics",
        "UPDATE event_metrics SET event_count = 0",
        "INSERT INTO dropped_events (reason, job, partition, \"offset\", record) VALUES ('', '', 0, 0, '')",
        "DROP TABLE session_metrics",
        "CREATE TABLE mine (a)",
        "PRAGMA user_version = 7",
        "PRAGMA journal_mode = DELETE",
        "VACUUM INTO 'copy.db'",
        "ATTACH 'other.db' AS other",
        "SELECT 1; DELETE FROM event_metrics",
        "WITH gone AS (SELECT 1) DELETE FROM event_metrics",
    ] {
        let ran = tide(dir.path(), &["query", sql]);
        assert_eq!(ran.code, Some(1), "{sql}: {}{}", ran.out, ran.err);
        assert_eq!(ran.out, "", "{sql}");
        assert!(!ran.err.is_empty(), "{sql}");
    }
    let ran = tide(dir.path(), &["query", "DELETE FROM event_metrics"]);
    assert!(ran.err.contains("the statement would write") && ran.err.contains("SELECT"), "{}", ran.err);
    assert_same(&everything(dir.path(), "tidegate-data"), &before, "after all that");
    assert_eq!(files(dir.path()), names);
}

#[test]
fn a_data_directory_that_is_missing_is_named_with_a_remedy() {
    let dir = TempDir::new().expect("a directory");
    for (args, said) in [
        (vec!["query", "SELECT 1"], "there is no metric store nowhere/metrics.db; `tidegate import FILE"),
        (
            vec!["ledger"],
            "there is no journal in nowhere: name the data directory with --data-dir, or import something",
        ),
    ] {
        let args = [args, vec!["--data-dir", "nowhere"]].concat();
        let ran = tide(dir.path(), &args);
        assert_eq!(ran.code, Some(1), "{args:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(said), "{args:?}: {}", ran.err);
    }
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0, "reading makes nothing");
    // An import makes it, and what leads to it.
    let ran =
        run(tidegate(dir.path()).args(["import", "--data-dir", "far/away"]).arg(sample("sample_access.log")));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}
