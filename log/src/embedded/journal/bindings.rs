//! Reading bindings, and taking the journal over.

use std::convert::Infallible;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};
use tidegate_model::{Binding, Epoch, Generation};

use super::schema::storage;
use super::transaction::{journal_error, transaction};
use crate::journal::{JournalError, parse_binding};

/// Gives out a generation greater than all before it, and fences those.
pub(super) fn next_generation(connection: &mut Connection, path: &Path) -> Result<Generation, JournalError> {
    let next = transaction::<_, Infallible>(connection, |connection| {
        let sql = "UPDATE meta SET value = value + 1 WHERE key = 'generation' RETURNING value";
        Ok(connection.query_row(sql, [], |row| row.get::<_, u64>(0))?)
    });
    next.map(Generation).map_err(|failure| storage(path, &failure))
}

/// Shows the bindings after the epoch `after`, or all of them, oldest first.
pub(super) fn read_after(
    connection: &Connection,
    path: &Path,
    after: Option<Epoch>,
    visit: &mut dyn FnMut(Binding),
) -> Result<(), JournalError> {
    let failed = |error: rusqlite::Error| journal_error(path, &error);
    // SQLite's integers have a sign: no epoch is below zero, and none beyond its largest can be stored.
    let after = after.map_or(-1, |epoch| i64::try_from(epoch.0).unwrap_or(i64::MAX));
    let sql = "SELECT epoch, body FROM bindings WHERE epoch > ?1 ORDER BY epoch";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([after]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        visit(parse(row, path)?);
    }
    Ok(())
}

/// The newest binding.
pub(super) fn read_last(connection: &Connection, path: &Path) -> Result<Option<Binding>, JournalError> {
    let sql = "SELECT epoch, body FROM bindings ORDER BY epoch DESC LIMIT 1";
    let found = connection.query_row(sql, [], |row| Ok(parse(row, path))).optional();
    found.map_err(|error| journal_error(path, &error))?.transpose()
}

/// Reads a binding, which must be that of its row's epoch.
fn parse(row: &Row<'_>, path: &Path) -> Result<Binding, JournalError> {
    let failed = |error: rusqlite::Error| journal_error(path, &error);
    let epoch: u64 = row.get(0).map_err(failed)?;
    let body = row.get_ref(1).and_then(|body| Ok(body.as_str()?)).map_err(failed)?;
    let what = || format!("binding {epoch} in {}", path.display());
    let binding = parse_binding(body, &what)?;
    if binding.epoch.0 != epoch {
        let reason = format!("it is that of epoch {}", binding.epoch);
        return Err(JournalError::Damaged { what: what(), reason });
    }
    Ok(binding)
}
