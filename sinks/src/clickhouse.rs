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
//! - One process writes a database, the one that began last: the server refuses the inserts of every other.
//!
//! Nothing is asked of the server before the first step, so that a server that is away is waited for then as later.

mod apply;
mod binary;
mod config;
mod error;
mod fit;
mod generation;
mod inspect;
mod keys;
mod layout;
mod migrate;
mod open;
mod pending;
mod plan;
mod positions;
mod refused;
mod resume;
mod rights;
mod server;
mod session;
mod text;

use std::io;

use bytes::Bytes;

use crate::batch::Batch;
use crate::sink::{self, Topic};
use crate::store::{Applied, Expiry, Gap, MetricStore, NewLog, Positions, StoreError};
use error::Failure;
use generation::Generation;
use layout::TableLayout;
use pending::Pending;
use refused::NotStored;
use server::{Insert, Server};
use session::Session;

pub use config::ClickHouseConfig;
pub use error::UnfitTable;
pub use fit::Misfit;
pub use inspect::{ClockLook, Inspection, RightLook, TableLook, TableState, inspect};
pub use migrate::{MigrateError, Statement, migrate};

/// The metric store on a ClickHouse server.
pub struct ClickHouseStore {
    server: Server,
    config: ClickHouseConfig,
    topics: Vec<Topic>,
    tables: Vec<TableLayout>,
    /// Whether the tables are there and fit, as far as is known.
    is_open: bool,
    /// Whether the user was allowed everything once; whatever is taken away later is named by the server.
    is_allowed: bool,
    /// That of this process, once it has asked for one.
    generation: Option<Generation>,
    /// Whether an insert of an earlier session may be on its way still.
    may_arrive_late: bool,
    /// What is known of the server; nothing at first and after every error.
    session: Option<Session>,
    /// An insert that may or may not have been stored.
    pending: Option<Pending>,
    /// Rows of the insert under way that were deleted, in case that the server refuses what should replace them.
    replaced: keys::Whole,
}

impl ClickHouseStore {
    /// A store that has not asked anything of the server yet.
    ///
    /// # Errors
    /// When the system has no room for what talks to the server.
    pub fn new(config: ClickHouseConfig) -> io::Result<Self> {
        Self::with_topics(config, sink::Config::default().topics)
    }

    /// As [`ClickHouseStore::new`], with the tables of the given topics. A table belongs to one topic.
    ///
    /// # Errors
    /// As [`ClickHouseStore::new`].
    pub fn with_topics(config: ClickHouseConfig, topics: Vec<Topic>) -> io::Result<Self> {
        let server = Server::new(&config)?;
        let tables = layout::tables(&topics);
        Ok(Self {
            server,
            config,
            topics,
            tables,
            is_open: false,
            is_allowed: false,
            generation: None,
            may_arrive_late: false,
            session: None,
            pending: None,
            replaced: keys::Whole::new(),
        })
    }

    /// The session, begun anew unless there is one. The database and every table that is missing are made before.
    fn session(&mut self) -> Result<&mut Session, StoreError> {
        if !self.is_open {
            open::open(&self.server, &self.config, &self.tables)?;
            if !self.is_allowed {
                rights::check(&self.server, &self.config, &self.tables)?;
                self.is_allowed = true;
            }
            self.is_open = true;
        }
        if self.session.is_none() {
            let (server, config, renew) = (&self.server, &self.config, &mut self.may_arrive_late);
            self.session = Some(Session::begin(server, config, &self.topics, &mut self.generation, renew)?);
        }
        Ok(self.session.as_mut().expect("it was just begun"))
    }

    /// What is known is in doubt after an error.
    fn doubt<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.session = None;
            self.is_open = false;
        }
        result
    }

    fn table(&self, name: &str) -> &TableLayout {
        let table = self.tables.iter().find(|table| table.name == name);
        table.expect("the store is opened with every table that the sink feeds")
    }

    /// An insert into a table, of this session.
    fn insert_into(&mut self, table: &str, token: String, rows: Vec<u8>) -> Result<Insert, StoreError> {
        let session = self.session()?;
        let (setting, generation) = (session.settings(), session.generation().clone());
        let condition = generation.condition(&self.server);
        let sql = self.table(table).insert(&self.server.database, &condition);
        Ok(Insert { sql, token, setting, rows: Bytes::from(rows) })
    }

    /// Sends one insert. When its outcome is unknown it is kept, to be sent again.
    fn insert(&mut self, table: &str, token: String, rows: Vec<u8>) -> Result<(), NotStored> {
        let insert = self.insert_into(table, token, rows)?;
        self.pending = Some(Pending::new(label(&self.server, table), insert));
        self.send_pending().map_err(|(failure, what)| {
            if failure.is_about_rows && failure.is_definite {
                NotStored::Refused(failure.reason)
            } else {
                NotStored::Failed(self.not_written(failure, what))
            }
        })
    }

    /// Sends an insert again whose outcome is unknown.
    fn settle(&mut self) -> Result<(), StoreError> {
        self.send_pending().map_err(|(failure, what)| self.not_written(failure, what))
    }

    fn send_pending(&mut self) -> Result<(), (Failure, String)> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let sent = pending.send(&self.server);
        let what = pending.what.clone();
        if sent.is_err() && pending.may_be_stored() {
            self.pending = Some(pending);
        }
        sent.map_err(|failure| (failure, what))
    }

    /// The error of an insert that should have changed `what`.
    fn not_written(&mut self, failure: Failure, what: String) -> StoreError {
        // The server has not said that it is over.
        self.may_arrive_late |= failure.code.is_none();
        match &self.generation {
            Some(generation) if failure.is_fenced => generation.refused(&self.server),
            _ => failure.of_write(what),
        }
    }
}

impl MetricStore for ClickHouseStore {
    /// Reads them anew: a table may have been truncated meanwhile.
    fn positions(&mut self) -> Result<Positions, StoreError> {
        self.session = None;
        let settled = self.settle();
        self.doubt(settled)?;
        let session = self.session().map(|session| &session.positions);
        let positions = session.map(|all| all.iter().map(|(of, it)| (of.clone(), it.position)).collect());
        self.doubt(positions)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        let applied = self.apply_batch(batch);
        self.doubt(applied)
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), StoreError> {
        let skipped = self.skip_gap(gap);
        self.doubt(skipped)
    }

    fn adopt(&mut self, log: &NewLog) -> Result<(), StoreError> {
        let adopted = self.adopt_log(log);
        self.doubt(adopted)
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
