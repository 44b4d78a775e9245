//! `tidegate replay` on the built program: epochs come out again as they were committed, and what does not is shown.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::service::{SHORT, Service, up};
use common::{Event, Ran, now_ms, query, run, sample, tidegate, wait_for};
use serde_json::Value;
use tempfile::TempDir;

const NOTHING_AHEAD: [&str; 2] = ["--set", "time.future_tolerance=0ms"];

fn replay(dir: &Path, args: &[&str]) -> Ran {
    run(tidegate(dir).args(["replay", "--data-dir", "data"]).args(SHORT).args(args))
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err))
}

/// What a replay with the settings of the runs here says as JSON; it must end with `code`.
fn replayed(dir: &Path, args: &[&str], code: i32) -> Value {
    let ran = replay(dir, &[&NOTHING_AHEAD, args, &["--format", "json"]].concat());
    assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.out, ran.err);
    report(&ran)
}

/// The same of an import, which is made with the settings that nobody gave.
fn imported_again(dir: &Path, args: &[&str], code: i32) -> Value {
    let ran = run(tidegate(dir).args(["replay", "--data-dir", "data"]).args(args).args(["--format", "json"]));
    assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.out, ran.err);
    report(&ran)
}

fn journal(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("data/journal.db")).expect("it opens")
}

/// Epochs and what they name as a snapshot.
fn bindings(dir: &Path) -> Vec<(u64, Option<u64>)> {
    let journal = journal(dir);
    let sql = "SELECT epoch, json_extract(body, '$.snapshot.epoch') FROM bindings ORDER BY epoch";
    let mut statement = journal.prepare(sql).expect("it is good");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("it can be read");
    rows.collect::<Result<_, _>>().expect("it can be read")
}

fn number(dir: &Path, sql: &str) -> u64 {
    journal(dir).query_row(sql, [], |row| row.get(0)).expect("a number")
}

fn last_bound(dir: &Path) -> u64 {
    number(dir, "SELECT max(epoch) FROM bindings")
}

/// Rows of results that the journal holds of these epochs.
fn rows(dir: &Path, from: u64, to: u64) -> u64 {
    let sql = format!(
        "SELECT count(*) FROM rows JOIN topics ON topic = id WHERE epoch BETWEEN {from} AND {to} AND name IN
         ('event_metrics', 'session_metrics', 'performance_metrics', 'session_window_metrics')"
    );
    number(dir, &sql)
}

/// Everything that the journal holds, table by table.
fn journaled(dir: &Path) -> Vec<String> {
    let journal = journal(dir);
    let texts = |sql: &str| -> Vec<String> {
        let mut statement = journal.prepare(sql).expect("it is good");
        let columns = statement.column_count();
        let text = |row: &rusqlite::Row<'_>| {
            (0..columns).map(|column| Ok(format!("{:?} ", row.get_ref(column)?))).collect()
        };
        let rows = statement.query_map([], text).expect("it can be read");
        rows.collect::<Result<_, _>>().expect("it can be read")
    };
    let mut names = journal
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .expect("it is good");
    let names = names.query_map([], |row| row.get::<_, String>(0)).expect("it can be read");
    let dump = |name: rusqlite::Result<String>| {
        let name = name.expect("a name");
        let mut rows = texts(&format!("SELECT * FROM {name}"));
        rows.sort_unstable();
        rows.into_iter().map(move |row| format!("{name}: {row}"))
    };
    names.flat_map(dump).collect()
}

/// The files under a folder, with what is in them.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let read = |path: PathBuf| {
        if path.is_dir() { files(&path) } else { [(path.clone(), fs::read(path).expect("a file"))].into() }
    };
    paths.flat_map(read).collect()
}

/// A data directory with the rows of the sample, made in one epoch.
fn imported() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    let ran =
        run(tidegate(dir.path()).args(["import", "--data-dir", "data"]).arg(sample("sample_access.log")));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    dir
}

/// A service that makes a snapshot only when it ends, and lets no event be ahead.
fn start(dir: &Path, settings: &[&str]) -> Service {
    let rarely = ["--set", "snapshot.every=1d"];
    Service::start(up(dir, "data").args(SHORT).args(rarely).args(NOTHING_AHEAD).args(settings))
}

fn page_view(service: &Service, user: &str, time: i64) {
    let event = Event { load_time: Some(120), ..Event::page_view(user, time) };
    let answer = service.client("ingest").post("/v1/analytics/track", &event.line());
    assert_eq!(answer.expect("it answers").status, 202);
}

fn wait_for_session(dir: &Path, user: &str) {
    let sql = format!("SELECT * FROM session_metrics WHERE user_id = '{user}'");
    wait_for("the session", || (!query(dir, &sql).is_empty()).then_some(()));
}

