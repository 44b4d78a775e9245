//! A log of rows in memory, and a place for metric stores.
#![allow(dead_code, reason = "every test crate uses a part of it")]

pub(crate) mod cached;
#[cfg(feature = "clickhouse")]
pub(crate) mod database;
pub(crate) mod proxy;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::types::Value as SqlValue;
use tidegate_log::event::Wake;
use tidegate_log::{ReadError, RowReader, RowRef};
use tidegate_model::row::{EventMetrics, MetricRow, Op};
use tidegate_model::{AsOf, Epoch, EventTime, Generation, Offset, PartitionId};
use tidegate_sinks::store::conformance::Harness;
use tidegate_sinks::{METRICS_FILE, SqliteStore};

/// A row as it lies in the log.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) offset: u64,
    pub(crate) epoch: u64,
    pub(crate) op: Op,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Partition {
    rows: Vec<Stored>,
    /// The oldest offset kept, and the end.
    start: u64,
    end: u64,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<(String, u32), Partition>,
    acknowledged: BTreeMap<(String, u32), u64>,
    /// Calls to `acknowledge` that fail before one succeeds.
    acknowledgements_to_fail: usize,
    unreadable: Option<(String, u32)>,
    /// Whether it answers no question.
    is_away: bool,
    reads: Vec<(String, u32, u64)>,
    as_of: Option<AsOf>,
}

/// A log of rows in memory; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog(Arc<Mutex<State>>);

impl MemoryLog {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().expect("no test panics while it holds the log"))
    }

    /// Appends a row and returns its offset.
    pub(crate) fn push(
        &self,
        topic: &str,
        partition: u32,
        epoch: u64,
        op: Op,
        value: impl Into<Vec<u8>>,
    ) -> u64 {
        self.push_with_headers(topic, partition, epoch, op, value, &[])
    }

    pub(crate) fn push_with_headers(
        &self,
        topic: &str,
        partition: u32,
        epoch: u64,
        op: Op,
        value: impl Into<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> u64 {
        self.with(|state| {
            let partition = state.partitions.entry((topic.to_owned(), partition)).or_default();
            let offset = partition.end;
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let headers = headers.collect();
            partition.rows.push(Stored { offset, epoch, op, value: value.into(), headers });
            partition.end += 1;
            offset
        })
    }

    /// Leaves out an offset, as the end of a transaction does in Kafka.
    pub(crate) fn leave_out(&self, topic: &str, partition: u32) {
        self.with(|state| state.partitions.entry((topic.to_owned(), partition)).or_default().end += 1);
    }

    /// Removes every row before `offset`.
    pub(crate) fn remove_before(&self, topic: &str, partition: u32, offset: u64) {
        self.with(|state| {
            let partition = state.partitions.get_mut(&(topic.to_owned(), partition)).expect("it exists");
            partition.rows.retain(|row| row.offset >= offset);
            partition.start = offset;
        });
    }

    /// Wipes a partition: it is there, and begins at 0 again.
    pub(crate) fn wipe(&self, topic: &str, partition: u32) {
        self.with(|state| state.partitions.insert((topic.to_owned(), partition), Partition::default()));
    }

    /// Says how far the bindings have come.
    pub(crate) fn set_as_of(&self, epoch: u64, frontier: EventTime) {
        self.with(|state| state.as_of = Some(AsOf { epoch: Epoch(epoch), frontier }));
    }

    pub(crate) fn fail_acknowledgements(&self, count: usize) {
        self.with(|state| state.acknowledgements_to_fail = count);
    }

    /// Whether nobody answers from now on.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.with(|state| state.is_away = is_away);
    }

    /// From now on this partition cannot be read.
    pub(crate) fn damage(&self, topic: &str, partition: u32) {
        self.with(|state| state.unreadable = Some((topic.to_owned(), partition)));
    }

    pub(crate) fn acknowledged(&self, topic: &str, partition: u32) -> Option<u64> {
        self.with(|state| state.acknowledged.get(&(topic.to_owned(), partition)).copied())
    }

    /// Topic, partition and offset of every read so far.
    pub(crate) fn take_reads(&self) -> Vec<(String, u32, u64)> {
        self.with(|state| std::mem::take(&mut state.reads))
    }
}

fn storage() -> ReadError {
    ReadError::Storage { path: "memory".to_owned(), reason: "told to fail".to_owned() }
}

