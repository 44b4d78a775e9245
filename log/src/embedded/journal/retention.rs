//! Removing rows that nobody needs any more.
//!
//! A backlog may be millions of rows, and commits go through the same connection: it is removed in small
//! transactions, each with a turn of its own, so that a commit waits for one of them at most. A call ends
//! after some of them, so that its caller can see to other things, and says that there is more.

use std::convert::Infallible;

use rusqlite::{Connection, OptionalExtension};
use tidegate_model::EventTime;

use super::JournalDb;
use super::transaction::{Abort, transaction};

/// Rows looked at, and removed, in one transaction, at most.
const ROWS_AT_ONCE: u64 = 2_000;

/// Bytes of values removed in one transaction, at most (a single row may exceed it): the pages of a large
/// value are freed one by one.
const BYTES_AT_ONCE: u64 = 4 << 20;

/// Transactions in one call, at most.
const TRANSACTIONS_AT_ONCE: u64 = 10;

/// What one call removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::embedded) struct RemovedRows {
    /// How many rows.
    pub(in crate::embedded) rows: u64,
    /// Whether more of them may go: the call ended because it had done enough.
    pub(in crate::embedded) more: bool,
}

impl JournalDb {
    /// Removes rows of `topic` that all of `sinks` have acknowledged and that were committed before
    /// `before`, oldest first.
    pub(in crate::embedded) fn remove_rows(
        &self,
        topic: &str,
        sinks: &[String],
        before: EventTime,
    ) -> Result<RemovedRows, String> {
        let mut removed = RemovedRows { rows: 0, more: true };
        for _ in 0..TRANSACTIONS_AT_ONCE {
            // Whoever asked for the connection during the last transaction goes first.
            let step = transaction::<_, Infallible>(&mut self.writer().connection, |connection| {
                remove_some(connection, topic, sinks, before)
            });
            match step.map_err(|failure| failure.reason())? {
                0 => return Ok(RemovedRows { more: false, ..removed }),
                rows => removed.rows += rows,
            }
        }
        Ok(removed)
    }
}

fn remove_some(
    connection: &Connection,
    topic: &str,
    sinks: &[String],
    before: EventTime,
) -> Result<u64, Abort<Infallible>> {
    let sql = "SELECT id, first_offset, next_offset FROM topics WHERE name = ?1";
    let bounds = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found = connection.prepare_cached(sql)?.query_row([topic], bounds).optional()?;
    let Some((id, first, next)): Option<(i64, u64, u64)> = found else { return Ok(0) };
    let stored = stored_by_all(connection, topic, sinks, next)?;
    let keep_from = first_kept(connection, id, first, stored.min(first + ROWS_AT_ONCE), before)?;
    if keep_from <= first {
        return Ok(0);
    }
    let sql = "DELETE FROM rows WHERE topic = ?1 AND partition = 0 AND offset < ?2";
    let removed = connection.prepare_cached(sql)?.execute((id, keep_from))?;
    let sql = "UPDATE topics SET first_offset = ?2 WHERE id = ?1";
    connection.prepare_cached(sql)?.execute((id, keep_from))?;
    Ok(removed as u64)
}

/// The offset before which every sink has every row; `next` without any sink.
fn stored_by_all(connection: &Connection, topic: &str, sinks: &[String], next: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT offset FROM acknowledged WHERE sink = ?1 AND topic = ?2 AND partition = 0";
    let mut statement = connection.prepare_cached(sql)?;
    let mut stored = next;
    for sink in sinks {
        let offset = statement.query_row((sink, topic), |row| row.get::<_, u64>(0)).optional()?;
        stored = stored.min(offset.unwrap_or(0));
    }
    Ok(stored)
}

/// The first offset from `from` on whose row was not committed before `before`, or does not fit into the
/// transaction any more; at most `until`.
///
/// Rows lie in the order of their epochs. Epochs increase with the time of their commit, unless the clock
/// was set back; the first young one ends what may go. Only rows that go are looked at, and one more.
fn first_kept(
    connection: &Connection,
    topic: i64,
    from: u64,
    until: u64,
    before: EventTime,
) -> rusqlite::Result<u64> {
    let sql = "SELECT offset, epoch, length(value) FROM rows
               WHERE topic = ?1 AND partition = 0 AND offset >= ?2 AND offset < ?3 ORDER BY offset";
    let mut statement = connection.prepare_cached(sql)?;
    // Of an epoch whose binding is gone the next one that is left tells the time: a minute too late at most.
    // With the epoch among its results, so that SQLite merges both by their keys and sorts nothing.
    let sql = "SELECT committed_at, epoch FROM (SELECT epoch, committed_at FROM ages WHERE epoch >= ?1
                   UNION ALL SELECT epoch, committed_at FROM bindings WHERE epoch >= ?1)
               ORDER BY epoch LIMIT 1";
    let mut committed_at = connection.prepare_cached(sql)?;
    let mut rows = statement.query((topic, from, until))?;
    let (mut old_epoch, mut bytes) = (None, 0);
    while let Some(row) = rows.next()? {
        let (offset, epoch): (u64, i64) = (row.get(0)?, row.get(1)?);
        bytes += row.get::<_, u64>(2)?;
        if offset > from && bytes > BYTES_AT_ONCE {
            return Ok(offset);
        }
        if old_epoch == Some(epoch) {
            continue;
        }
        let at: Option<i64> = committed_at.query_row([epoch], |row| row.get(0)).optional()?;
        if at.is_some_and(|at| at >= before.as_millis()) {
            return Ok(offset);
        }
        old_epoch = Some(epoch);
    }
    Ok(until)
}

#[cfg(test)]
mod tests;
