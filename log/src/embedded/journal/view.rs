//! Looking at a journal without writing it, also while another process does.

mod pieces;

use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Transaction};
use tidegate_model::{Binding, Epoch, Offset};

pub use self::pieces::{Piece, RowPieces};

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

    /// Until the moment is dropped everything is read as of now, whatever is committed or removed meanwhile. So long
    /// the writer's log of the file cannot be cut back: it is not to be held while anything is computed.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn hold(&self) -> Result<Moment<'_>, JournalError> {
        let begun = self.connection.unchecked_transaction().and_then(|transaction| {
            // The moment is that of the first read; a transaction that merely began has none.
            transaction.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
            Ok(Moment { _transaction: transaction })
        });
        begun.map_err(|error| self.failed(&error))
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

    /// The rows of `topic` that the epoch `from` and those after it made, to be read in pieces. Nothing is held
    /// between them; what is removed meanwhile is told.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn rows_from(&self, topic: &str, from: Epoch) -> Result<RowPieces<'_>, JournalError> {
        let next = match self.topic(topic)? {
            // From the very first row on: where rows were removed, that is where they are missing.
            Some((id, kept)) => self.first_of(id, Offset::ZERO..kept.end, from),
            None => Ok(Offset::ZERO),
        };
        let next = next.map_err(|error| self.failed(&error))?;
        Ok(RowPieces { view: self, topic: topic.to_owned(), next })
    }

    fn failed(&self, error: &rusqlite::Error) -> JournalError {
        journal_error(&self.path, error)
    }

    fn topic(&self, name: &str) -> Result<Option<(i64, Range<Offset>)>, JournalError> {
        let sql = "SELECT id, first_offset, next_offset FROM topics WHERE name = ?1";
        let bounds = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Offset(row.get(1)?)..Offset(row.get(2)?)));
        self.connection.query_row(sql, [name], bounds).optional().map_err(|error| self.failed(&error))
    }

    /// The offset among `offsets` at which the rows of `epoch` and later ones begin; the end when there is none.
    fn first_of(&self, topic: i64, offsets: Range<Offset>, epoch: Epoch) -> rusqlite::Result<Offset> {
        // Rows lie in the order of their epochs. Where one is missing, the one behind it tells.
        let sql = "SELECT epoch FROM rows WHERE topic = ?1 AND partition = 0 AND offset >= ?2
                   ORDER BY offset LIMIT 1";
        let mut epoch_at = self.connection.prepare_cached(sql)?;
        let (mut low, mut high) = (offsets.start.0, offsets.end.0);
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<u64> = epoch_at.query_row((topic, middle), |row| row.get(0)).optional()?;
            if found.is_some_and(|found| found < epoch.0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Offset(low))
    }

    fn show(
        &self,
        topic: i64,
        kept: Range<Offset>,
        epochs: &RangeInclusive<Epoch>,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> rusqlite::Result<()> {
        let first = self.first_of(topic, kept, *epochs.start())?;
        let sql = "SELECT offset, epoch, op, generation, key, value, headers FROM rows
                   WHERE topic = ?1 AND partition = 0 AND offset >= ?2 ORDER BY offset";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query((topic, first.0))?;
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

/// A moment of a journal, which lasts until this is dropped.
#[must_use = "the moment ends when this is dropped"]
pub struct Moment<'a> {
    _transaction: Transaction<'a>,
}

#[cfg(test)]
mod tests;
