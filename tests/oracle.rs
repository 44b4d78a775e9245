//! Imports of generated inputs against a calculation that knows nothing of the engine: it has all events
//! before it, sorts them and counts. Lines are out of order, but within the bound, so nothing may expire.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use common::{Event, Seeded, TABLES, assert_same, everything, lines, run, tidegate};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use siphasher::sip::SipHasher24;
use tempfile::TempDir;

const MINUTE_MS: i64 = 60_000;
const GAP_MS: i64 = 30 * MINUTE_MS;
/// 2024-05-14T00:00:00Z.
const START_MS: i64 = 1_715_644_800_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

const COUNTED: [&str; 4] = ["page_view", "click", "conversion", "add_to_cart"];
const AGENTS: [&str; 6] = [
    "Mozilla/5.0 (X11; Linux x86_64)",
    "Mozilla/5.0 (iPhone) Mobile/15E148",
    "Mozilla/5.0 (Android; Tablet; rv:125.0)",
    "ExampleBot/2.1",
    "Tablet Mobile Bot",
    "mobile tablet bot",
];

/// The category by the contract's words.
fn device(agent: &str) -> &'static str {
    let categories = ["Mobile", "Tablet", "Bot"];
    categories.into_iter().find(|category| agent.contains(category)).unwrap_or("Desktop")
}

fn window(time: i64, size: i64) -> (i64, i64) {
    let start = time - time.rem_euclid(size);
    (start, start + size)
}

fn mean(values: &[i64]) -> f64 {
    values.iter().sum::<i64>() as f64 / values.len() as f64
}

/// The value at rank 0.95 · (n − 1), between two ranks on the line through them.
fn p95(values: &[i64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let hundredths = 95 * (sorted.len() - 1);
    let (below, part) = (hundredths / 100, hundredths % 100);
    let (low, high) = (sorted[below] as f64, sorted[(below + 1).min(sorted.len() - 1)] as f64);
    low + (high - low) * part as f64 / 100.0
}

/// The rows that events should give, as objects by table.
fn expected_rows(events: &[Event]) -> BTreeMap<&'static str, Vec<Value>> {
    let mut counts: BTreeMap<_, (u64, BTreeSet<&str>)> = BTreeMap::new();
    let mut load_times: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    let mut visits: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if COUNTED.contains(&event.kind) {
            let count = counts.entry((window(event.time, MINUTE_MS), event.kind)).or_default();
            count.0 += 1;
            count.1.insert(&event.user);
        }
        if event.kind == "page_view" {
            visits.entry((&event.session, &event.user)).or_default().push(event);
            if let Some(load_time) = event.load_time.filter(|time| (0..=3_600_000).contains(time)) {
                let key = (window(event.time, 5 * MINUTE_MS), device(&event.agent));
                load_times.entry(key).or_default().push(load_time);
            }
        }
    }
    let mut sessions = Vec::new();
    let mut ended: BTreeMap<_, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
    for ((session, user), mut views) in visits {
        views.sort_by_key(|event| event.time);
        for visit in views.chunk_by(|earlier, later| later.time - earlier.time <= GAP_MS) {
            let (start, end) = (visit[0].time, visit[visit.len() - 1].time);
            let device = visit.iter().map(|event| device(&event.agent)).max().expect("it is not empty");
            sessions.push(json!({
                "session_id": session, "user_id": user, "start_time": start, "end_time": end,
                "duration": end - start, "page_count": visit.len(), "device_category": device,
            }));
            let of_window = ended.entry((window(end, 5 * MINUTE_MS), device)).or_default();
            of_window.0.push(end - start);
            of_window.1.push(i64::try_from(visit.len()).expect("few"));
        }
    }
    let event_rows = counts.into_iter().map(|(((start, end), event_type), (count, users))| {
        json!({
            "window_start": start, "window_end": end, "event_type": event_type,
            "event_count": count, "user_count": users.len(),
        })
    });
    let performance_rows = load_times.into_iter().map(|(((start, end), device), times)| {
        json!({
            "window_start": start, "window_end": end, "device_category": device,
            "avg_load_time": mean(&times), "p95_load_time": p95(&times),
        })
    });
    let overview_rows = ended.into_iter().map(|(((start, end), device), (durations, pages))| {
        json!({
            "window_start": start, "window_end": end, "device_category": device,
            "sessions": pages.len(), "bounces": pages.iter().filter(|pages| **pages == 1).count(),
            "avg_duration": mean(&durations), "avg_page_count": mean(&pages),
        })
    });
    BTreeMap::from([
        ("event_metrics", event_rows.collect()),
        ("session_metrics", sessions),
        ("performance_metrics", performance_rows.collect()),
        ("session_window_metrics", overview_rows.collect()),
    ])
}

