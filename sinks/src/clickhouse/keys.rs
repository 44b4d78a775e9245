//! The rows of some keys: looked up, and deleted.
//!
//! What is deleted is named row by row, by key and stamp: a statement that the server carries out late, when nobody
//! waits for it any more, finds the rows that were looked up or none.
//!
//! Keys travel inside of the statement, as `RowBinary` in a string, so that they are compared as the very
//! values that are inserted, with no text of an instant between.

use std::collections::HashMap;

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
    keys: &[&[u8]],
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

/// The newest row of each key, whole, as it can be inserted again.
pub(super) type Whole = HashMap<Box<[u8]>, (Stamp, Vec<u8>)>;

/// Reads rows that are to be deleted.
pub(super) fn read_whole(
    server: &Server,
    schema: &Schema,
    rows: &[(Box<[u8]>, Stamp)],
    bytes_max: usize,
    whole: &mut Whole,
) -> Result<(), StoreError> {
    let (columns, rows) = with_stamps(schema, rows);
    // In the order in which they are inserted.
    let all = schema.columns.iter().map(|column| column.name);
    let all = list(all.chain(["version", "log_partition", "log_offset"]));
    for condition in conditions(&columns, &rows, bytes_max) {
        let answer = server.read(&format!("SELECT {all} FROM {} WHERE {condition}", path(server, schema)));
        let answer = answer.map_err(|failure| failure.of_read(label(server, schema.table)))?;
        split_rows(schema, &answer, whole).map_err(|error| garbled(server, schema.table, &error))?;
    }
    Ok(())
}

fn split_rows(schema: &Schema, answer: &[u8], whole: &mut Whole) -> Result<(), Truncated> {
    let mut reader = Reader(answer);
    while !reader.is_empty() {
        let before = reader.0;
        let values = schema.columns.iter().map(|column| reader.value(column.kind));
        let values = values.collect::<Result<Vec<&[u8]>, _>>()?;
        let (version, partition, offset) = (reader.u64()?, reader.u32()?, reader.u64()?);
        let row = &before[..before.len() - reader.0.len()];
        let key = schema.key.iter().flat_map(|name| {
            let at = schema.columns.iter().position(|column| column.name == *name);
            values[at.expect("a key consists of columns of its table")]
        });
        let key: Box<[u8]> = key.copied().collect();
        let stamp = Stamp { version, offset, partition };
        if whole.get(&key).is_none_or(|(newest, _)| *newest < stamp) {
            whole.insert(key, (stamp, row.to_vec()));
        }
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
    let (columns, rows) = with_stamps(schema, rows);
    for (condition, number) in conditions(&columns, &rows, bytes_max).zip(0..) {
        let sql = format!("DELETE FROM {} WHERE {condition}", path(server, schema));
        let deleted = server.execute_as(&sql, &format!("{name}/{number}"));
        deleted.map_err(|failure| failure.of_write(label(server, schema.table)))?;
    }
    Ok(())
}

/// The columns that name a row, and the rows by them.
#[expect(clippy::type_complexity, reason = "names and types of columns, and bytes of rows")]
fn with_stamps(
    schema: &Schema,
    rows: &[(Box<[u8]>, Stamp)],
) -> (Vec<(&'static str, &'static str)>, Vec<Box<[u8]>>) {
    let columns = key_columns(schema).into_iter().chain(Stamp::COLUMNS).collect();
    (columns, rows.iter().map(|(key, stamp)| row_bytes(key, *stamp)).collect())
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
    rows: &[impl AsRef<[u8]>],
    bytes_max: usize,
) -> impl Iterator<Item = String> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut bytes = rest.first()?.as_ref().to_vec();
        let mut count = 1;
        // A byte is up to four characters of text.
        let fits = |bytes: &[u8], row: &[u8]| (bytes.len() + row.len()) * 4 <= bytes_max;
        while let Some(row) = rest.get(count).map(AsRef::as_ref).filter(|row| fits(&bytes, row)) {
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
    use super::super::binary::{key_of_row, put_value};
    use super::*;
    use crate::batch::Value;
    use tidegate_model::EventTime;
    use tidegate_model::row::{EventMetrics, MetricRow};

    #[test]
    fn rows_are_split_and_the_newest_of_a_key_is_kept() {
        let start = EventTime::from_millis(60_000);
        let row = |count| {
            let (from, to) = (Value::Instant(start), Value::Instant(start.plus_ms(60_000)));
            [from, to, Value::Text("click".into()), Value::UInt(count), Value::UInt(1)]
        };
        let bytes = |count, version: u64| {
            let mut bytes = Vec::new();
            for value in &row(count) {
                put_value(&mut bytes, value);
            }
            bytes.extend(version.to_le_bytes());
            bytes.extend(2_u32.to_le_bytes());
            bytes.extend(9_u64.to_le_bytes());
            bytes
        };
        let mut whole = Whole::new();
        let answer = [bytes(3, 5), bytes(4, 6), bytes(1, 4)].concat();
        split_rows(&EventMetrics::SCHEMA, &answer, &mut whole).expect("it is whole");
        let stamp = Stamp { version: 6, offset: 9, partition: 2 };
        assert_eq!(whole, Whole::from([(key_of_row(&EventMetrics::SCHEMA, &row(0)), (stamp, bytes(4, 6)))]));
        assert_eq!(split_rows(&EventMetrics::SCHEMA, &answer[1..], &mut whole), Err(Truncated));
    }

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
