//! The metric tables on ClickHouse: storing rows beside a bare insert of the same blocks, and catching up with a backlog
//! in Kafka.
//!
//! Servers that `TIDEGATE_TEST_CLICKHOUSE` and `TIDEGATE_TEST_KAFKA` name are used, in a database and topics of their
//! own; otherwise they are started.

mod backlog;
mod insert;

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::ensure;
use tempfile::TempDir;
use tidegate_services::clickhouse::{Address, named};
use tidegate_services::{ClickHouse, Kafka, kafka};
use tidegate_sinks::clickhouse::ClickHouseConfig;

use crate::{Scale, Table, scratch};

/// Measures inserts, and catching up.
///
/// # Errors
/// When there is no server, or it fails.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let server = Server::find()?;
    let folder = scratch::folder()?;
    let started = if kafka::named().is_none() { Some(Kafka::start(folder.path())?) } else { None };
    let own = || started.as_ref().map(|kafka| kafka.address().to_owned());
    let bootstrap = kafka::named().or_else(own).expect("one of them is there");
    Ok(vec![insert::run(&server, scale)?, backlog::run(&server, &bootstrap, scale)?])
}

/// A server, one's own or somebody's.
pub(crate) struct Server {
    pub(crate) address: Address,
    _own: Option<(ClickHouse, TempDir)>,
}

impl Server {
    /// The one that is named, or a new one.
    pub(crate) fn find() -> anyhow::Result<Self> {
        if let Some(address) = named() {
            return Ok(Self { address, _own: None });
        }
        let folder = scratch::folder()?;
        let own = ClickHouse::start(folder.path())?;
        Ok(Self { address: own.address().clone(), _own: Some((own, folder)) })
    }

    /// A database of its own, which goes away with it.
    fn database(&self) -> Database<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Database { server: self, name: format!("bench_{}_{number}", std::process::id()) }
    }
}

/// A database, removed when dropped.
struct Database<'a> {
    server: &'a Server,
    name: String,
}

impl Database<'_> {
    fn config(&self) -> ClickHouseConfig {
        let url = format!("http://{}", self.server.address.http_address());
        ClickHouseConfig { url, database: self.name.clone(), ..ClickHouseConfig::default() }
    }

    /// Checks how many rows there are of sessions, and that each is one.
    fn check(&self, expected: usize) -> anyhow::Result<()> {
        let sql = format!("SELECT count(), uniqExact(session_id) FROM {}.session_metrics", self.name);
        let found = self.server.address.query(&sql)?;
        ensure!(found.trim() == format!("{expected}\t{expected}"), "{found} rows, expected {expected}");
        Ok(())
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // It goes with the server, where that is one's own.
        let _ = self.server.address.query(&format!("DROP DATABASE IF EXISTS {} SYNC", self.name));
    }
}