/// The rows of a table, its instants as milliseconds.
fn found_rows(dir: &Path, table: &str, columns: &str) -> Vec<Value> {
    let ran =
        run(tidegate(dir).args(["query", &format!("SELECT {columns} FROM {table}"), "--format", "json"]));
    assert_eq!(ran.code, Some(0), "{table}: {}", ran.err);
    let row = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        for name in ["window_start", "window_end", "start_time", "end_time"] {
            if let Some(instant) = row.get_mut(name) {
                *instant = millis(instant.as_str().expect("text")).into();
            }
        }
        row
    };
    ran.out.lines().map(row).collect()
}

/// The milliseconds of an instant such as 2024-05-14 09:00:03.000, of a day of May 2024.
fn millis(text: &str) -> i64 {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().expect("digits");
    assert!(text.starts_with("2024-05-") && text.len() == 23, "{text}");
    let seconds = number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19);
    START_MS + (number(8, 10) - 14) * DAY_MS + seconds * 1_000 + number(20, 23)
}

/// Compares table by table, row by row; averages may differ in their last digits.
fn assert_rows(dir: &Path, events: &[Event], when: &str) {
    for (table, expected) in expected_rows(events) {
        let columns = TABLES.iter().find(|(name, _)| *name == table).expect("a table").1;
        let key = |row: &Value| {
            let names = ["window_start", "event_type", "start_time", "session_id", "user_id"];
            let parts = names.map(|name| row.get(name).map(Value::to_string).unwrap_or_default());
            // A session has one row, whatever its device; a window has one for each.
            let is_session = row.get("session_id").is_some();
            (parts, if is_session { String::new() } else { row["device_category"].to_string() })
        };
        let by_key = |rows: Vec<Value>| {
            let count = rows.len();
            let map: BTreeMap<_, _> = rows.into_iter().map(|row| (key(&row), row)).collect();
            assert_eq!(map.len(), count, "{when}: {table} shows a key twice");
            map
        };
        let (found, expected) = (by_key(found_rows(dir, table, columns)), by_key(expected));
        assert!(!expected.is_empty(), "{when}: {table} should not be empty");
        for (key, row) in &expected {
            let found = found.get(key).unwrap_or_else(|| panic!("{when}: {table} lacks {row}"));
            let columns = row.as_object().expect("an object");
            assert_eq!(found.as_object().expect("an object").len(), columns.len(), "{table}");
            for (name, value) in columns {
                let same = match (found[name].as_f64(), value.as_f64()) {
                    (Some(found), Some(value)) => (found - value).abs() <= 1e-9 * value.abs(),
                    _ => found[name] == *value,
                };
                assert!(same, "{when}: {name} of {table}:\n found    {found}\n expected {row}");
            }
        }
        let extra = found.iter().find(|(key, _)| !expected.contains_key(key));
        assert!(extra.is_none(), "{when}: {table} has one row too many: {extra:?}");
    }
}

/// Events of every kind over some hours, out of order by less than the bound of ten minutes.
fn random_events(seed: u64, count: u64) -> Vec<Event> {
    let mut random = Seeded(seed);
    let (users, step) = (5 + random.below(300), 20 + random.below(400));
    let mut clock = START_MS + 60 * MINUTE_MS + i64::try_from(random.below(100_000)).expect("small");
    let mut events = Vec::new();
    for _ in 0..count {
        clock += i64::try_from(random.below(2 * step)).expect("small");
        if random.below(2_000) == 0 {
            // Quiet for a while, so that sessions end; now and then for exactly the gap.
            clock += random.of(&[GAP_MS, GAP_MS + 1, 45 * MINUTE_MS, 5 * MINUTE_MS]);
        }
        let late = if random.below(3) == 0 { random.below(9 * 60_000) } else { random.below(3) };
        let user = random.below(users);
        // One user has two devices; some share a session's name, and are told apart by the user.
        let agent =
            if user == 0 { random.of(&AGENTS) } else { AGENTS[usize::try_from(user % 6).expect("small")] };
        let in_range = i64::try_from(random.below(5_000)).expect("small");
        events.push(Event {
            kind: random.of(&[
                "page_view",
                "page_view",
                "page_view",
                "click",
                "conversion",
                "add_to_cart",
                "scroll",
            ]),
            user: format!("user-{user}"),
            session: format!("s{}", user / 2 * 3 + random.below(2)),
            agent: agent.to_owned(),
            load_time: random.of(&[
                None,
                Some(in_range),
                Some(in_range),
                Some(0),
                Some(3_600_000),
                Some(3_600_001),
                Some(-1),
            ]),
            time: clock - i64::try_from(late).expect("small"),
        });
    }
    events
}

fn import(dir: &Path, workers: &str, files: &[&str]) -> String {
    let ran = run(tidegate(dir).args(["import", "--workers", workers]).args(files));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!ran.out.contains("Expired") && !ran.out.contains("DOES NOT ADD UP"), "{}", ran.out);
    ran.out
}

