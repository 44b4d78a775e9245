//! Removing rows that nobody needs any more.

use std::convert::Infallible;

use rusqlite::{Connection, OptionalExtension};
use tidegate_model::EventTime;

use super::JournalDb;
use super::transaction::{Abort, transaction};

/// Rows looked at, and removed, in one transaction, so that a commit never waits long.
const ROWS_AT_ONCE: u64 = 2_000;

impl JournalDb {
    /// Removes the rows of `topic` that all of `sinks` have acknowledged and that were committed before
    /// `before`. Returns how many.
    pub(in crate::embedded) fn remove_rows(
        &self,
        topic: &str,
        sinks: &[String],
        before: EventTime,
    ) -> Result<u64, String> {
        let mut removed = 0;
        loop {
            let step = transaction::<_, Infallible>(&mut self.writer().connection, |connection| {
                remove_some(connection, topic, sinks, before)
            });
            match step.map_err(|failure| failure.reason())? {
                0 => return Ok(removed),
                rows => removed += rows,
            }
            // Whoever waits to commit goes first.
            std::thread::yield_now();
        }
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
    let keep_from = first_young(connection, id, first, stored.min(first + ROWS_AT_ONCE), before)?;
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

/// The first offset from `from` on whose row was not committed before `before`, at most `until`.
///
/// Rows lie in the order of their epochs. Epochs increase with the time of their commit, unless the clock
/// was set back; the first young one ends what may go. Only rows that go are looked at, and one more.
fn first_young(
    connection: &Connection,
    topic: i64,
    from: u64,
    until: u64,
    before: EventTime,
) -> rusqlite::Result<u64> {
    let sql =
        "SELECT offset, epoch FROM rows WHERE topic = ?1 AND partition = 0 AND offset >= ?2 AND offset < ?3
               ORDER BY offset";
    let mut statement = connection.prepare_cached(sql)?;
    let sql = "SELECT committed_at FROM bindings WHERE epoch = ?1";
    let mut committed_at = connection.prepare_cached(sql)?;
    let mut rows = statement.query((topic, from, until))?;
    let mut old_epoch = None;
    while let Some(row) = rows.next()? {
        let epoch: i64 = row.get(1)?;
        if old_epoch == Some(epoch) {
            continue;
        }
        // An epoch whose binding is gone is older than all that have one.
        let at: Option<i64> = committed_at.query_row([epoch], |row| row.get(0)).optional()?;
        if at.is_some_and(|at| at >= before.as_millis()) {
            return row.get(0);
        }
        old_epoch = Some(epoch);
    }
    Ok(until)
}
