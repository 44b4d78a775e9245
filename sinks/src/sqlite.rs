//! The embedded metric store: one `SQLite` file, `metrics.db`.
//!
//! Rows and positions change in one transaction. It is durable when it commits (`synchronous=FULL`),
//! because the sink then tells the log that it may remove the rows: with anything less, a loss of power
//! could take the rows from both. There is one fsync a batch, which costs little beside ten thousand
//! rows. The write-ahead log of `SQLite` lets others read the file meanwhile.

mod apply;
mod error;
mod expire;
mod instant;
mod layout;
mod open;
mod seed;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tidegate_model::{Epoch, Offset, PartitionId, Schema};

use crate::batch::Batch;
use crate::store::{Applied, Expiry, Gap, LastRow, MetricStore, NewLog, Position, Positions, StoreError};
use layout::TableSql;

pub use error::OpenError;
pub(crate) use layout::{Stamp, read_stamp};
pub use seed::SqliteSeed;

/// The name of the file in the data directory.
pub const METRICS_FILE: &str = "metrics.db";

/// Named limits of a [`SqliteStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// How many rows `dropped_events` holds; the oldest make room.
    pub dropped_rows_max: u64,
    /// How many rows `unreadable_rows` holds; the oldest make room.
    pub unreadable_rows_max: u64,
    /// The page cache, in KiB.
    pub cache_kib: u32,
    /// The write-ahead log is cut to this size, in bytes, once nobody reads what is in it.
    pub wal_bytes_kept: u64,
    /// How long a write waits for another process that holds the lock, in milliseconds.
    pub busy_timeout_ms: u32,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            dropped_rows_max: 1_000_000,
            unreadable_rows_max: 100_000,
            cache_kib: 16 * 1024,
            wal_bytes_kept: 64 * 1024 * 1024,
            busy_timeout_ms: 5_000,
        }
    }
}

/// The metric store in a `SQLite` file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    path: PathBuf,
    config: SqliteConfig,
    tables: Vec<TableSql>,
}

impl SqliteStore {
    /// Opens the file at `path`, or creates it, with every metric table there is.
    ///
    /// # Errors
    /// When the file cannot be opened, is no metric store, or one of a later version.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &Schema::ALL, SqliteConfig::default())
    }

    /// As [`SqliteStore::open`], with the given tables and limits.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(
        path: &Path,
        schemas: &[&'static Schema],
        config: SqliteConfig,
    ) -> Result<Self, OpenError> {
        let connection = open::open(path, schemas, &config)?;
        let tables = schemas.iter().map(|schema| TableSql::new(schema)).collect();
        Ok(Self { connection, path: path.to_owned(), config, tables })
    }

    /// The connection, for tests that tamper with it.
    #[doc(hidden)]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Begins a transaction that takes the write lock at once, carries out `change`, and commits.
    fn transact<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>, &Parts<'_>) -> Result<T, Failed>,
    ) -> Result<T, StoreError> {
        let Self { connection, path, config, tables } = self;
        let parts = Parts { config, tables };
        let write = |error: rusqlite::Error| error::write_error(path, &error);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(write)?;
        // Whatever returns early drops the transaction, which rolls it back.
        let result = change(&transaction, &parts).map_err(|failed| match failed {
            Failed::Sqlite(error) => error::write_error(path, &error),
            Failed::Store(error) => error,
        })?;
        transaction.commit().map_err(|error| error::commit_error(path, &error))?;
        Ok(result)
    }
}

/// What a transaction needs of the store beside the connection.
struct Parts<'a> {
    config: &'a SqliteConfig,
    tables: &'a [TableSql],
}

/// Why a transaction is rolled back.
enum Failed {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl MetricStore for SqliteStore {
    fn positions(&mut self) -> Result<Positions, StoreError> {
        let read = |connection: &Connection| -> rusqlite::Result<Positions> {
            let mut statement = connection.prepare_cached(layout::SELECT_POSITIONS)?;
            let rows = statement.query_map([], |row| {
                let topic: String = row.get(0)?;
                let partition = PartitionId(row.get(1)?);
                Ok(((Arc::from(topic), partition), read_position(row, 2)?))
            })?;
            rows.collect()
        };
        read(&self.connection).map_err(|error| error::write_error(&self.path, &error))
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        self.transact(|transaction, parts| apply::apply(transaction, parts, batch))
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), StoreError> {
        self.transact(|transaction, _| apply::skip(transaction, gap))
    }

    fn adopt(&mut self, log: &NewLog) -> Result<(), StoreError> {
        self.transact(|transaction, _| Ok(apply::adopt(transaction, log)?))
    }

    fn expire(&mut self, expiry: Expiry) -> Result<u64, StoreError> {
        self.transact(|transaction, parts| Ok(expire::expire(transaction, parts.tables, expiry)?))
    }
}

/// Reads `next_offset, last_offset, last_version` from column `at` on.
fn read_position(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Position> {
    let number = |at: usize| -> rusqlite::Result<Option<u64>> {
        let Some(number) = row.get::<_, Option<i64>>(at)? else { return Ok(None) };
        let number = u64::try_from(number);
        number.map(Some).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, row.get_unwrap(at)))
    };
    let last = number(at + 1)?.zip(number(at + 2)?);
    let last = last.map(|(offset, epoch)| LastRow { offset: Offset(offset), epoch: Epoch(epoch) });
    Ok(Position { next: Offset(number(at)?.unwrap_or_default()), last })
}

/// A number as `SQLite` holds it.
fn sql(number: u64) -> i64 {
    i64::try_from(number).expect("offsets, epochs and counts of a batch stay below 2^63")
}
