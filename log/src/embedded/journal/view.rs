//! Looking at a journal without writing it, also while another process does.

use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension};
use tidegate_model::{Binding, Epoch, Offset};

use super::bindings;
use super::rows::show_row;
use super::transaction::journal_error;
use crate::journal::JournalError;
use crate::rows::RowRef;

/// Looks at a journal without writing it.
pub struct JournalView {
    connection: Connection,
    path: PathBuf,
}

impl JournalView {
    pub(super) fn new(connection: Connection, path: PathBuf) -> Self {
        Self { connection, path }
    }

    /// From now on everything is read as of one moment, whatever is committed or removed meanwhile. The
    /// writer's log of the file cannot be cut back as long as the view lives.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn hold(&self) -> Result<(), JournalError> {
        self.connection.execute_batch("BEGIN").map_err(|error| self.failed(&error))
    }

    /// The newest binding; `None` before the first commit.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn last_binding(&self) -> Result<Option<Binding>, JournalError> {
        bindings::read_last(&self.connection, &self.path)
    }

    /// Shows every binding kept, oldest first, one by one because there may be many.
    ///
    /// # Errors
    /// When the journal cannot be read. What was shown before is right.
    pub fn read_bindings(&self, visit: &mut dyn FnMut(Binding)) -> Result<(), JournalError> {
        bindings::read_after(&self.connection, &self.path, None, visit)
    }

    /// The epoch of the oldest row of `topic` that is kept, if older ones were removed: of that epoch and
    /// those before rows may be missing. The largest epoch there can be when all were removed.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn removed_until(&self, topic: &str) -> Result<Option<Epoch>, JournalError> {
        let Some((id, kept)) = self.topic(topic)?.filter(|(_, kept)| kept.start > Offset::ZERO) else {
            return Ok(None);
        };
        let sql = "SELECT epoch FROM rows WHERE topic = ?1 AND partition = 0 AND offset = ?2";
        let oldest = self.connection.query_row(sql, (id, kept.start.0), |row| row.get(0)).optional();
        Ok(Some(oldest.map_err(|error| self.failed(&error))?.map_or(Epoch(u64::MAX), Epoch)))
    }

    /// Shows the rows of `topic` that the epochs made, as far as they are kept, in order.
    ///
    /// # Errors
    /// When the journal cannot be read. What was shown before is right.
    pub fn read_rows(
        &self,
        topic: &str,
        epochs: RangeInclusive<Epoch>,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<(), JournalError> {
        let Some((id, kept)) = self.topic(topic)? else { return Ok(()) };
        self.show(id, kept, &epochs, visit).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &rusqlite::Error) -> JournalError {
        journal_error(&self.path, error)
    }

    fn topic(&self, name: &str) -> Result<Option<(i64, Range<Offset>)>, JournalError> {
        let sql = "SELECT id, first_offset, next_offset FROM topics WHERE name = ?1";
        let bounds = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Offset(row.get(1)?)..Offset(row.get(2)?)));
        self.connection.query_row(sql, [name], bounds).optional().map_err(|error| self.failed(&error))
    }

    fn show(
        &self,
        topic: i64,
        kept: Range<Offset>,
        epochs: &RangeInclusive<Epoch>,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> rusqlite::Result<()> {
        // Rows lie in the order of their epochs and without gaps: the first one is found by halving.
        let sql = "SELECT epoch FROM rows WHERE topic = ?1 AND partition = 0 AND offset = ?2";
        let mut epoch_at = self.connection.prepare(sql)?;
        let (mut low, mut high) = (kept.start.0, kept.end.0);
        while low < high {
            let middle = low + (high - low) / 2;
            let epoch: u64 = epoch_at.query_row((topic, middle), |row| row.get(0))?;
            if epoch < epochs.start().0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let sql = "SELECT offset, epoch, op, generation, key, value, headers FROM rows
                   WHERE topic = ?1 AND partition = 0 AND offset >= ?2 ORDER BY offset";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query((topic, low))?;
        let mut headers = Vec::new();
        while let Some(row) = rows.next()? {
            if row.get::<_, u64>(1)? > epochs.end().0 {
                break;
            }
            show_row(row, &mut headers, visit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
    fn a_held_view_stays_at_its_moment() {
        let dir = TempDir::new().expect("a temporary directory");
        let db = written(&dir);
        let view = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
        view.hold().expect("it holds");
        let epochs = |view: &JournalView| {
            let mut epochs = Vec::new();
            view.read_bindings(&mut |binding| epochs.push(binding.epoch.0)).expect("it can be read");
            epochs
        };
        assert_eq!(epochs(&view), [1, 2, 3, 4, 5]);
        db.writer().connection.execute_batch("DELETE FROM bindings WHERE epoch < 4").expect("they go");
        assert_eq!(epochs(&view), [1, 2, 3, 4, 5]);
        let later = EmbeddedJournal::open_read_only(dir.path()).expect("it opens");
        assert_eq!(epochs(&later), [4, 5]);
    }
}
