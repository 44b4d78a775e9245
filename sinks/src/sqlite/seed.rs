//! The newest windows of the tables, for a cache to begin from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction};
use tidegate_cache::{LastRow, Number, Position, Seed, SeededKind, SeededRow};
use tidegate_model::row::{Column, ColumnType};
use tidegate_model::{Epoch, EventTime, PartitionId, Schema, Window};

use super::layout::{self, quote};
use super::{error, read_position};
use crate::cache::{CachedTopic, SeedSource, WINDOW_END, WINDOW_START};
use crate::store::StoreError;

/// How long a seed waits for a lock of the writer's. In the normal course there is nothing to wait for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the metric store beside the sink that writes it. The file is opened anew for every seed, which is
/// once a start.
#[derive(Clone, Debug)]
pub struct SqliteSeed {
    path: PathBuf,
}

impl SqliteSeed {
    /// Seeds from the metric store at `path`, which exists by the time of the first seed.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    fn read(&self, topics: &[CachedTopic], windows_max: usize) -> rusqlite::Result<Seed> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Rows and positions are of the same instant.
        let transaction = connection.transaction()?;
        let mut kinds = Vec::new();
        for topic in topics {
            kinds.extend(read_kind(&transaction, topic, windows_max)?);
        }
        Ok(Seed { kinds })
    }
}

impl SeedSource for SqliteSeed {
    fn seed(&mut self, topics: &[CachedTopic], windows_max: usize) -> Result<Seed, StoreError> {
        self.read(topics, windows_max).map_err(|error| error::write_error(&self.path, &error))
    }
}

fn read_kind(
    transaction: &Transaction<'_>,
    topic: &CachedTopic,
    windows_max: usize,
) -> rusqlite::Result<Option<SeededKind>> {
    let schema = topic.schema;
    let Some(view) = &schema.cache else { return Ok(None) };
    let table = quote(schema.table);
    // The table is sorted by the start of the window.
    let sql =
        format!("SELECT DISTINCT {WINDOW_START} FROM {table} ORDER BY {WINDOW_START} DESC LIMIT 1 OFFSET ?1");
    let windows_max = i64::try_from(windows_max).unwrap_or(i64::MAX);
    let left_out: Option<String> = transaction.query_row(&sql, [windows_max], |row| row.get(0)).optional()?;
    let columns: Vec<String> = schema.columns.iter().map(|column| quote(column.name)).collect();
    let sql = format!(
        "SELECT {}, version FROM {table} WHERE {WINDOW_START} > ?1 ORDER BY {WINDOW_START}",
        columns.join(", ")
    );
    let mut statement = transaction.prepare(&sql)?;
    // Every instant is greater than no text.
    let rows = statement.query_map([left_out.as_deref().unwrap_or("")], |row| read_row(row, schema))?;
    let rows = rows.collect::<rusqlite::Result<_>>()?;
    let left_out = left_out.map(|text| parse_instant(&text, 0)).transpose()?;
    let positions = read_positions(transaction, &topic.name)?;
    Ok(Some(SeededKind { view, topic: topic.name.clone(), positions, left_out, rows }))
}

fn read_row(row: &Row<'_>, schema: &'static Schema) -> rusqlite::Result<SeededRow> {
    let view = schema.cache.as_ref().expect("only tables that are cached are read");
    let at = |name: &str| {
        let at = schema.columns.iter().position(|column| column.name == name);
        at.expect("what is cached is a column")
    };
    let instant = |name: &str| parse_instant(row.get_ref(at(name))?.as_str()?, at(name));
    let values = view.fields.iter().map(|(name, _)| read_number(row, at(name), &schema.columns[at(name)]));
    Ok(SeededRow {
        window: Window { start: instant(WINDOW_START)?, end: instant(WINDOW_END)? },
        label: row.get(at(view.label))?,
        epoch: Epoch(read_whole(row, schema.columns.len())?),
        values: values.collect::<rusqlite::Result<_>>()?,
    })
}

fn read_number(row: &Row<'_>, at: usize, column: &Column) -> rusqlite::Result<Number> {
    Ok(match column.kind {
        ColumnType::UInt => Number::UInt(read_whole(row, at)?),
        ColumnType::Float => Number::Float(row.get(at)?),
        ColumnType::Instant | ColumnType::Text => unreachable!("what is cached is a number"),
    })
}

fn read_whole(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, number))
}

fn parse_instant(text: &str, at: usize) -> rusqlite::Result<EventTime> {
    EventTime::parse(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn read_positions(
    transaction: &Transaction<'_>,
    topic: &str,
) -> rusqlite::Result<BTreeMap<PartitionId, Position>> {
    let mut statement = transaction.prepare(layout::SELECT_POSITIONS)?;
    let mut rows = statement.query([])?;
    let mut positions = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if row.get_ref(0)?.as_str()? == topic {
            let position = read_position(row, 2)?;
            let last = position.last.map(|last| LastRow { offset: last.offset, epoch: last.epoch });
            positions.insert(PartitionId(row.get(1)?), Position { next: position.next, last });
        }
    }
    Ok(positions)
}
