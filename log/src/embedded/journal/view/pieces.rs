//! Committed rows in pieces, each of its own moment.
//!
//! Whoever reads all rows of a long time would keep the writer from cutting its log back, if that were one moment.
//! Rows are never changed and only removed from the front, so that pieces of several moments fit together, but for
//! what retention removed in between.

use tidegate_model::{Epoch, Offset};

use super::super::rows::show_row;
use super::JournalView;
use crate::journal::JournalError;
use crate::rows::RowRef;

/// Rows of a topic from an epoch on, as far as they were read.
pub struct RowPieces<'a> {
    pub(super) view: &'a JournalView,
    pub(super) topic: String,
    pub(super) next: Offset,
}

/// What is to be known of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Nothing followed it.
    pub is_last: bool,
    /// Rows before it were removed since the piece before it: of this epoch and those before, rows may be missing.
    /// The largest epoch there can be when none is left.
    pub removed_until: Option<Epoch>,
}

impl RowPieces<'_> {
    /// Shows the next rows in order, `rows_max` at most.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn read(&mut self, rows_max: u32, visit: &mut dyn FnMut(RowRef<'_>)) -> Result<Piece, JournalError> {
        let nothing = Piece { is_last: true, removed_until: None };
        let Some((id, _)) = self.view.topic(&self.topic)? else { return Ok(nothing) };
        let from = self.next;
        let (mut first, mut shown) = (None, 0);
        let mut note = |row: RowRef<'_>| {
            first.get_or_insert((row.offset, row.epoch));
            shown += 1;
            self.next = row.offset.plus(1);
            visit(row);
        };
        self.view.show_some(id, from, rows_max, &mut note).map_err(|error| self.view.failed(&error))?;
        // The bounds are looked at after the rows: what retention removes in between was shown.
        let kept = self.view.topic(&self.topic)?.map_or(Offset::ZERO, |(_, kept)| kept.start);
        let is_missing = first.is_none_or(|(offset, _)| offset > from);
        let removed_until = first.map_or(Epoch(u64::MAX), |(_, epoch)| epoch);
        Ok(Piece {
            is_last: shown < rows_max,
            removed_until: (is_missing && kept > from).then_some(removed_until),
        })
    }
}

impl JournalView {
    fn show_some(
        &self,
        topic: i64,
        from: Offset,
        rows_max: u32,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> rusqlite::Result<()> {
        let sql = "SELECT offset, epoch, op, generation, key, value, headers FROM rows
                   WHERE topic = ?1 AND partition = 0 AND offset >= ?2 ORDER BY offset LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query((topic, from.0, rows_max))?;
        let mut headers = Vec::new();
        while let Some(row) = rows.next()? {
            show_row(row, &mut headers, visit)?;
        }
        Ok(())
    }
}
