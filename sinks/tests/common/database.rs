//! A database on a ClickHouse, and sinks into it.

use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_model::EventTime;
use tidegate_services::clickhouse::Address;
use tidegate_sinks::store::conformance::Harness;
use tidegate_sinks::{ClickHouseConfig, ClickHouseStore, MetricStore as _, Sink};

use super::MemoryLog;

pub(crate) const NOW: EventTime = EventTime::from_millis(0);

/// A database of our own on a server.
pub(crate) struct Database {
    pub(crate) address: Address,
    pub(crate) name: String,
}

impl Database {
    pub(crate) fn new(address: &Address) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self { address: address.clone(), name: format!("sinks_{}_{count}", std::process::id()) }
    }

    pub(crate) fn config(&self) -> ClickHouseConfig {
        let url = format!("http://{}", self.address.http_address());
        ClickHouseConfig { url, database: self.name.clone(), ..ClickHouseConfig::default() }
    }

    pub(crate) fn store(&self) -> ClickHouseStore {
        ClickHouseStore::new(self.config()).expect("there is room")
    }

    /// Makes the tables.
    pub(crate) fn prepare(&self) {
        self.store().positions().expect("the store opens");
    }

    /// Why the store does not open.
    pub(crate) fn refusal(&self) -> String {
        let error = self.store().positions().expect_err("a table does not fit");
        assert!(error.is_final(), "{error}");
        error.to_string()
    }

    /// `$` stands for the name of the database.
    pub(crate) fn query(&self, sql: &str) -> String {
        let sql = sql.replace('$', &self.name);
        self.address.query(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Minute, type, count and version of the rows that a plain SELECT shows.
    pub(crate) fn events(&self) -> Vec<String> {
        let rows = self.query(
            "SELECT toUnixTimestamp(window_start) DIV 60, event_type, event_count, version \
             FROM $.event_metrics ORDER BY ALL",
        );
        rows.lines().map(|line| line.replace('\t', " ")).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may be gone.
        let _ = self.address.query(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

impl Harness for Database {
    type Store = ClickHouseStore;

    fn open(&mut self) -> ClickHouseStore {
        self.store()
    }

    fn select(&mut self, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
        let columns = columns.join(", ");
        let rows = self.query(&format!("SELECT {columns} FROM $.{table} FORMAT JSONCompactStringsEachRow"));
        rows.lines().map(|row| serde_json::from_str(row).expect("strings")).collect()
    }
}

pub(crate) fn run(sink: &mut Sink<MemoryLog, ClickHouseStore>) {
    while !sink.step(NOW).expect("a step").caught_up {}
}

/// What `minute` shows for `count` in the epoch.
pub(crate) fn shown(minute: i64, count: u64, epoch: u64) -> String {
    format!("{minute} click {count} {epoch}")
}
