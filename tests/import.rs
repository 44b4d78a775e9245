//! Whole imports by the built program, and what is in the tables afterwards.

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{run, sample, tidegate};
use tempfile::TempDir;

/// The columns that the contract names; the others say when and how a row came.
const SESSIONS: &str = "SELECT session_id, user_id, start_time, end_time, duration, page_count, device_category \
                        FROM session_metrics ORDER BY start_time, session_id, user_id";
const EVENTS: &str = "SELECT window_start, window_end, event_type, event_count, user_count FROM event_metrics \
                      ORDER BY window_start, event_type";

fn query(dir: &Path, sql: &str) -> String {
    let ran = run(tidegate(dir).args(["query", sql, "--format", "csv"]));
    assert_eq!(ran.code, Some(0), "{sql}: {}", ran.err);
    ran.out
}

fn rows(dir: &Path, sql: &str) -> Vec<String> {
    query(dir, sql).lines().skip(1).map(str::to_owned).collect()
}

/// The numbers were computed from the file by a few lines of Python: a regular expression for the lines,
/// a sort for the sessions.
#[test]
fn the_sample_log_gives_the_numbers_that_were_computed_another_way() {
    let dir = TempDir::new().expect("a directory");
    let ran = run(tidegate(dir.path()).arg("import").arg(sample("sample_access.log")));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("  sessions              20\n"), "{}", ran.out);
    assert!(!ran.out.contains("DOES NOT ADD UP"), "{}", ran.out);
    assert_eq!(rows(dir.path(), "SELECT count(*), sum(event_count) FROM event_metrics"), ["15,57"]);
    let sums = "SELECT count(*), sum(page_count = 1), sum(page_count), sum(duration) FROM session_metrics";
    assert_eq!(rows(dir.path(), sums), ["20,12,57,1099000"]);
    let devices = "SELECT device_category, count(*) FROM session_metrics GROUP BY 1 ORDER BY 1";
    assert_eq!(rows(dir.path(), devices), ["Bot,1", "Desktop,15", "Mobile,3", "Tablet,1"]);
    let overview = "SELECT count(*), sum(sessions), sum(bounces) FROM session_window_metrics";
    assert_eq!(rows(dir.path(), overview), ["8,20,12"]);
    assert_eq!(rows(dir.path(), "SELECT count(DISTINCT user_id) FROM session_metrics"), ["17"]);

    let ledger = run(tidegate(dir.path()).args(["ledger", "--format", "json"]));
    let ledger: serde_json::Value = serde_json::from_str(&ledger.out).expect("JSON");
    assert_eq!(ledger["SessionTracker"]["counted"], 57);
}

#[test]
fn an_input_that_was_imported_before_is_refused() {
    let dir = TempDir::new().expect("a directory");
    let import = || run(tidegate(dir.path()).arg("import").arg(sample("sample_access.log")));
    assert_eq!(import().code, Some(0));
    let before = query(dir.path(), SESSIONS);
    let again = import();
    assert_eq!(again.code, Some(3), "{}", again.out);
    assert!(again.err.contains("2024-05-14T09:00:03.000Z"), "{}", again.err);
    assert_eq!(query(dir.path(), SESSIONS), before);
}

#[test]
fn the_rows_do_not_depend_on_the_number_of_workers() {
    let of = |workers: &str| {
        let dir = TempDir::new().expect("a directory");
        let file = sample("sample_events.jsonl");
        let ran = run(tidegate(dir.path()).args(["import", "--workers", workers]).arg(file));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        query(dir.path(), SESSIONS) + &query(dir.path(), EVENTS)
    };
    let one = of("1");
    assert!(one.lines().count() > 10, "{one}");
    assert_eq!(one, of("2"));
    assert_eq!(one, of("4"));
}