impl RowReader for MemoryLog {
    fn partitions(&mut self, topic: &str) -> Result<Vec<PartitionId>, ReadError> {
        self.with(|state| {
            let of_topic = state.partitions.keys().filter(|(name, _)| name == topic);
            let partitions = of_topic.map(|(_, partition)| PartitionId(*partition)).collect();
            if state.is_away { Err(storage()) } else { Ok(partitions) }
        })
    }

    fn as_of(&mut self) -> Result<Option<AsOf>, ReadError> {
        self.with(|state| if state.is_away { Err(storage()) } else { Ok(state.as_of) })
    }

    fn read(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<Offset, ReadError> {
        self.with(|state| {
            let at = (topic.to_owned(), partition.0);
            state.reads.push((at.0.clone(), at.1, from.0));
            if state.is_away || state.unreadable.as_ref() == Some(&at) {
                return Err(storage());
            }
            let Some(found) = state.partitions.get(&at) else {
                return Err(ReadError::UnknownPartition(partition));
            };
            if !(found.start..=found.end).contains(&from.0) {
                let available = Range { start: Offset(found.start), end: Offset(found.end) };
                return Err(ReadError::OutOfRange { partition, asked: from, available });
            }
            let mut rows = found.rows.iter().filter(|row| row.offset >= from.0);
            for row in rows.by_ref().take(max_rows) {
                visit(RowRef {
                    offset: Offset(row.offset),
                    key: b"key",
                    value: &row.value,
                    epoch: Epoch(row.epoch),
                    op: row.op,
                    generation: Generation(1),
                    headers: &row.headers,
                });
            }
            Ok(Offset(rows.next().map_or(found.end, |row| row.offset)))
        })
    }

    fn acknowledge(
        &mut self,
        _sink: &str,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), ReadError> {
        self.with(|state| {
            if state.acknowledgements_to_fail > 0 {
                state.acknowledgements_to_fail -= 1;
                return Err(storage());
            }
            state.acknowledged.insert((topic.to_owned(), partition.0), offset.0);
            Ok(())
        })
    }

    fn on_commit(&mut self, _wake: Wake) {}
}

/// A row of `event_metrics` as JSON, for the window that starts at `minute`.
pub(crate) fn event_json(minute: i64, event_type: &str, count: u64) -> String {
    let start = EventTime::from_millis(minute * 60_000);
    let row = EventMetrics {
        window_start: start,
        window_end: start.plus_ms(60_000),
        event_type: event_type.to_owned(),
        event_count: count,
        user_count: 1,
    };
    serde_json::to_string(&row).expect("a row serialises")
}

pub(crate) const EVENTS: &str = EventMetrics::SCHEMA.table;

/// A directory with a metric store in it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory().join(METRICS_FILE)
    }

    pub(crate) fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.file()).expect("the store opens")
    }

    /// Every row of a table, with the columns that it has, sorted.
    pub(crate) fn dump(&self, table: &str) -> Vec<Vec<String>> {
        dump(&self.file(), &format!("SELECT * FROM {table}"))
    }

    /// Everything that a reader can see, positions included.
    pub(crate) fn dump_all(&self) -> BTreeMap<String, Vec<Vec<String>>> {
        let names = dump(&self.file(), "SELECT name FROM sqlite_schema WHERE type = 'table'");
        names.into_iter().map(|name| (name[0].clone(), self.dump(&name[0]))).collect()
    }
}

/// The sorted result of a query, by plain SQLite and not by the crate's own reader.
pub(crate) fn dump(file: &Path, sql: &str) -> Vec<Vec<String>> {
    let connection = rusqlite::Connection::open(file).expect("the file opens");
    let mut statement = connection.prepare(sql).expect("the query is right");
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..columns).map(|at| row.get(at)).collect::<Result<Vec<SqlValue>, _>>())
        .expect("the query runs");
    let text = |value| match value {
        SqlValue::Null => "NULL".to_owned(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Real(number) => format!("{number:?}"),
        SqlValue::Text(text) => text,
        SqlValue::Blob(bytes) => format!("{bytes:02x?}"),
    };
    let mut rows: Vec<Vec<String>> =
        rows.map(|row| row.expect("a row").into_iter().map(text).collect()).collect();
    rows.sort();
    rows
}

impl Harness for Place {
    type Store = SqliteStore;

    fn open(&mut self) -> SqliteStore {
        self.store()
    }

    fn select(&mut self, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let columns: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
        dump(&self.file(), &format!("SELECT {} FROM {table}", columns.join(", ")))
    }
}
