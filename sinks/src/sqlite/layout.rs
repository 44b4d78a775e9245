//! The layout of the file, as SQL derived from schemas. `docs/metric-store.md` describes it to readers.
//!
//! Version 1. The file carries `PRAGMA application_id` = [`APPLICATION_ID`] and `PRAGMA user_version` =
//! the version. Metric tables hold the columns of their schema in order, then `version` (the epoch),
//! `log_partition` and `log_offset`; instants are text, so that their order is the order of time.

use rusqlite::Connection;
use tidegate_model::row::{Column, ColumnType, Schema};

/// The format that this version writes, and the newest that it reads.
pub(super) const FORMAT_VERSION: u32 = 1;

/// `TdGt` in ASCII: tells the file from any other `SQLite` file.
pub(super) const APPLICATION_ID: u32 = 0x5464_4774;

/// The tables beside the metric tables.
pub(super) const FIXED_TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS dropped_events (
  reason TEXT NOT NULL,
  job TEXT NOT NULL,
  partition INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  record ANY NOT NULL,
  version INTEGER NOT NULL DEFAULT 0,
  log_partition INTEGER NOT NULL DEFAULT 0,
  log_offset INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (log_partition, log_offset)
) STRICT;
CREATE TABLE IF NOT EXISTS unreadable_rows (
  topic TEXT NOT NULL,
  op TEXT NOT NULL,
  reason TEXT NOT NULL,
  record ANY NOT NULL,
  version INTEGER NOT NULL,
  log_partition INTEGER NOT NULL,
  log_offset INTEGER NOT NULL,
  PRIMARY KEY (topic, log_partition, log_offset)
) STRICT;
CREATE TABLE IF NOT EXISTS sink_positions (
  topic TEXT NOT NULL,
  log_partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  last_offset INTEGER,
  last_version INTEGER,
  unreadable INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (topic, log_partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sink_gaps (
  topic TEXT NOT NULL,
  log_partition INTEGER NOT NULL,
  from_offset INTEGER NOT NULL,
  to_offset INTEGER NOT NULL,
  PRIMARY KEY (topic, log_partition, from_offset)
) STRICT, WITHOUT ROWID;
"#;

pub(super) const SELECT_POSITIONS: &str =
    "SELECT topic, log_partition, next_offset, last_offset, last_version FROM sink_positions";

pub(super) const SELECT_POSITION: &str = "SELECT next_offset, last_offset, last_version \
     FROM sink_positions WHERE topic = ?1 AND log_partition = ?2";

/// Moves a position, keeps the last row unless there is a newer one, and adds to the count.
pub(super) const PUT_POSITION: &str = "INSERT INTO sink_positions VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
     ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, \
     last_offset = coalesce(excluded.last_offset, last_offset), \
     last_version = coalesce(excluded.last_version, last_version), \
     unreadable = unreadable + excluded.unreadable";

pub(super) const MOVE_POSITION: &str = "UPDATE sink_positions \
     SET next_offset = ?3, last_offset = NULL, last_version = NULL WHERE topic = ?1 AND log_partition = ?2";

pub(super) const PUT_GAP: &str = "INSERT INTO sink_gaps VALUES (?1, ?2, ?3, ?4)";

pub(super) const PUT_DROPPED: &str = "INSERT INTO dropped_events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
     ON CONFLICT DO UPDATE SET reason = excluded.reason, job = excluded.job, \
     partition = excluded.partition, \"offset\" = excluded.\"offset\", record = excluded.record, \
     version = excluded.version WHERE excluded.version >= version";

pub(super) const PUT_UNREADABLE: &str =
    "INSERT OR REPLACE INTO unreadable_rows VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// The statements of one metric table.
#[derive(Debug)]
pub(super) struct TableSql {
    pub(super) schema: &'static Schema,
    /// Parameters: the columns, then version, partition, offset.
    pub(super) put: String,
    /// Parameters: the columns of the key, then version, offset.
    pub(super) remove: String,
    /// The instants that a row's window or session starts and ends at, if retention applies.
    pub(super) span: Option<(&'static str, &'static str)>,
}

impl TableSql {
    pub(super) fn new(schema: &'static Schema) -> Self {
        let key = list(schema.key);
        let columns = all_columns(schema);
        let marks: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        let replaced = columns.iter().filter(|name| !schema.key.contains(*name));
        let replaced: Vec<String> = replaced.map(|name| format!("{0} = excluded.{0}", quote(name))).collect();
        let put = format!(
            "INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {replaced} \
             WHERE (excluded.version, excluded.log_offset) >= ({table}.version, {table}.log_offset)",
            table = quote(schema.table),
            columns = list(&columns),
            marks = marks.join(", "),
            replaced = replaced.join(", "),
        );
        let same: Vec<String> =
            schema.key.iter().zip(1..).map(|(name, n)| format!("{} = ?{n}", quote(name))).collect();
        let (version, offset) = (schema.key.len() + 1, schema.key.len() + 2);
        let remove = format!(
            "DELETE FROM {} WHERE {} AND (version, log_offset) <= (?{version}, ?{offset})",
            quote(schema.table),
            same.join(" AND "),
        );
        Self { schema, put, remove, span: span(schema) }
    }
}

/// Where a row lies in time: the first column of the key, by which the table is sorted, and the last
/// instant of the row. A table that is not sorted by an instant is kept for ever.
fn span(schema: &'static Schema) -> Option<(&'static str, &'static str)> {
    let is_instant = |column: &&Column| column.kind == ColumnType::Instant;
    let start = schema.columns.iter().filter(is_instant).find(|column| column.name == schema.key[0])?;
    let end = schema.columns.iter().rfind(is_instant)?;
    Some((start.name, end.name))
}

/// The columns of a metric table, in order.
pub(super) fn all_columns(schema: &Schema) -> Vec<&'static str> {
    let columns = schema.columns.iter().map(|column| column.name);
    columns.chain(["version", "log_partition", "log_offset"]).collect()
}

/// The statement that creates a metric table.
pub(super) fn create_table(schema: &Schema) -> String {
    let columns = schema.columns.iter().map(|column| {
        let kind = match column.kind {
            ColumnType::Instant | ColumnType::Text => "TEXT",
            ColumnType::UInt => "INTEGER",
            ColumnType::Float => "REAL",
        };
        format!("  {} {kind} NOT NULL", quote(column.name))
    });
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\n{},\n  \
           version INTEGER NOT NULL DEFAULT 0,\n  \
           log_partition INTEGER NOT NULL DEFAULT 0,\n  \
           log_offset INTEGER NOT NULL DEFAULT 0,\n  \
           PRIMARY KEY ({})\n) STRICT, WITHOUT ROWID",
        quote(schema.table),
        columns.collect::<Vec<_>>().join(",\n"),
        list(schema.key),
    )
}

/// `"a", "b"`.
pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

/// A name as an SQL identifier, whatever word it is.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a `SQLite` file says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Nothing is in it yet.
    Empty,
    /// A metric store of a format that is understood.
    Metrics,
    /// A metric store of a later format.
    Newer { found: u32, supported: u32 },
    /// Something else.
    Foreign,
}

/// Reads what the file is.
pub(crate) fn read_stamp(connection: &Connection) -> rusqlite::Result<Stamp> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    let (application, found) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID {
        let supported = FORMAT_VERSION;
        return Ok(if found > supported { Stamp::Newer { found, supported } } else { Stamp::Metrics });
    }
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if application == 0 && tables == 0 { Stamp::Empty } else { Stamp::Foreign })
}
