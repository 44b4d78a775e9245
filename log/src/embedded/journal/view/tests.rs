//! Looking on while rows and bindings are committed and removed.

use std::sync::Arc;

use tempfile::TempDir;
use tidegate_model::EventTime;

use super::super::{EmbeddedJournal, FILE, JournalDb};
use super::*;
use crate::conformance::journal::{commit, row};
use crate::journal::Journal as _;

const TOPIC: &str = "event_metrics";

/// A journal with two rows in each of the epochs 1 to 5.
fn written(dir: &TempDir) -> Arc<JournalDb> {
    let clock = Arc::new(|| EventTime::from_millis(7));
    let db = JournalDb::open(dir.path().join(FILE), None, clock).expect("it opens");
    let mut journal = EmbeddedJournal::new(Arc::clone(&db));
    let generation = journal.recover().expect("it recovers").generation;
    for epoch in 1..=5 {
        let rows = ["a", "b"].map(|value| row(epoch, &format!("{epoch}{value}"))).to_vec();
        journal.commit(&commit(epoch, generation, rows)).expect("it commits");
    }
    db
}

fn values(view: &JournalView, epochs: RangeInclusive<u64>) -> Vec<String> {
    let mut values = Vec::new();
    let keep = &mut |row: RowRef<'_>| values.push(String::from_utf8_lossy(row.value).into_owned());
    let epochs = Epoch(*epochs.start())..=Epoch(*epochs.end());
    view.read_rows(TOPIC, epochs, keep).expect("it can be read");
    values
}

#[test]
fn rows_are_found_by_their_epochs_as_far_as_they_are_kept() {
    let dir = TempDir::new().expect("a temporary directory");
    let db = written(&dir);
    let view = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
    assert_eq!(values(&view, 2..=3), ["2a", "2b", "3a", "3b"]);
    assert_eq!(values(&view, 5..=9), ["5a", "5b"]);
    assert_eq!(values(&view, 6..=9), [""; 0]);
    let removed = |topic| view.removed_until(topic).expect("it can be read");
    assert_eq!((removed("nothing"), removed(TOPIC)), (None, None));
    let sql = "DELETE FROM rows WHERE offset < 5; UPDATE topics SET first_offset = 5";
    db.writer().connection.execute_batch(sql).expect("rows go");
    assert_eq!(removed(TOPIC), Some(Epoch(3)));
    assert_eq!(values(&view, 1..=3), ["3b"]);
    let sql = "DELETE FROM rows; UPDATE topics SET first_offset = 10";
    db.writer().connection.execute_batch(sql).expect("rows go");
    assert_eq!((removed(TOPIC), values(&view, 1..=9)), (Some(Epoch(u64::MAX)), vec![]));
}

#[test]
fn a_row_that_somebody_took_out_hides_no_other() {
    let dir = TempDir::new().expect("a temporary directory");
    let db = written(&dir);
    let view = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
    for (offset, left) in [(5, vec!["3a"]), (9, vec!["3a"]), (0, vec!["3a"]), (4, vec![])] {
        let sql = format!("DELETE FROM rows WHERE offset = {offset}");
        db.writer().connection.execute_batch(&sql).expect("it goes");
        assert_eq!(values(&view, 3..=3), left, "without {offset}");
    }
    assert_eq!(values(&view, 4..=9), ["4a", "4b", "5a"]);
}

/// The bindings that are seen.
fn epochs(view: &JournalView) -> Vec<u64> {
    let mut epochs = Vec::new();
    view.read_bindings(&mut |binding| epochs.push(binding.epoch.0)).expect("it can be read");
    epochs
}

#[test]
fn a_held_view_stays_at_its_moment_until_it_is_dropped() {
    let dir = TempDir::new().expect("a temporary directory");
    let db = written(&dir);
    let view = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
    let moment = view.hold().expect("it holds");
    // Nothing else was read by then: the moment is that of the call.
    db.writer().connection.execute_batch("DELETE FROM bindings WHERE epoch < 4").expect("they go");
    assert_eq!(epochs(&view), [1, 2, 3, 4, 5]);
    let later = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
    assert_eq!(epochs(&later), [4, 5]);
    drop(moment);
    assert_eq!(epochs(&view), [4, 5]);
}

/// Reads the next piece: its values, whether it is the last one, and up to which epoch rows may be missing.
fn piece(pieces: &mut RowPieces<'_>) -> (Vec<String>, bool, Option<u64>) {
    let mut values = Vec::new();
    let keep = &mut |row: RowRef<'_>| values.push(String::from_utf8_lossy(row.value).into_owned());
    let Piece { is_last, removed_until } = pieces.read(3, keep).expect("it can be read");
    (values, is_last, removed_until.map(|epoch| epoch.0))
}

fn read<const N: usize>(
    values: [&str; N],
    is_last: bool,
    removed: Option<u64>,
) -> (Vec<String>, bool, Option<u64>) {
    (values.map(str::to_owned).to_vec(), is_last, removed)
}

#[test]
fn rows_are_read_in_pieces_that_hold_nothing() {
    let dir = TempDir::new().expect("a temporary directory");
    let db = written(&dir);
    let view = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
    let mut pieces = view.rows_from(TOPIC, Epoch(2)).expect("it can be read");
    assert_eq!(piece(&mut pieces), read(["2a", "2b", "3a"], false, None));
    // All of the writer's log is taken into the file, and cut off: nobody looks at an older state.
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let busy: u32 = db.writer().connection.query_row(sql, [], |row| row.get(0)).expect("it checkpoints");
    assert_eq!((busy, std::fs::metadata(dir.path().join("journal.db-wal")).expect("a file").len()), (0, 0));
    assert_eq!(piece(&mut pieces), read(["3b", "4a", "4b"], false, None));
    assert_eq!(piece(&mut pieces), read(["5a", "5b"], true, None));
    assert_eq!(piece(&mut pieces), read([], true, None));
    let mut nothing = view.rows_from("nothing", Epoch(2)).expect("it can be read");
    assert_eq!(piece(&mut nothing), read([], true, None));
}

#[test]
fn what_retention_removes_between_pieces_is_told_and_what_somebody_took_out_is_not() {
    let dir = TempDir::new().expect("a temporary directory");
    let db = written(&dir);
    let change = |sql: &str| db.writer().connection.execute_batch(sql).expect("rows go");
    let view = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
    let mut pieces = view.rows_from(TOPIC, Epoch(1)).expect("it can be read");
    assert_eq!(piece(&mut pieces), read(["1a", "1b", "2a"], false, None));
    change("DELETE FROM rows WHERE offset = 4");
    assert_eq!(piece(&mut pieces), read(["2b", "3b", "4a"], false, None));
    change("DELETE FROM rows WHERE offset < 9; UPDATE topics SET first_offset = 9");
    assert_eq!(piece(&mut pieces), read(["5b"], true, Some(5)));
    // Before the first piece: what was removed is missing from the epochs asked for, or it is not.
    let mut older = view.rows_from(TOPIC, Epoch(3)).expect("it can be read");
    assert_eq!(piece(&mut older), read(["5b"], true, Some(5)));
    let mut newer = view.rows_from(TOPIC, Epoch(6)).expect("it can be read");
    assert_eq!(piece(&mut newer), read([], true, None));
    change("DELETE FROM rows; UPDATE topics SET first_offset = 10");
    let mut gone = view.rows_from(TOPIC, Epoch(3)).expect("it can be read");
    assert_eq!(piece(&mut gone), read([], true, Some(u64::MAX)));
}