/// Sends page views of a user, and waits until a session of theirs is closed and stored.
fn visit(dir: &Path, service: &Service, user: &str) {
    for _ in 0..3 {
        page_view(service, user, now_ms());
    }
    wait_for_session(dir, user);
}

fn terminate(service: Service) {
    assert_eq!(service.terminate().status.code(), Some(0));
}

/// Runs a service that is sent events for some windows, and ends in order.
fn serve(dir: &Path, run: u64, workers: &str, snapshots: &str) {
    let settings = ["--workers", workers, "--set", snapshots];
    let service = Service::start(up(dir, "data").args(SHORT).args(settings));
    let mut client = service.client("ingest");
    let mut sent = 0;
    let own = format!("SELECT count(*) AS n FROM session_metrics WHERE user_id LIKE 'u{run}-%'");
    let rows = || common::query(dir, &own)[0]["n"].as_u64();
    wait_for("rows of sessions", || {
        let event = Event { load_time: Some(sent), ..Event::page_view(&format!("u{run}-{sent}"), now_ms()) };
        assert_eq!(client.post("/v1/analytics/track", &event.line()).expect("it answers").status, 202);
        sent += 1;
        (rows() > Some(20)).then_some(())
    });
    assert!(service.terminate().status.success());
}

#[test]
fn epochs_come_out_again_as_they_were_committed() {
    let dir = TempDir::new().expect("a temporary directory");
    serve(dir.path(), 1, "1", "snapshot.every=1d");
    // One snapshot, of its end: everything is there from the beginning.
    for workers in ["1", "2", "4"] {
        let ran = replay(dir.path(), &["--workers", workers, "--format", "json"]);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        let report = report(&ran);
        assert_eq!((&report["snapshot"], &report["differences"]), (&Value::Null, &0.into()));
        assert_eq!(report["epochs"], bindings(dir.path()).len(), "{report:#}");
        assert!(report["rows"].as_u64() > Some(20), "{report:#}");
    }
    // And from that one on.
    serve(dir.path(), 2, "3", "snapshot.every=1d");
    let all = bindings(dir.path());
    let snapshot = all.iter().find_map(|(_, snapshot)| *snapshot).expect("a run ends with one");
    let from =
        all.iter().map(|(epoch, _)| *epoch).find(|epoch| *epoch > snapshot).expect("there are later ones");
    let ran = replay(dir.path(), &["--from-epoch", &from.to_string()]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(&format!("started from  the snapshot of epoch {snapshot}")), "{}", ran.out);
    assert!(ran.out.contains("differences   0\n") && !ran.out.contains("equal rows    0\n"), "{}", ran.out);
}

#[test]
fn an_import_is_computed_again_to_the_byte_by_any_number_of_workers() {
    let dir = imported();
    let all = rows(dir.path(), 0, u64::MAX >> 1);
    assert!(all > 40, "{all}");
    for workers in ["1", "2", "4"] {
        let said = imported_again(dir.path(), &["--workers", workers], 0);
        assert_eq!((&said["rows"], &said["differences"]), (&all.into(), &0.into()), "{said:#}");
        assert_eq!((&said["snapshot"], &said["last"]), (&Value::Null, &last_bound(dir.path()).into()));
    }
}

#[test]
fn a_row_that_was_changed_or_taken_out_by_hand_is_found_and_shown() {
    let dir = imported();
    let all = rows(dir.path(), 0, u64::MAX >> 1);
    let of_sessions = "topic = (SELECT id FROM topics WHERE name = 'session_metrics')";
    let one = format!("{of_sessions} AND offset = (SELECT min(offset) + 3 FROM rows WHERE {of_sessions})");
    let text = |column: &str| -> String {
        let sql = format!("SELECT CAST({column} AS TEXT) FROM rows WHERE {one}");
        journal(dir.path()).query_row(&sql, [], |row| row.get(0)).expect("a row")
    };
    let (key, value) = (text("key"), text("value"));
    let changed = value.replace("\"page_count\":", "\"page_count\":9");
    let change = |sql: &str| journal(dir.path()).execute_batch(sql).expect("it is changed");
    change(&format!("UPDATE rows SET value = CAST('{changed}' AS BLOB) WHERE {one}"));

    let said = imported_again(dir.path(), &[], 8);
    assert_eq!((&said["rows"], &said["differences"]), (&(all - 1).into(), &1.into()));
    let first = &said["difference"];
    assert_eq!((&first["table"], &first["key"]), (&"session_metrics".into(), &key.clone().into()));
    assert_eq!(first["epoch"], last_bound(dir.path()));
    let values = (&first["committed"]["value"], &first["computed"]["value"]);
    assert_eq!(values, (&changed.clone().into(), &value.clone().into()));
    let shown = run(tidegate(dir.path()).args(["replay", "--data-dir", "data"]));
    assert_eq!(shown.code, Some(8), "{}", shown.err);
    for part in [&key, &value, &changed, "differences   1\n", "session_metrics"] {
        assert!(shown.out.contains(part), "no {part:?} in {}", shown.out);
    }

    change(&format!("DELETE FROM rows WHERE {one}"));
    let said = imported_again(dir.path(), &[], 8);
    let first = &said["difference"];
    assert_eq!((&first["committed"], &first["computed"]["value"]), (&Value::Null, &value.into()));
}

