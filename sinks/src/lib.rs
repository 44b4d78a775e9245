//! Sinks: committed rows out of the log and, idempotently, into the stores that people read.
//!
//! [`Sink`] is a state machine that somebody else steps: it has no thread and no clock. It reads rows
//! through `tidegate_log::RowReader`, decodes them by their [`Schema`](tidegate_model::Schema) and hands
//! them to a [`MetricStore`]. [`SqliteStore`] is the store of the embedded deployment; [`query`] reads
//! it beside the process that writes. `ClickHouseStore`, behind the feature `clickhouse`, keeps the same
//! tables on a server. The layout of both is described in `docs/metric-store.md`.
//! [`CacheSink`] does the same for the cache, with provisional rows as well.
//!
//! The invariant: whatever failed and was repeated, a table shows what the log says, once. For that a store
//! changes with its positions or not at all, or knows the rows that it is given again.

pub mod batch;
pub mod cache;
#[cfg(feature = "clickhouse")]
pub mod clickhouse;
mod continuity;
pub mod decode;
pub mod query;
pub mod sink;
pub mod sqlite;
pub mod store;

pub use batch::{Batch, Table};
pub use cache::{CacheConfig, CacheProgress, CacheSink, CacheSinkError, CacheTotals, NoSeed, SeedSource};
#[cfg(feature = "clickhouse")]
pub use clickhouse::{ClickHouseConfig, ClickHouseStore};
pub use sink::{Config, Progress, Sink, SinkError};
pub use sqlite::{METRICS_FILE, OpenError, SqliteSeed, SqliteStore};
pub use store::{MetricStore, StoreError};
