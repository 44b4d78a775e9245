//! The committed rows of one table, epoch after epoch.

use std::collections::VecDeque;

use tidegate_log::RowRef;
use tidegate_log::embedded::RowPieces;
use tidegate_log::journal::JournalError;
use tidegate_model::Epoch;

use super::super::report::Row;

/// Rows in a piece, at most.
const ROWS_AT_ONCE: u32 = 1_000;

/// A key and a row.
pub(super) type Keyed = (Vec<u8>, Row);

/// A table.
pub(super) struct Table<'a> {
    pub(super) name: &'static str,
    /// From this epoch on its rows are those of the job as it is now.
    pub(super) begins: Epoch,
    pieces: RowPieces<'a>,
    /// What was read and not asked for yet.
    ahead: VecDeque<(Epoch, Keyed)>,
    is_read: bool,
    /// Up to this epoch rows may have been removed.
    removed_until: Option<Epoch>,
    /// Epochs that came before the job began anew.
    before_begin: u64,
    /// Epochs of which rows may be missing.
    removed: u64,
}

impl<'a> Table<'a> {
    pub(super) fn new(name: &'static str, begins: Epoch, pieces: RowPieces<'a>) -> Self {
        let ahead = VecDeque::new();
        let (before_begin, removed) = (0, 0);
        Self { name, begins, pieces, ahead, is_read: false, removed_until: None, before_begin, removed }
    }

    /// The rows of the next epoch; `None` when they cannot be compared.
    pub(super) fn rows_of(&mut self, epoch: Epoch) -> Result<Option<Vec<Keyed>>, JournalError> {
        let mut rows = Vec::new();
        loop {
            // One of an epoch that is not bound came here by mistake, and is a difference, too.
            while let Some((_, row)) = self.ahead.pop_front_if(|(of, _)| *of <= epoch) {
                rows.push(row);
            }
            if self.is_read || !self.ahead.is_empty() {
                break;
            }
            self.read_on()?;
        }
        // Rows of another definition could not be compared either way.
        if epoch < self.begins {
            self.before_begin += 1;
            return Ok(None);
        }
        if self.removed_until.is_some_and(|until| epoch <= until) {
            self.removed += 1;
            return Ok(None);
        }
        Ok(Some(rows))
    }

    fn read_on(&mut self) -> Result<(), JournalError> {
        let ahead = &mut self.ahead;
        let mut keep = |row: RowRef<'_>| {
            let value = String::from_utf8_lossy(row.value).into_owned();
            ahead.push_back((row.epoch, (row.key.to_vec(), Row { op: row.op, value })));
        };
        let piece = self.pieces.read(ROWS_AT_ONCE, &mut keep)?;
        // Every row asked for was committed before the first piece was read.
        self.is_read = piece.is_last;
        self.removed_until = self.removed_until.max(piece.removed_until);
        Ok(())
    }

    /// What was not compared, and why: a sentence for each reason.
    pub(super) fn not_compared(&self) -> impl Iterator<Item = String> {
        let begun = format!("its job began anew in epoch {}", self.begins);
        let removed = match self.removed_until {
            Some(until) if until.0 < u64::MAX => {
                format!("rows up to epoch {until} were removed (log.retention)")
            }
            _ => "its rows were removed (log.retention)".to_owned(),
        };
        let name = self.name;
        [(self.before_begin, begun), (self.removed, removed)]
            .into_iter()
            .filter(|(epochs, _)| *epochs > 0)
            .map(move |(epochs, why)| format!("{name} of {epochs} epochs: {why}"))
    }
}