#[test]
fn rows_that_retention_removed_are_named_and_not_compared() {
    let dir = imported();
    let all = rows(dir.path(), 0, u64::MAX >> 1);
    let of_sessions = "topic = (SELECT id FROM topics WHERE name = 'session_metrics')";
    let sessions = number(dir.path(), &format!("SELECT count(*) FROM rows WHERE {of_sessions}"));
    // As retention does it.
    let sql = format!(
        "DELETE FROM rows WHERE {of_sessions} AND offset < 5;
         UPDATE topics SET first_offset = 5 WHERE name = 'session_metrics'"
    );
    journal(dir.path()).execute_batch(&sql).expect("they go");
    let said = imported_again(dir.path(), &[], 0);
    assert_eq!(said["rows"], all - sessions, "{said:#}");
    let named = said["not_compared"][0].as_str().expect("a sentence");
    assert!(named.starts_with("session_metrics of 1 epochs: rows up to epoch"), "{named}");

    // No row of the sample has a load time, so that there are none of performance_metrics to remove.
    let all = "DELETE FROM rows;
               INSERT INTO topics (name, first_offset, next_offset) VALUES ('performance_metrics', 0, 1);
               UPDATE topics SET first_offset = next_offset";
    journal(dir.path()).execute_batch(all).expect("they go");
    let ran = run(tidegate(dir.path()).args(["replay", "--data-dir", "data"]));
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{}", ran.err);
    let named = "session_metrics of 1 epochs: its rows were removed (log.retention)";
    assert!(ran.err.contains("nothing was compared: ") && ran.err.contains(named), "{}", ran.err);
}

#[test]
fn epochs_after_a_snapshot_are_computed_again_beside_a_running_instance() {
    let dir = TempDir::new().expect("a temporary directory");
    let dir = dir.path();
    for user in ["first", "second"] {
        let service = start(dir, &[]);
        visit(dir, &service, user);
        terminate(service);
    }
    let kept = last_bound(dir);
    let service = start(dir, &["--workers", "3"]);
    visit(dir, &service, "third");
    let to = number(
        dir,
        "SELECT max(epoch) FROM rows WHERE topic = (SELECT id FROM topics WHERE name = 'session_metrics')",
    );
    let only = to.to_string();
    for workers in ["1", "2"] {
        // The second run ended with a snapshot, and this one has made none yet.
        let args = ["--workers", workers, "--from-epoch", &only, "--to-epoch", &only];
        let said = replayed(dir, &args, 0);
        assert!(said["snapshot"].as_u64().is_some_and(|epoch| epoch >= kept), "{said:#}");
        assert_eq!((&said["epochs"], &said["rows"]), (&1.into(), &rows(dir, to, to).into()), "{said:#}");
        assert!(said["rows"].as_u64() > Some(0));
    }
    terminate(service);
}

#[test]
fn corrections_and_retractions_are_computed_again_from_a_snapshot() {
    let dir = TempDir::new().expect("a temporary directory");
    let dir = dir.path();
    let late = ["--set", "jobs.allowed_lateness=1h"];
    let service = start(dir, &late);
    let time = now_ms();
    page_view(&service, "late", time);
    wait_for_session(dir, "late");
    terminate(service);
    let service = start(dir, &late);
    // It belongs to the session that is closed, whose row was committed before the snapshot.
    page_view(&service, "late", time + 500);
    wait_for("the correction", || {
        let sql = "SELECT * FROM session_metrics WHERE user_id = 'late' AND page_count = 2";
        (!query(dir, sql).is_empty()).then_some(())
    });
    // Corrected at once, or taken back until it is closed once more: that depends on when the second run began.
    let from = number(dir, "SELECT min(epoch) FROM rows WHERE op IN ('correct', 'retract')").to_string();
    for workers in ["1", "3"] {
        let said = replayed(dir, &[&late[..], &["--from-epoch", &from, "--workers", workers]].concat(), 0);
        assert!(said["snapshot"].is_u64() && said["rows"].as_u64() > Some(0), "{said:#}");
    }
    terminate(service);
}

