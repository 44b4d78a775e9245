//! The metric store on ClickHouse.
//!
//! There are no transactions over tables there, so rows go first and the position follows. What makes a
//! repetition harmless all the same:
//!
//! - Storing goes on at the position, or behind the newest row of the table if that lies further.
//! - A batch first looks up the rows of its keys. What is there already is left alone, what is superseded is
//!   deleted before the new row is inserted: a plain `SELECT` shows a key once, or for a moment not at all.
//! - An insert whose outcome is unknown is kept, and sent again with the same bytes and the same token before
//!   anything else is done.
//!
//! One process writes; fencing a second one is the log's affair.

mod apply;
mod binary;
mod config;
mod error;
mod fit;
mod keys;
mod layout;
mod open;
mod pending;
mod plan;
mod positions;
mod resume;
mod server;
mod session;
mod text;

use bytes::Bytes;

use crate::batch::Batch;
use crate::sink::{self, Topic};
use crate::store::{Applied, Expiry, Gap, MetricStore, Positions, StoreError};
use layout::TableLayout;
use pending::Pending;
use server::Server;
use session::Session;

pub use config::ClickHouseConfig;
pub use error::{ClickHouseOpenError, UnfitTable};
pub use fit::Misfit;

/// The metric store on a ClickHouse server.
pub struct ClickHouseStore {
    server: Server,
    config: ClickHouseConfig,
    topics: Vec<Topic>,
    tables: Vec<TableLayout>,
    /// What is known of the server; nothing at first and after every error.
    session: Option<Session>,
    /// An insert that may or may not have been stored.
    pending: Option<Pending>,
}

impl ClickHouseStore {
    /// Connects, and makes the database and every table that is missing.
    ///
    /// # Errors
    /// When the server does not answer or refuses, or a table is there that cannot hold the rows.
    pub fn open(config: ClickHouseConfig) -> Result<Self, ClickHouseOpenError> {
        Self::open_with(config, sink::Config::default().topics)
    }

    /// As [`ClickHouseStore::open`], with the tables of the given topics. A table belongs to one topic.
    ///
    /// # Errors
    /// As [`ClickHouseStore::open`].
    pub fn open_with(config: ClickHouseConfig, topics: Vec<Topic>) -> Result<Self, ClickHouseOpenError> {
        let server = Server::new(&config)?;
        let tables = topics.iter().map(|topic| TableLayout::of(topic.table));
        let tables: Vec<TableLayout> = tables.chain(TableLayout::fixed()).collect();
        open::open(&server, &config, &tables)?;
        Ok(Self { server, config, topics, tables, session: None, pending: None })
    }

    /// The session, begun anew unless there is one.
    fn session(&mut self) -> Result<&mut Session, StoreError> {
        if self.session.is_none() {
            self.session = Some(Session::begin(&self.server, &self.topics)?);
        }
        Ok(self.session.as_mut().expect("it was just begun"))
    }

    /// What is known is in doubt after an error.
    fn doubt<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.session = None;
        }
        result
    }

    fn table(&self, name: &str) -> &TableLayout {
        let table = self.tables.iter().find(|table| table.name == name);
        table.expect("the store is opened with every table that the sink feeds")
    }

    /// Sends one insert. When its outcome is unknown it is kept, to be sent again.
    fn insert(&mut self, table: &str, token: String, rows: Vec<u8>) -> Result<(), StoreError> {
        let sql = self.table(table).insert(&self.server.database);
        let what = label(&self.server, table);
        self.pending = Some(Pending::new(what, sql, token, Bytes::from(rows)));
        self.settle()
    }

    /// Sends an insert again whose outcome is unknown.
    fn settle(&mut self) -> Result<(), StoreError> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let sent = pending.send(&self.server);
        if sent.is_err() && pending.may_be_stored() {
            self.pending = Some(pending);
        }
        sent
    }
}

impl MetricStore for ClickHouseStore {
    /// Reads them anew: a table may have been truncated meanwhile.
    fn positions(&mut self) -> Result<Positions, StoreError> {
        self.session = None;
        self.settle()?;
        let positions = self.session()?.positions.iter();
        Ok(positions.map(|(source, progress)| (source.clone(), progress.position)).collect())
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        let applied = self.apply_batch(batch);
        self.doubt(applied)
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), StoreError> {
        let skipped = self.skip_gap(gap);
        self.doubt(skipped)
    }

    /// The server forgets by itself: see [`ClickHouseConfig::ttl_days`].
    fn expire(&mut self, _expiry: Expiry) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// Names a table in errors.
fn label(server: &Server, table: &str) -> String {
    format!("table {}.{table} of ClickHouse {}", server.database, server.url)
}

fn garbled(server: &Server, table: &str, error: &binary::Truncated) -> StoreError {
    StoreError::Storage { path: label(server, table), reason: error.to_string() }
}
