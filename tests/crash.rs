//! Imports that are killed, or whose disk is full: the same command goes on, and what is in the tables
//! afterwards is what an undisturbed run leaves there, row by row.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::disk::Disk;
use common::{Event, assert_same, bytes_under, everything, kill_when, lines, run, tidegate};
use tempfile::TempDir;

/// Events of an epoch of an import.
const EPOCH: i64 = 65_536;
/// 2023-11-14T22:13:20Z.
const START_MS: i64 = 1_700_000_000_000;

const IMPORT: [&str; 5] = ["import", "busy.jsonl", "--data-dir", "data", "--workers"];

fn import(dir: &Path) -> Command {
    let mut command = tidegate(dir);
    command.args(IMPORT).arg("2");
    command
}

/// A little more than three epochs of two users who never rest, so that most partitions stay empty. Then
/// users come who were never seen before, into partitions that gave nothing so far, and lines that are an
/// hour late: too late for every window, too late for the session of a user who left, in time for the
/// session of one who never did.
fn busy() -> String {
    let mut events = Vec::new();
    for index in 0..3 * EPOCH + 9_000 {
        let time = START_MS + index * 40;
        let user = if index % 3 == 0 { "ben" } else { "ada" };
        let mut event = Event { load_time: Some(index % 700), ..Event::page_view(user, time) };
        if index < 40 {
            event = Event::page_view(&format!("early{}", index % 4), time);
        }
        let in_last = index - 3 * EPOCH;
        if (0..12).contains(&in_last) {
            event = Event::page_view(&format!("zoe{in_last}"), time);
        }
        // One of the lines behind the last cut is by a user of the beginning, one by one of now.
        if in_last == 20 || in_last == 8_000 {
            event = Event { load_time: Some(5), ..Event::page_view("early1", time - 3_600_000) };
        }
        if in_last == 21 || in_last == 8_001 {
            event = Event { load_time: Some(5), ..Event::page_view("ada", time - 3_600_000) };
        }
        events.push(event);
    }
    lines(&events)
}

/// A data directory beside the input.
fn with_input(text: &str) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("busy.jsonl"), text).expect("a file");
    dir
}

fn journal_bytes(data: &Path) -> u64 {
    let size = |name: &str| fs::metadata(data.join(name)).map_or(0, |metadata| metadata.len());
    size("journal.db") + size("journal.db-wal")
}

#[test]
fn an_import_killed_again_and_again_leaves_what_an_undisturbed_one_leaves() {
    let text = busy();
    let undisturbed = with_input(&text);
    let ran = run(&mut import(undisturbed.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let expected = everything(undisturbed.path(), "data");
    let ledger: serde_json::Value = serde_json::from_str(&expected[5].1).expect("JSON");
    for (job, expired) in [("EventAggregator", 4), ("PerformanceTracker", 4), ("SessionTracker", 2)] {
        assert_eq!(ledger[job]["expired"], expired, "{job}: {ledger}");
        assert_eq!(ledger[job]["accepted"], 3 * EPOCH + 9_000, "{job}");
    }
    let all_bytes = bytes_under(&undisturbed.path().join("data/events"));

    // By how much of the events is in the log; the last one as soon as those users have come whose
    // partitions were empty, before the epoch that they are in has ended.
    let dir = with_input(&text);
    let events = dir.path().join("data/events");
    let partitions = || fs::read_dir(&events).map_or(Vec::new(), |dirs| dirs.flatten().collect());
    let filled = || partitions().iter().filter(|dir| bytes_under(&dir.path()) > 200).count();
    let mut kills = 0;
    for percent in [3, 40, 70] {
        let reached = || bytes_under(&events) * 100 > all_bytes * percent;
        kills += u32::from(kill_when(&mut import(dir.path()), reached));
    }
    assert!(kills >= 3, "only {kills} runs were interrupted");
    let few = filled();
    kills += u32::from(kill_when(&mut import(dir.path()), || filled() > few));
    finish(dir.path(), &expected, &format!("killed {kills} times by bytes of events"));
    assert!(few < filled(), "new users came into partitions of their own");

    // By what is in the journal: right after the first commits.
    let dir = with_input(&text);
    let data = dir.path().join("data");
    let mut kills = 0;
    for _ in 0..3 {
        let mut started = None;
        let reached = || {
            let now = (journal_bytes(&data), bytes_under(&data.join("events")));
            // The generation of the run is written first, and the import's beginning.
            let first = *started.get_or_insert(now);
            now.1 > first.1 && now.0 > first.0 + 40_000
        };
        kills += u32::from(kill_when(&mut import(dir.path()), reached));
    }
    assert!(kills >= 1, "no run was interrupted");
    finish(dir.path(), &expected, &format!("killed {kills} times by bytes of the journal"));
}

/// Runs the same command to its end.
fn finish(dir: &Path, expected: &[(String, String)], when: &str) {
    let ran = run(&mut import(dir));
    assert!(ran.code == Some(0), "{when}: {}", ran.err);
    assert!(ran.out.contains("  resumed "), "{when}: {}", ran.out);
    assert_same(&everything(dir, "data"), expected, when);
}

/// Long and short events in turns of a thousand: an append that no longer fits is followed by one that
/// would.
fn uneven() -> String {
    let long = "x".repeat(1_000);
    let event = |index: i64| {
        let user = format!("u{}", index * 7_919 % 997);
        let agent = if index / 1_024 % 2 == 0 { &long } else { "x" }.to_owned();
        Event { agent, load_time: Some(index % 500), ..Event::page_view(&user, START_MS + index * 100) }
    };
    lines(&(0..24_000).map(event).collect::<Vec<_>>())
}

#[test]
fn an_import_goes_on_once_a_full_disk_has_room_again() {
    let text = uneven();
    let undisturbed = with_input(&text);
    let ran = run(&mut import(undisturbed.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let expected = everything(undisturbed.path(), "data");

    for (kib, more_args) in [
        (3_000, ["--set", "log.batch_bytes_max=64KiB"]),
        (7_000, ["--set", "log.batch_bytes_max=8MiB"]),
        (10_000, ["--set", "log.batch_bytes_max=64KiB"]),
        (13_000, ["--set", "log.segment_bytes_max=1MiB"]),
    ] {
        let dir = with_input(&text);
        let Some(disk) = Disk::mount(&dir.path().join("data"), kib) else { return };
        let full = run(import(dir.path()).args(more_args));
        assert_eq!(full.code, Some(1), "{kib} KiB: {}{}", full.out, full.err);
        for word in ["no space is left", "free some", "the same command again"] {
            assert!(full.err.contains(word), "{kib} KiB: {}", full.err);
        }
        // Without room it fails again, and harms nothing.
        let again = run(import(dir.path()).args(more_args));
        assert_eq!(again.code, Some(1), "{kib} KiB: {}{}", again.out, again.err);
        disk.resize(200_000);
        let ran = run(import(dir.path()).args(more_args));
        assert_eq!(ran.code, Some(0), "{kib} KiB: {}", ran.err);
        assert!(!ran.out.contains("DOES NOT ADD UP"), "{kib} KiB: {}", ran.out);
        assert_same(&everything(dir.path(), "data"), &expected, &format!("{kib} KiB"));
        drop(disk);
    }
}