#[test]
fn a_job_that_began_anew_is_compared_from_then_on_whatever_the_snapshot() {
    let dir = TempDir::new().expect("a temporary directory");
    let dir = dir.path();
    for user in ["one", "two"] {
        let service = start(dir, &[]);
        visit(dir, &service, user);
        terminate(service);
    }
    let last_old = last_bound(dir);
    let three = ["--set", "jobs.event_window=3s"];
    let service = start(dir, &[&three[..], &["--accept-changed-jobs"]].concat());
    let events = "SELECT count(*) FROM rows JOIN topics ON topic = id WHERE name = 'event_metrics'";
    wait_for("a window of three seconds", || {
        visit(dir, &service, "after");
        (number(dir, &format!("{events} AND epoch > {last_old}")) > 0).then_some(())
    });
    let last_new = last_bound(dir);
    let to = last_new.to_string();

    // It runs on, and has made no snapshot yet: what there is to start from is of the old definition.
    let first_new = number(dir, &format!("SELECT min(epoch) FROM bindings WHERE epoch > {last_old}"));
    let from = first_new.to_string();
    let said = replayed(dir, &[&three[..], &["--from-epoch", &from, "--to-epoch", &to]].concat(), 0);
    assert!(said["snapshot"].as_u64().is_some_and(|epoch| epoch < first_new), "{said:#}");
    assert_eq!(
        (&said["rows"], &said["not_compared"]),
        (&rows(dir, first_new, last_new).into(), &Value::Array(vec![]))
    );
    // From the beginning: all other jobs.
    let said = replayed(dir, &[&three[..], &["--to-epoch", &to]].concat(), 0);
    assert_eq!((&said["snapshot"], &said["differences"]), (&Value::Null, &0.into()), "{said:#}");
    let old = number(dir, &format!("{events} AND epoch <= {last_old}"));
    assert!(old > 0);
    assert_eq!(said["rows"], rows(dir, 0, last_new) - old, "{said:#}");
    let named = said["not_compared"][0].as_str().expect("a sentence");
    assert!(named.contains("event_metrics of") && named.contains("its job began anew in epoch"), "{named}");
    // The old rows by the old settings, and by no other ones.
    let old_only = last_old.to_string();
    let said = replayed(dir, &["--to-epoch", &old_only], 0);
    assert_eq!(said["rows"], rows(dir, 0, last_old), "{said:#}");
    let ran = replay(dir, &[&NOTHING_AHEAD[..], &three[..], &["--to-epoch", &old_only]].concat());
    assert_eq!(ran.code, Some(3), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("EventAggregator event_window_ms = 2000, now 3000"), "{}", ran.err);
    terminate(service);
}

#[test]
fn a_replay_writes_nothing_and_names_what_is_damaged() {
    let dir = imported();
    let events = dir.path().join("data/events");
    fs::remove_dir_all(dir.path().join("data/snapshots")).expect("they go");
    let before = (files(&events), journaled(dir.path()));
    assert!(before.0.len() > 1 && before.1.len() > 40);
    imported_again(dir.path(), &[], 0);
    assert!(!dir.path().join("data/snapshots").exists());
    assert!((files(&events), journaled(dir.path())) == before, "something was written");
    let damaged = fs::read_dir(events.join("0")).expect("a folder").next().expect("a segment").expect("it");
    let mut bytes = fs::read(damaged.path()).expect("a file");
    bytes.truncate(40);
    fs::write(damaged.path(), bytes).expect("it is written");
    let ran = run(tidegate(dir.path()).args(["replay", "--data-dir", "data"]));
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(ran.err.contains("damaged") && ran.err.contains(".segment"), "{}", ran.err);
}

#[test]
fn what_cannot_be_computed_again_is_refused() {
    let dir = TempDir::new().expect("a temporary directory");
    let nothing_more = "snapshot.history=0s";
    serve(dir.path(), 1, "2", nothing_more);
    let begun = bindings(dir.path())[0].0;
    serve(dir.path(), 2, "2", nothing_more);
    let all = bindings(dir.path());
    assert!(all[0].0 > begun, "older bindings were pruned: {all:?}");
    let (first, last) = (all[0].0, all[all.len() - 1].0);
    let ran = replay(dir.path(), &["--from-epoch", &first.to_string()]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("the oldest epoch that can be is"), "{}", ran.err);
    for (args, said) in [
        (vec!["--from-epoch", "7"], format!("which are {first} to {last}")),
        (vec!["--from-epoch", "9", "--to-epoch", "8"], "exchange them".to_owned()),
    ] {
        let ran = replay(dir.path(), &args);
        assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains(&said), "{}", ran.err);
    }
    let ran = replay(dir.path(), &["--set", "jobs.session_gap=3s"]);
    assert_eq!(ran.code, Some(3), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("SessionTracker session_gap_ms = 2000, now 3000"), "{}", ran.err);
    // What follows the older of two snapshots can be.
    let ran = replay(dir.path(), &["--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(report(&ran)["snapshot"].is_u64(), "{}", ran.out);
}