#[test]
fn json_lines_give_the_rows_that_were_counted_by_hand() {
    for seed in 1..=6 {
        let dir = TempDir::new().expect("a directory");
        let events = random_events(seed, 2_000 + 1_500 * seed);
        fs::write(dir.path().join("events.jsonl"), lines(&events)).expect("a file");
        import(dir.path(), if seed % 2 == 0 { "1" } else { "3" }, &["events.jsonl"]);
        assert_rows(dir.path(), &events, &format!("seed {seed}"));
        let rejected = events.iter().filter(|event| {
            event.kind == "page_view" && event.load_time.is_some_and(|time| !(0..=3_600_000).contains(&time))
        });
        let sql = "SELECT count(*) AS n FROM dropped_events WHERE reason = 'rejected' AND job = 'PerformanceTracker'";
        let ran = run(tidegate(dir.path()).args(["query", sql, "--format", "json"]));
        assert_eq!(ran.out, format!("{{\"n\":{}}}\n", rejected.count()), "seed {seed}: {}", ran.err);
    }
}

#[test]
fn the_rows_of_several_epochs_are_the_same_for_any_number_of_workers() {
    let events = random_events(77, 140_000);
    let text = lines(&events);
    let of = |workers: &str| {
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("events.jsonl"), &text).expect("a file");
        import(dir.path(), workers, &["events.jsonl"]);
        dir
    };
    let one = of("1");
    assert_rows(one.path(), &events, "1 worker");
    let expected = everything(one.path(), "tidegate-data");
    for workers in ["2", "4"] {
        let found = everything(of(workers).path(), "tidegate-data");
        assert_same(&found, &expected, &format!("{workers} workers"));
    }
}

/// A visit as an access log tells it: its line, and the event that it stands for.
fn log_line(random: &mut Seeded, second: i64, combined: bool) -> (String, Event) {
    let user = random.of(&["192.0.2.1", "192.0.2.77", "2001:db8::7", "198.51.100.9", "crawler.example"]);
    let agent = if combined { random.of(&AGENTS) } else { "-" };
    // The same instant on a clock two hours ahead.
    let (ahead, zone) = random.of(&[(0, "+0000"), (7_200, "+0200"), (-5_400, "-0130")]);
    let local = second + ahead;
    let (day, hour, minute) = (14 + local / 86_400, local / 3_600 % 24, local / 60 % 60);
    let path = random.of(&["/", "/a?b=c", "/img/x.png", "/ä"]);
    let mut line = format!(
        "{user} - - [{day}/May/2024:{hour:02}:{minute:02}:{:02} {zone}] \"GET {path} HTTP/1.1\" 200 512",
        local % 60
    );
    if combined {
        let _ = write!(line, " \"-\" \"{agent}\"");
    }
    line.push('\n');
    let session = format!("{user}-{:016x}", SipHasher24::new().hash(agent.as_bytes()));
    let time = START_MS + second * 1_000;
    let event = Event { session, agent: agent.to_owned(), ..Event::page_view(user, time) };
    (line, event)
}

#[test]
fn logs_and_json_plain_and_gzip_with_faults_in_them_give_the_rows_that_were_counted_by_hand() {
    let dir = TempDir::new().expect("a directory");
    let mut random = Seeded(5);
    let mut all = Vec::new();
    let write = |name: &str, is_gzip: bool, text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        if is_gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&bytes).expect("memory takes everything");
            bytes = encoder.finish().expect("memory takes everything");
        }
        fs::write(dir.path().join(name), bytes).expect("a file");
    };
    // Each file begins a little before the last one ends.
    let mut clock = 6 * 3_600;
    for (name, is_gzip, combined) in
        [("common.log", false, false), ("combined.log.gz", true, true), ("more.log", false, true)]
    {
        let mut text = String::new();
        for index in 0..2_500 {
            clock += i64::try_from(random.below(12)).expect("small");
            let late = i64::try_from(random.below(200)).expect("small");
            let (line, event) = log_line(&mut random, clock - late, combined);
            text += &line;
            all.push(event);
            text += match index % 500 {
                7 => "garbage\n",
                8 => "\n",
                9 => "192.0.2.1 - - [40/May/2024:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n",
                10 => "192.0.2.1 - - [14/May/2024:00:00:00 +0000] \"-\" 408 0\n",
                _ => "",
            };
        }
        write(name, is_gzip, &text);
        clock -= 200;
    }
    let mut events = random_events(3, 3_000);
    let shift = (clock / 60 + 1) * MINUTE_MS;
    for event in &mut events {
        event.time += shift;
    }
    let json = lines(&events).replacen('\n', "\n{\"event\":\n\n", 1);
    write("events.jsonl.gz", true, &json);
    all.extend(events);

    // The order in which the files are named does not matter.
    let said = import(dir.path(), "2", &["more.log", "events.jsonl.gz", "common.log", "combined.log.gz"]);
    assert!(said.contains("  malformed             46\n"), "{said}");
    assert!(said.contains("blank lines 16\n"), "{said}");
    assert_rows(dir.path(), &all, "all kinds");
}
