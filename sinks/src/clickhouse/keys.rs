//! The rows of some keys: looked up, and deleted.
//!
//! What is deleted is named row by row, by key and stamp: a statement that the server carries out late, when nobody
//! waits for it any more, finds the rows that were looked up or none.
//!
//! Keys travel inside of the statement, as `RowBinary` in a string, so that they are compared as the very
//! values that are inserted, with no text of an instant between.

use tidegate_model::row::{ColumnType, Schema};

use super::binary::{Reader, Truncated};
use super::plan::{ByKey, Stamp};
use super::server::Server;
use super::text::{list, literal, quote};
use super::{garbled, label};
use crate::store::StoreError;

/// The rows of `keys` that the table shows.
pub(super) fn look_up(
    server: &Server,
    schema: &Schema,
    keys: &[Box<[u8]>],
    bytes_max: usize,
) -> Result<ByKey, StoreError> {
    let mut found = ByKey::new();
    let columns = key_columns(schema);
    let of_row = list(columns.iter().chain(&Stamp::COLUMNS).map(|(name, _)| *name));
    for condition in conditions(&columns, keys, bytes_max) {
        let answer = server.read(&format!("SELECT {of_row} FROM {} WHERE {condition}", path(server, schema)));
        let answer = answer.map_err(|failure| failure.of_read(label(server, schema.table)))?;
        read_rows(schema, &answer, &mut found).map_err(|error| garbled(server, schema.table, &error))?;
    }
    Ok(found)
}

fn read_rows(schema: &Schema, answer: &[u8], found: &mut ByKey) -> Result<(), Truncated> {
    let mut reader = Reader(answer);
    while !reader.is_empty() {
        let key = reader.key(schema)?;
        let stamp = Stamp { version: reader.u64()?, offset: reader.u64()?, partition: reader.u32()? };
        found.entry(key.into()).or_default().push(stamp);
    }
    Ok(())
}

/// Deletes rows; when it returns, no reader sees one. The server calls the statements by `name`, numbered.
pub(super) fn delete(
    server: &Server,
    schema: &Schema,
    rows: &[(Box<[u8]>, Stamp)],
    bytes_max: usize,
    name: &str,
) -> Result<(), StoreError> {
    let columns: Vec<_> = key_columns(schema).into_iter().chain(Stamp::COLUMNS).collect();
    let rows: Vec<Box<[u8]>> = rows.iter().map(|(key, stamp)| row_bytes(key, *stamp)).collect();
    for (condition, number) in conditions(&columns, &rows, bytes_max).zip(0..) {
        let sql = format!("DELETE FROM {} WHERE {condition}", path(server, schema));
        let deleted = server.execute_as(&sql, &format!("{name}/{number}"));
        deleted.map_err(|failure| failure.of_write(label(server, schema.table)))?;
    }
    Ok(())
}

fn row_bytes(key: &[u8], stamp: Stamp) -> Box<[u8]> {
    let mut bytes = key.to_vec();
    bytes.extend(stamp.version.to_le_bytes());
    bytes.extend(stamp.offset.to_le_bytes());
    bytes.extend(stamp.partition.to_le_bytes());
    bytes.into()
}

/// The columns of the key, and their types.
fn key_columns(schema: &Schema) -> Vec<(&'static str, &'static str)> {
    let columns = schema.key.iter().map(|name| {
        let column = schema.columns.iter().find(|column| column.name == *name);
        let kind = match column.expect("a key consists of columns of its table").kind {
            ColumnType::Instant => "DateTime64(3, 'UTC')",
            ColumnType::Text => "String",
            ColumnType::UInt => "UInt64",
            ColumnType::Float => "Float64",
        };
        (*name, kind)
    });
    columns.collect()
}

fn path(server: &Server, schema: &Schema) -> String {
    format!("{}.{}", quote(&server.database), quote(schema.table))
}

/// Conditions that together hold for `rows`, each with a limited number of bytes of them.
fn conditions(
    columns: &[(&str, &str)],
    rows: &[Box<[u8]>],
    bytes_max: usize,
) -> impl Iterator<Item = String> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = rest.first()?.to_vec();
        let mut count = 1;
        // A byte is up to four characters of text.
        while let Some(row) = rest.get(count).filter(|row| (bytes.len() + row.len()) * 4 <= bytes_max) {
            bytes.extend_from_slice(row);
            count += 1;
        }
        rest = &rest[count..];
        Some(condition(columns, &bytes))
    })
}

fn condition(columns: &[(&str, &str)], rows: &[u8]) -> String {
    let types = columns.iter().zip(0..).map(|((_, kind), at)| format!("k{at} {kind}"));
    let types: Vec<String> = types.collect();
    format!(
        "({}) IN (SELECT * FROM format(RowBinary, {}, {}))",
        list(columns.iter().map(|(name, _)| *name)),
        literal(types.join(", ").as_bytes()),
        literal(rows),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::row::{EventMetrics, MetricRow};

    #[test]
    fn keys_are_cut_into_statements_and_none_is_left_out() {
        let keys: Vec<Box<[u8]>> = (0..5).map(|key| Box::from([b'a' + key; 10])).collect();
        let columns = key_columns(&EventMetrics::SCHEMA);
        let count = |bytes_max| conditions(&columns, &keys, bytes_max).count();
        assert_eq!([count(0), count(79), count(80), count(200)], [5, 5, 3, 1]);
        assert_eq!(
            condition(&columns, b"a'"),
            "(`window_start`, `event_type`, `window_end`) IN (SELECT * FROM format(RowBinary, \
             'k0 DateTime64(3, \\'UTC\\'), k1 String, k2 DateTime64(3, \\'UTC\\')', 'a\\''))"
        );
    }
}
