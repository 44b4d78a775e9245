//! What a batch does to a metric table, decided from the rows of its keys that are there already.
//!
//! The result is the one that a store gets to that applies row by row: for every key the newest row by
//! epoch and then by offset, and no row after a retraction. But it takes one delete and one insert, and a row
//! that is there already is left alone, so a batch may be repeated in whole or in part.

use std::collections::HashMap;

use tidegate_model::{PartitionId, Schema};

use super::binary::{key_of_row, key_of_values};
use crate::batch::{Content, Row};
use crate::store::Applied;

/// What tells a row from every other of its key, the newest being the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) version: u64,
    pub(super) offset: u64,
    pub(super) partition: u32,
}

impl Stamp {
    /// The columns that hold it, and their types.
    pub(super) const COLUMNS: [(&'static str, &'static str); 3] =
        [("version", "UInt64"), ("log_offset", "UInt64"), ("log_partition", "UInt32")];

    fn of(row: &Row, partition: PartitionId) -> Self {
        Self { version: row.epoch.0, offset: row.offset.0, partition: partition.0 }
    }

    /// A row from another partition at the same offset is neither older nor newer.
    fn is_older_than(self, other: Self) -> bool {
        (self.version, self.offset) < (other.version, other.offset)
    }
}

/// The rows of each key that the table shows. There is one, unless somebody else inserted too.
pub(super) type ByKey = HashMap<Box<[u8]>, Vec<Stamp>>;

/// What to do: delete exactly these rows, then insert those.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan<'a> {
    /// Each by its key and its stamp, so that a delete that is carried out late removes no newer row.
    pub(super) delete: Vec<(Box<[u8]>, Stamp)>,
    pub(super) insert: Vec<&'a Row>,
    pub(super) applied: Applied,
}

/// The key of a row of a metric table; `None` when it is none.
pub(super) fn key(schema: &Schema, row: &Row) -> Option<Box<[u8]>> {
    match &row.content {
        Content::Put(values) => Some(key_of_row(schema, values)),
        Content::Remove(key) => Some(key_of_values(key)),
        Content::Dropped(_) | Content::Unreadable(_) => None,
    }
}

/// The keys of `rows`, row by row.
pub(super) fn keys(schema: &Schema, rows: &[Row]) -> Vec<Option<Box<[u8]>>> {
    rows.iter().map(|row| key(schema, row)).collect()
}

/// How the row of a key stands after a part of the batch.
struct State<'a> {
    before: Option<Stamp>,
    now: Option<Stamp>,
    /// The row of the batch that is the one now.
    put: Option<&'a Row>,
}

/// `keys` are those of `rows`.
pub(super) fn plan<'a>(
    partition: PartitionId,
    rows: &'a [Row],
    keys: &[Option<Box<[u8]>>],
    existing: &ByKey,
) -> Plan<'a> {
    let mut plan = Plan::default();
    let mut at: HashMap<&[u8], usize> = HashMap::with_capacity(rows.len());
    // In the order in which the batch names them, so that the same batch gives the same statements.
    let mut states: Vec<(&[u8], State<'a>)> = Vec::with_capacity(rows.len());
    for (row, key) in rows.iter().zip(keys) {
        let Some(key) = key.as_deref() else { continue };
        let at = *at.entry(key).or_insert_with(|| {
            let before = existing.get(key).and_then(|stamps| stamps.iter().max().copied());
            states.push((key, State { before, now: before, put: None }));
            states.len() - 1
        });
        let state = &mut states[at].1;
        let stamp = Stamp::of(row, partition);
        let is_older = state.now.is_some_and(|now| stamp.is_older_than(now));
        match row.content {
            Content::Put(_) if is_older => plan.applied.stale += 1,
            Content::Put(_) => {
                (state.now, state.put) = (Some(stamp), Some(row));
                plan.applied.put += 1;
            }
            _ => {
                if !is_older {
                    (state.now, state.put) = (None, None);
                }
                plan.applied.removed += 1;
            }
        }
    }
    for (key, State { before, now, put }) in states {
        let there = existing.get(key).into_iter().flatten();
        plan.delete.extend(there.filter(|there| Some(**there) != now).map(|there| (key.into(), *there)));
        // Otherwise the row is there, or there is none.
        if before != now {
            plan.insert.extend(put);
        }
    }
    plan.insert.sort_by_key(|row| row.offset);
    plan
}

#[cfg(test)]
mod tests;
