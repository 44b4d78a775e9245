//! Removing rows that every sink has stored.

use std::convert::Infallible;

use rusqlite::{Connection, OptionalExtension};
use tidegate_model::EventTime;

use super::JournalDb;
use super::transaction::{Abort, transaction};

/// Rows removed in one transaction, so that a commit never waits long.
const ROWS_AT_ONCE: u64 = 10_000;

impl JournalDb {
    /// Removes the rows that all of `sinks` have acknowledged and that were committed before `before`.
    /// Returns how many.
    pub(in crate::embedded) fn remove_rows(
        &self,
        sinks: &[String],
        before: EventTime,
    ) -> Result<u64, String> {
        let mut removed = 0;
        loop {
            let step = transaction::<_, Infallible>(&mut self.writer().connection, |connection| {
                remove_some(connection, sinks, before)
            });
            match step.map_err(|failure| failure.reason())? {
                0 => return Ok(removed),
                rows => removed += rows,
            }
        }
    }
}

fn remove_some(
    connection: &Connection,
    sinks: &[String],
    before: EventTime,
) -> Result<u64, Abort<Infallible>> {
    // Epochs increase with the time of their commit, unless the clock was set back; the first younger
    // one ends what may go.
    let sql = "SELECT epoch FROM bindings WHERE committed_at >= ?1 ORDER BY epoch LIMIT 1";
    let young: Option<i64> = connection.query_row(sql, [before.as_millis()], |row| row.get(0)).optional()?;
    let young = young.unwrap_or(i64::MAX);
    let mut statement = connection.prepare("SELECT id, name, first_offset FROM topics")?;
    let topics = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<rusqlite::Result<Vec<(i64, String, u64)>>>()?;
    let mut removed = 0;
    for (id, name, first) in topics {
        let mut stored = if sinks.is_empty() { 0 } else { first + ROWS_AT_ONCE };
        for sink in sinks {
            let sql = "SELECT offset FROM acknowledged WHERE sink = ?1 AND topic = ?2 AND partition = 0";
            let offset = connection.query_row(sql, (sink, &name), |row| row.get::<_, u64>(0)).optional()?;
            stored = stored.min(offset.unwrap_or(0));
        }
        let sql = "SELECT offset FROM rows WHERE topic = ?1 AND partition = 0 AND offset >= ?2
                   AND offset < ?3 AND epoch >= ?4 ORDER BY offset LIMIT 1";
        let kept: Option<u64> =
            connection.query_row(sql, (id, first, stored, young), |row| row.get(0)).optional()?;
        let keep_from = kept.unwrap_or(stored);
        if keep_from <= first {
            continue;
        }
        let sql = "DELETE FROM rows WHERE topic = ?1 AND partition = 0 AND offset < ?2";
        removed += connection.execute(sql, (id, keep_from))? as u64;
        connection.execute("UPDATE topics SET first_offset = ?2 WHERE id = ?1", (id, keep_from))?;
    }
    Ok(removed)
}
