//! Removing bindings that no start will read any more, in small transactions.
//!
//! How old rows are is told by the bindings of their epochs. So of what is removed one a minute leaves its epoch
//! and time in `ages`, for as long as there are rows that old.

use rusqlite::Connection;
use tidegate_model::{Epoch, Generation};

use super::commit::{Step, check_generation, commit_error};
use super::transaction::transaction;
use crate::journal::CommitError;

/// Bindings removed in one transaction, at most.
const BINDINGS_AT_ONCE: usize = 2_000;

/// Removes some of the bindings that whoever goes on after `before` does not need; says whether there may be
/// more.
pub(super) fn prune_some(
    connection: &mut Connection,
    path: &str,
    own: Generation,
    before: Epoch,
) -> Result<bool, CommitError> {
    let outcome = transaction(connection, |connection| {
        check_generation(connection, own)?;
        remove(connection, i64::try_from(before.0).unwrap_or(i64::MAX))
    });
    let removed = outcome.map_err(|failure| commit_error(failure, path))?;
    Ok(removed == BINDINGS_AT_ONCE)
}

fn remove(connection: &Connection, before: i64) -> Step<usize> {
    let sql = "SELECT max(epoch) FROM (
                   SELECT epoch FROM bindings WHERE epoch < (SELECT max(epoch) FROM bindings WHERE epoch <= ?1)
                   ORDER BY epoch LIMIT ?2)";
    let mut last = connection.prepare_cached(sql)?;
    let Some(last) = last.query_row((before, BINDINGS_AT_ONCE), |row| row.get::<_, Option<i64>>(0))? else {
        return Ok(0);
    };
    // The minute in which the last removal ended goes on.
    let sql = "DELETE FROM ages WHERE epoch = (SELECT max(epoch) FROM ages)
               AND committed_at / 60000 = (SELECT committed_at / 60000 FROM bindings ORDER BY epoch LIMIT 1)";
    connection.prepare_cached(sql)?.execute([])?;
    let sql = "INSERT INTO ages SELECT max(epoch), max(committed_at) FROM bindings
               WHERE epoch <= ?1 GROUP BY committed_at / 60000";
    connection.prepare_cached(sql)?.execute([last])?;
    let sql = "DELETE FROM ages WHERE epoch < (SELECT min(oldest) FROM (
                   SELECT (SELECT epoch FROM rows WHERE topic = topics.id AND partition = 0
                           ORDER BY offset LIMIT 1) AS oldest FROM topics))";
    connection.prepare_cached(sql)?.execute([])?;
    Ok(connection.prepare_cached("DELETE FROM bindings WHERE epoch <= ?1")?.execute([last])?)
}
