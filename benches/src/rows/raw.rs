//! The ceilings: the same rows into a plain file, and into SQLite by a program that knows nothing but that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tidegate_log::{Commit, RowRecord};
use tidegate_model::Schema;

use crate::clock::timed;
use crate::measure::Done;
use crate::scratch;

/// A row of a metric table, ready to be bound.
pub(super) struct RawRow {
    schema: &'static Schema,
    values: Vec<Value>,
}

impl RawRow {
    pub(super) fn of(row: &RowRecord) -> Self {
        let schema = Schema::of_table(&row.topic).expect("the graph makes rows of metric tables");
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&row.value).expect("a row is an object");
        let value = |column: &tidegate_model::row::Column| match &object[column.name] {
            serde_json::Value::String(text) => Value::Text(text.clone()),
            number => match number.as_i64() {
                Some(integer) => Value::Integer(integer),
                None => Value::Real(number.as_f64().expect("a column is a text or a number")),
            },
        };
        Self { schema, values: schema.columns.iter().map(value).collect() }
    }
}

/// Values into one file, synced after each epoch.
pub(super) fn file(commits: &[Commit]) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    let mut file = File::create(folder.path().join("rows"))?;
    let mut batch = Vec::new();
    let (written, took) = timed(|| -> std::io::Result<()> {
        for commit in commits {
            batch.clear();
            commit.rows.iter().for_each(|row| batch.extend_from_slice(&row.value));
            file.write_all(&batch)?;
            file.sync_data()?;
        }
        Ok(())
    });
    written?;
    Ok(Done { took, note: String::new() })
}

/// As durable as the product.
fn connect(folder: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(folder.join("raw.db"))?;
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768;")?;
    Ok(connection)
}

/// Keys and values into one table, a transaction an epoch.
pub(super) fn blobs(commits: &[Commit]) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    let mut connection = connect(folder.path())?;
    connection.execute_batch("CREATE TABLE rows (key BLOB, value BLOB)")?;
    let (written, took) = timed(|| -> rusqlite::Result<()> {
        for commit in commits {
            let transaction = connection.transaction()?;
            {
                let mut insert = transaction.prepare_cached("INSERT INTO rows VALUES (?1, ?2)")?;
                for row in &commit.rows {
                    insert.execute((&row.key, &row.value))?;
                }
            }
            transaction.commit()?;
        }
        Ok(())
    });
    written?;
    Ok(Done { took, note: String::new() })
}

/// Columns into tables with the keys of the product, a transaction an epoch.
pub(super) fn columns(epochs: &[Vec<RawRow>]) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    let mut connection = connect(folder.path())?;
    let mut inserts = BTreeMap::new();
    for schema in Schema::ALL {
        let names: Vec<_> = schema.columns.iter().map(|column| column.name).collect();
        let (table, columns, key) = (schema.table, names.join(", "), schema.key.join(", "));
        connection
            .execute_batch(&format!("CREATE TABLE {table} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID"))?;
        let marks = vec!["?"; names.len()].join(", ");
        inserts.insert(table, format!("INSERT INTO {table} VALUES ({marks})"));
    }
    let (written, took) = timed(|| -> rusqlite::Result<()> {
        for rows in epochs {
            let transaction = connection.transaction()?;
            for row in rows {
                transaction
                    .prepare_cached(&inserts[row.schema.table])?
                    .execute(params_from_iter(&row.values))?;
            }
            transaction.commit()?;
        }
        Ok(())
    });
    written?;
    Ok(Done { took, note: String::new() })
}
