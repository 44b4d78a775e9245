//! Sinks: committed rows out of the log and, idempotently, into the stores that people read.
//!
//! [`Sink`] is a state machine that somebody else steps: it has no thread and no clock. It reads rows
//! through `tidegate_log::RowReader`, decodes them by their [`Schema`](tidegate_model::Schema) and hands
//! them to a [`MetricStore`]. [`SqliteStore`] is the store of the embedded deployment; [`query`] reads
//! it beside the process that writes. The layout of the file is described in `docs/metric-store.md`.
//! [`CacheSink`] does the same for the cache, with provisional rows as well.
//!
//! The invariant: a store and its positions change together or not at all, so whatever failed and was
//! repeated, a table shows what the log says, once.

pub mod batch;
pub mod cache;
pub mod decode;
pub mod query;
pub mod sink;
pub mod sqlite;
pub mod store;

pub use batch::{Batch, Table};
pub use cache::{CacheConfig, CacheProgress, CacheSink, CacheSinkError, CacheTotals, NoSeed, SeedSource};
pub use sink::{Config, Progress, Sink, SinkError};
pub use sqlite::{METRICS_FILE, OpenError, SqliteSeed, SqliteStore};
pub use store::{MetricStore, StoreError};
