//! A large backlog goes in small pieces, and commits go between them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use tidegate_model::Generation;

use super::super::{EmbeddedJournal, FILE};
use super::*;
use crate::conformance::journal::{commit, row};
use crate::journal::Journal;

const TOPIC: &str = "event_metrics";

/// The oldest row that is kept, as another process sees it; 0 before the first commit.
fn first_offset(path: &Path) -> u64 {
    let connection = Connection::open(path).expect("it opens");
    let sql = "SELECT first_offset FROM topics WHERE name = ?1";
    connection.query_row(sql, [TOPIC], |row| row.get(0)).optional().expect("it can be read").unwrap_or(0)
}

/// A journal with a backlog of rows of these lengths, and how much of it was gone at the time of each commit.
struct Backlog {
    _dir: TempDir,
    path: PathBuf,
    db: Arc<JournalDb>,
    journal: EmbeddedJournal,
    generation: Generation,
    gone_at_commits: Arc<Mutex<Vec<u64>>>,
}

fn backlog(lengths: impl Iterator<Item = usize>) -> Backlog {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join(FILE);
    let gone_at_commits = Arc::new(Mutex::new(Vec::new()));
    let (seen, file) = (Arc::clone(&gone_at_commits), path.clone());
    // The journal asks for the time of a commit when its turn has begun.
    let clock = Arc::new(move || {
        seen.lock().expect("no panic").push(first_offset(&file));
        EventTime::from_millis(0)
    });
    let db = JournalDb::open(path.clone(), None, clock).expect("it opens");
    let mut journal = EmbeddedJournal::new(Arc::clone(&db));
    let generation = journal.recover().expect("it recovers").generation;
    let rows = lengths.map(|length| row(1, &"x".repeat(length))).collect();
    journal.commit(&commit(1, generation, rows)).expect("it commits");
    Backlog { _dir: dir, path, db, journal, generation, gone_at_commits }
}

fn remove(db: &JournalDb) -> RemovedRows {
    db.remove_rows(TOPIC, &[], EventTime::from_millis(1)).expect("it removes")
}

#[test]
fn a_call_removes_so_many_rows_and_says_that_there_are_more() {
    let most = ROWS_AT_ONCE * TRANSACTIONS_AT_ONCE;
    let backlog = backlog((0..2 * most + 5).map(|_| 1));
    for gone in [most, 2 * most] {
        assert_eq!(remove(&backlog.db), RemovedRows { rows: most, more: true });
        assert_eq!(first_offset(&backlog.path), gone);
    }
    assert_eq!(remove(&backlog.db), RemovedRows { rows: 5, more: false });
    assert_eq!(remove(&backlog.db), RemovedRows { rows: 0, more: false });
}

#[test]
fn large_rows_go_a_few_at_once() {
    let third = usize::try_from(BYTES_AT_ONCE / 3).expect("small");
    let backlog = backlog((0..40).map(|_| third).chain([4 * third, 1]));
    assert_eq!(remove(&backlog.db), RemovedRows { rows: 3 * TRANSACTIONS_AT_ONCE, more: true });
    // Three times three, the tenth, the one that is too large by itself, and the last.
    assert_eq!(remove(&backlog.db), RemovedRows { rows: 12, more: false });
}

#[test]
fn a_commit_waits_for_one_transaction_at_most() {
    let Backlog { _dir, path, db, mut journal, generation, gone_at_commits } =
        backlog((0..ROWS_AT_ONCE * TRANSACTIONS_AT_ONCE).map(|_| 1));
    let waits = |count| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while db.writer.waiting() < count {
            assert!(Instant::now() < deadline, "{count} should wait");
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        // Both want the connection, retention first.
        let held = db.writer();
        let removed = scope.spawn(|| remove(&db));
        waits(1);
        let committed = scope.spawn(|| journal.commit(&commit(2, generation, Vec::new())));
        waits(2);
        drop(held);
        committed.join().expect("no panic").expect("it commits");
        assert_eq!(removed.join().expect("no panic").rows, ROWS_AT_ONCE * TRANSACTIONS_AT_ONCE);
    });
    assert_eq!(*gone_at_commits.lock().expect("no panic"), [0, ROWS_AT_ONCE]);
    assert_eq!(first_offset(&path), ROWS_AT_ONCE * TRANSACTIONS_AT_ONCE);
}

#[test]
fn a_row_keeps_its_age_when_its_binding_is_pruned() {
    let dir = TempDir::new().expect("a temporary directory");
    let now = Arc::new(Mutex::new(0_i64));
    let read = Arc::clone(&now);
    let clock = Arc::new(move || EventTime::from_millis(*read.lock().expect("no panic")));
    let db = JournalDb::open(dir.path().join(FILE), None, clock).expect("it opens");
    let mut journal = EmbeddedJournal::new(Arc::clone(&db));
    let generation = journal.recover().expect("it recovers").generation;
    // An epoch a second, for three minutes.
    for epoch in 1..=180 {
        *now.lock().expect("no panic") = i64::try_from(epoch).expect("small") * 1_000;
        journal.commit(&commit(epoch, generation, vec![row(epoch, "a")])).expect("it commits");
    }
    // Several times a minute, as snapshots have it.
    for before in (20..=180).step_by(20) {
        journal.prune(tidegate_model::Epoch(before)).expect("it prunes");
    }
    let ages = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM ages", [], |row| row.get::<_, u64>(0)).expect("it reads")
    };
    assert_eq!(ages(&db.writer().connection), 3, "one a minute");
    let before = |seconds: i64| {
        db.remove_rows(TOPIC, &[], EventTime::from_millis(seconds * 1_000)).expect("it removes").rows
    };
    assert_eq!(before(59), 0, "the first minute is not over");
    assert_eq!(before(61), 59, "it is over, and nothing of the second goes");
    assert_eq!(before(150), 60);
    assert_eq!(before(181), 61, "the last binding is there");
}
