//! Forgetting old rows, inside a transaction.

use rusqlite::{Transaction, params};
use tidegate_model::EventTime;

use super::layout::{TableSql, list, quote};
use crate::store::Expiry;

pub(super) fn expire(
    transaction: &Transaction<'_>,
    tables: &[TableSql],
    expiry: Expiry,
) -> rusqlite::Result<u64> {
    let mut removed = 0;
    for table in tables {
        let left = expiry.rows_max.saturating_sub(removed);
        removed += expire_table(transaction, table, expiry, left)?;
    }
    Ok(removed as u64)
}

fn expire_table(
    transaction: &Transaction<'_>,
    table: &TableSql,
    expiry: Expiry,
    rows_max: usize,
) -> rusqlite::Result<usize> {
    let Some((start, end)) = table.span else { return Ok(0) };
    let (start, end) = (quote(start), quote(end));
    let (name, key) = (quote(table.schema.table), list(table.schema.key));
    // The table is sorted by `start`, so this reads one row.
    let newest: Option<String> =
        transaction.query_row(&format!("SELECT max({start}) FROM {name}"), [], |row| row.get(0))?;
    let Some(newest) = newest.and_then(|text| EventTime::parse(&text).ok()) else { return Ok(0) };
    let oldest_kept = newest.min(expiry.now).minus_ms(expiry.keep_ms).to_table_text();
    // What ended before an instant also started before it, so the search stops there.
    let sql = format!(
        "DELETE FROM {name} WHERE ({key}) IN \
         (SELECT {key} FROM {name} WHERE {start} < ?1 AND {end} < ?1 ORDER BY {start} LIMIT ?2)"
    );
    transaction.execute(&sql, params![oldest_kept, i64::try_from(rows_max).unwrap_or(i64::MAX)])
}