#[test]
fn an_import_that_was_killed_goes_on_and_gives_the_same_rows() {
    let inputs = TempDir::new().expect("a directory");
    let log = inputs.path().join("access.log");
    fs::write(&log, synthetic_log(500_000)).expect("a file");
    let undisturbed = TempDir::new().expect("a directory");
    let ran = run(tidegate(undisturbed.path()).arg("import").arg(&log));
    assert_eq!(ran.code, Some(0), "{}", ran.err);

    let import = |dir: &TempDir| {
        let mut command = tidegate(dir.path());
        command.arg("import").arg(&log).args(["--set", "snapshot.records=100000"]);
        command
    };
    let killed = TempDir::new().expect("a directory");
    let data = killed.path().join("tidegate-data");
    // While lines are appended; and when a snapshot counts, because the next one is begun, and there is something
    // to replay after it.
    let kills: [&dyn Fn() -> bool; 2] =
        [&|| bytes_under(&data.join("events")) >= 8 << 20, &|| snapshots_under(&data) > 1];
    for is_time in kills {
        let mut child =
            import(&killed).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
        let deadline = Instant::now() + Duration::from_mins(2);
        while !is_time() {
            assert!(Instant::now() < deadline, "it was never time to kill it");
            assert!(child.try_wait().expect("a child").is_none(), "it ended before it could be killed");
            std::thread::park_timeout(Duration::from_millis(2));
        }
        child.kill().expect("it runs");
        child.wait().expect("it is dead");
    }

    // With other options its events would go elsewhere, or be late where they were not.
    for options in [["--set", "topics.partitions=12"], ["--max-disorder", "1h"]] {
        let other = run(tidegate(killed.path()).arg("import").arg(&log).args(options));
        assert_eq!(other.code, Some(3), "{options:?}: {}{}", other.out, other.err);
        assert!(other.err.contains("was interrupted: run its command again"), "{}", other.err);
    }

    let resumed = run(&mut import(&killed));
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    assert!(resumed.out.contains("  resumed "), "{}", resumed.out);
    let counts = |out: &str| {
        out.lines()
            .filter(|line| line.starts_with("  sessions") || line.starts_with("  windows"))
            .collect::<Vec<_>>()
            .concat()
    };
    assert_eq!(counts(&resumed.out), counts(&ran.out), "rows of the first runs are its own, too");
    assert!(!resumed.out.contains("DOES NOT ADD UP"), "{}", resumed.out);
    for sql in [SESSIONS, EVENTS] {
        assert!(query(killed.path(), sql) == query(undisturbed.path(), sql), "{sql}");
    }
}

#[test]
fn a_later_import_reports_its_own_rows() {
    let dir = TempDir::new().expect("a directory");
    let sessions = |lines: &str, name: &str| {
        let file = dir.path().join(name);
        fs::write(&file, lines).expect("a file");
        let ran = run(tidegate(dir.path()).arg("import").arg(file));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out.lines().find(|line| line.starts_with("  sessions")).expect("it tells").to_owned()
    };
    let line = |day: u32| {
        format!("10.0.0.1 - - [{day}/May/2024:09:00:00 +0000] \"GET /p HTTP/1.1\" 200 1 \"-\" \"a\"\n")
    };
    assert_eq!(sessions(&line(14), "first.log"), "  sessions               1");
    assert_eq!(sessions(&line(15), "second.log"), "  sessions               1");
}

/// What came from there is in the log and cannot be asked for again: it must not count as somebody else's.
#[test]
fn after_an_interrupted_import_from_standard_input_nothing_else_is_imported() {
    let dir = TempDir::new().expect("a directory");
    let input = dir.path().join("bad.log");
    fs::write(&input, synthetic_log(30_000) + "no line of a log\n").expect("a file");
    let mut strict = tidegate(dir.path());
    strict.args(["import", "-", "--strict"]).stdin(fs::File::open(&input).expect("a file"));
    assert_eq!(run(&mut strict).code, Some(5));
    let next = run(tidegate(dir.path()).arg("import").arg(sample("sample_access.log")));
    assert_eq!(next.code, Some(3), "{}", next.out);
    assert!(
        next.err.contains("from standard input") && next.err.contains("empty data directory"),
        "{}",
        next.err
    );
}

/// Visits by 500 addresses over a day or two, nearly in order.
fn synthetic_log(lines: u64) -> String {
    let mut text = String::new();
    let mut state = 7_u64;
    for line in 0..lines {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (address, jitter, page) = ((state >> 33) % 500, (state >> 43) % 5, (state >> 53) % 40);
        let second = line + jitter;
        let (day, hour, minute) = (14 + second / 86_400, second / 3_600 % 24, second / 60 % 60);
        writeln!(
            text,
            "10.0.{}.{} - - [{day}/May/2024:{hour:02}:{minute:02}:{:02} +0000] \"GET /p/{page} HTTP/1.1\" 200 1 \"-\" \"a\"",
            address / 250,
            address % 250,
            second % 60,
        )
        .expect("a string takes everything");
    }
    text
}

/// How many snapshots there are objects of.
fn snapshots_under(data: &Path) -> usize {
    let Ok(entries) = fs::read_dir(data.join("snapshots")) else { return 0 };
    let names =
        entries.map(|entry| entry.expect("it can be listed").file_name().into_string().expect("a text"));
    let of_snapshot = |name: String| Some(name.rsplit_once('-')?.0.to_owned());
    names.filter_map(of_snapshot).collect::<BTreeSet<_>>().len()
}

fn bytes_under(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
