//! The rows of some keys: looked up, and deleted.
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
    for condition in conditions(schema, keys, bytes_max) {
        let answer = server.read(&format!(
            "SELECT {}, version, log_offset, log_partition FROM {} WHERE {condition}",
            list(schema.key.iter().copied()),
            path(server, schema),
        ));
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
        let newest = found.entry(key.into()).or_insert(stamp);
        *newest = stamp.max(*newest);
    }
    Ok(())
}

/// Deletes every row of `keys`; when it returns, no reader sees one.
pub(super) fn delete(
    server: &Server,
    schema: &Schema,
    keys: &[Box<[u8]>],
    bytes_max: usize,
) -> Result<(), StoreError> {
    for condition in conditions(schema, keys, bytes_max) {
        let deleted = server.execute(&format!("DELETE FROM {} WHERE {condition}", path(server, schema)));
        deleted.map_err(|failure| failure.of_write(label(server, schema.table)))?;
    }
    Ok(())
}

fn path(server: &Server, schema: &Schema) -> String {
    format!("{}.{}", quote(&server.database), quote(schema.table))
}

/// Conditions that together hold for the rows of `keys`, each with a limited number of bytes of them.
fn conditions(schema: &Schema, keys: &[Box<[u8]>], bytes_max: usize) -> impl Iterator<Item = String> {
    let mut rest = keys;
    std::iter::from_fn(move || {
        let mut bytes = rest.first()?.to_vec();
        let mut count = 1;
        // A byte is up to four characters of text.
        while let Some(key) = rest.get(count).filter(|key| (bytes.len() + key.len()) * 4 <= bytes_max) {
            bytes.extend_from_slice(key);
            count += 1;
        }
        rest = &rest[count..];
        Some(condition(schema, &bytes))
    })
}

fn condition(schema: &Schema, keys: &[u8]) -> String {
    let columns = schema.key.iter().zip(0..).map(|(name, at)| {
        let column = schema.columns.iter().find(|column| column.name == *name);
        let kind = match column.expect("a key consists of columns of its table").kind {
            ColumnType::Instant => "DateTime64(3, 'UTC')",
            ColumnType::Text => "String",
            ColumnType::UInt => "UInt64",
            ColumnType::Float => "Float64",
        };
        format!("k{at} {kind}")
    });
    let columns: Vec<String> = columns.collect();
    format!(
        "({}) IN (SELECT * FROM format(RowBinary, {}, {}))",
        list(schema.key.iter().copied()),
        literal(columns.join(", ").as_bytes()),
        literal(keys),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::row::{EventMetrics, MetricRow};

    #[test]
    fn keys_are_cut_into_statements_and_none_is_left_out() {
        let keys: Vec<Box<[u8]>> = (0..5).map(|key| Box::from([b'a' + key; 10])).collect();
        let count = |bytes_max| conditions(&EventMetrics::SCHEMA, &keys, bytes_max).count();
        assert_eq!([count(0), count(79), count(80), count(200)], [5, 5, 3, 1]);
        assert_eq!(
            condition(&EventMetrics::SCHEMA, b"a'"),
            "(`window_start`, `event_type`, `window_end`) IN (SELECT * FROM format(RowBinary, \
             'k0 DateTime64(3, \\'UTC\\'), k1 String, k2 DateTime64(3, \\'UTC\\')', 'a\\''))"
        );
    }
}
