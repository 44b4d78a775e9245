//! Rows that the server itself refuses, because of a constraint that somebody gave a table, say.
//!
//! One bad row makes the server refuse its whole insert. It is found by halves, and put where rows are kept that do
//! not fit their table; the others are stored. Rows go from the first to the last throughout: what lies before the
//! newest row of a table is stored or kept, whenever the process ends.

use std::collections::BTreeMap;

use tidegate_model::Schema;

use super::{ClickHouseStore, keys, label, plan};
use crate::batch::{Batch, Content, Row, Table, Unreadable, Value};
use crate::store::{Applied, StoreError};

/// Why rows were not stored.
pub(super) enum NotStored {
    /// Because of what one of them says.
    Refused(String),
    /// For another reason.
    Failed(StoreError),
}

impl From<StoreError> for NotStored {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// The next rows to try, of so many that are left; of the first `bound` one is refused.
fn next_try(left: usize, bound: Option<usize>) -> usize {
    bound.map_or(left, |bound| (bound / 2).max(1))
}

impl ClickHouseStore {
    /// Stores the rows of a piece that go to their table. Each that the server refuses costs one try for every time
    /// that the piece can be halved, and at most three more.
    pub(super) fn put_rows(&mut self, batch: &Batch, rows: &[Row]) -> Result<Applied, StoreError> {
        let (mut left, mut bound) = (rows, None);
        let (mut applied, mut refused) = (Applied::default(), 0);
        self.replaced.clear();
        while !left.is_empty() {
            let (piece, behind) = left.split_at(next_try(left.len(), bound));
            let put = match batch.table {
                Table::Metrics(schema) => self.put_metrics(schema, batch, piece),
                Table::Dropped => self.put_dropped(batch, piece),
            };
            match put {
                Ok(stored) => {
                    applied.add(&stored);
                    left = behind;
                    bound = bound.map(|bound| bound - piece.len()).filter(|bound| *bound > 0);
                }
                Err(NotStored::Refused(reason)) if piece.len() == 1 => {
                    refused += 1;
                    let before = &rows[..rows.len() - left.len()];
                    if let Err(error) = self.may_be_refused(batch, refused, &reason) {
                        // All of them wait, and what they should have replaced is there meanwhile.
                        if let Table::Metrics(schema) = batch.table {
                            self.bring_back(schema, batch, before, left)?;
                        }
                        return Err(error);
                    }
                    let kept = kept(batch.table, &piece[0], &reason);
                    self.put_unreadable(batch, std::slice::from_ref(&kept), &mut applied)?;
                    if let Table::Metrics(schema) = batch.table {
                        self.bring_back(schema, batch, before, piece)?;
                    }
                    (left, bound) = (behind, None);
                }
                Err(NotStored::Refused(_)) => bound = Some(piece.len()),
                Err(NotStored::Failed(error)) => return Err(error),
            }
        }
        Ok(applied)
    }

    /// Inserts the rows again that those of `refused` should have replaced, unless one of the rows `before` did, or
    /// removed them.
    fn bring_back(
        &mut self,
        schema: &'static Schema,
        batch: &Batch,
        before: &[Row],
        refused: &[Row],
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (refused.first(), refused.last()) else { return Ok(()) };
        let keys = refused.iter().filter_map(|row| plan::key(schema, row));
        let replaced = keys.filter_map(|key| self.replaced.remove(&key).map(|whole| (key, whole)));
        let mut replaced: BTreeMap<_, _> = replaced.collect();
        for row in before {
            let is_newer = |stamp: &plan::Stamp| (row.epoch.0, row.offset.0) > (stamp.version, stamp.offset);
            if let Some(key) = plan::key(schema, row)
                && replaced.get(&key).is_some_and(|(stamp, _)| is_newer(stamp))
            {
                replaced.remove(&key);
            }
        }
        let keys: Vec<&[u8]> = replaced.keys().map(|key| &**key).collect();
        let there = keys::look_up(&self.server, schema, &keys, self.config.keys_bytes_max)?;
        replaced.retain(|key, _| !there.contains_key(key));
        if replaced.is_empty() {
            return Ok(());
        }
        let bytes: Vec<u8> = replaced.into_values().flat_map(|(_, bytes)| bytes).collect();
        let token = self.session()?.token(&batch.topic, batch.partition.0, first.offset.0, last.offset.0);
        match self.insert(schema.table, format!("{token}/back"), bytes) {
            Err(NotStored::Failed(error)) => Err(error),
            // Rows that the table itself would not take any more are gone, too.
            Ok(()) | Err(NotStored::Refused(_)) => Ok(()),
        }
    }

    /// So many refused rows are rather the table's fault.
    fn may_be_refused(&self, batch: &Batch, refused: usize, reason: &str) -> Result<(), StoreError> {
        let max = self.config.refused_rows_max;
        if refused <= max {
            return Ok(());
        }
        Err(StoreError::Storage {
            path: label(&self.server, batch.table.name()),
            reason: format!(
                "the server refuses more than {max} rows of one insert, so the table is more likely to be wrong than \
                 they are: {reason}; change the table (a constraint, a view, a type), and storing goes on by itself"
            ),
        })
    }
}

/// A row as it is kept where people can look at it.
fn kept(table: Table, row: &Row, reason: &str) -> Row {
    let record = match (&row.content, table) {
        (Content::Put(values), Table::Metrics(schema)) => {
            let column = |(column, value): (&tidegate_model::row::Column, &Value)| {
                let value = match value {
                    Value::Instant(instant) => instant.to_table_text().into(),
                    Value::Text(text) => text.to_string().into(),
                    Value::UInt(number) => (*number).into(),
                    Value::Float(number) => (*number).into(),
                };
                (column.name.to_owned(), value)
            };
            let object: serde_json::Map<_, serde_json::Value> =
                schema.columns.iter().zip(values).map(column).collect();
            serde_json::Value::Object(object).to_string().into_bytes().into()
        }
        (Content::Dropped(dropped), _) => dropped.record.clone(),
        _ => unreachable!("no other row is inserted into a table of its own"),
    };
    let reason = format!("the server refuses it: {reason}");
    let content = Content::Unreadable(Unreadable { op: row.op.as_str(), reason, record });
    Row { content, ..row.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_for_a_refused_row_are_few() {
        for rows in [1_usize, 2, 3, 100, 1_000, 100_000] {
            for bad in [0, rows / 3, rows / 2, rows - 1] {
                let (mut first, mut bound, mut count) = (0, None, 0);
                loop {
                    let tried = next_try(rows - first, bound);
                    count += 1;
                    let is_bad = (first..first + tried).contains(&bad);
                    match (is_bad, tried) {
                        (true, 1) => break,
                        (true, _) => bound = Some(tried),
                        (false, _) => {
                            first += tried;
                            bound = bound.map(|bound: usize| bound - tried).filter(|bound| *bound > 0);
                        }
                    }
                }
                assert_eq!(first, bad, "of {rows} rows");
                assert!(count <= rows.ilog2() + 3, "{count} tries for row {bad} of {rows}");
            }
        }
    }
}
