//! The journal of the embedded log: one SQLite file, `journal.db`.
//!
//! One connection writes it, by turns; every reader has a connection of its own, which in WAL mode
//! neither waits nor is waited for. `synchronous=FULL` makes a commit durable before it is answered.
//!
//! Tables, version 1 ([`JOURNAL_VERSION`]):
//!
//! | table | columns |
//! | --- | --- |
//! | `meta` | `key` (`version`, `generation`), `value` |
//! | `bindings` | `epoch`, `committed_at` (ms), `body` (JSON, with a version of its own) |
//! | `ages` | `epoch`, `committed_at` (ms): one a minute of the bindings that were removed |
//! | `topics` | `id`, `name`, `first_offset` (oldest row kept), `next_offset` |
//! | `rows` | `topic` (id), `partition` (0), `offset`, `epoch`, `op`, `generation`, `key`, `value`, `headers` (JSON pairs, or null) |
//! | `acknowledged` | `sink`, `topic` (name), `partition`, `offset` (exclusive) |
//! | `imports` | `fingerprint`, `state` (`open`, `unfinished`, `finished`) |
//! | `import_progress` | `fingerprint`, `partition`, `done_before`, `base` |

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tidegate_model::{Binding, Epoch, Generation};

use self::in_turn::{Held, InTurn};
use super::wakes::Wakes;
use super::writer::Clock;
use crate::journal::{Commit, CommitError, Journal, JournalError, Recovered};

mod bindings;
mod commit;
mod imports;
mod in_turn;
mod prune;
mod retention;
mod rows;
mod schema;
#[cfg(test)]
mod tests;
mod transaction;
mod view;

pub use imports::{ImportBegun, ImportError, ImportState};
pub use rows::EmbeddedRowReader;
pub use schema::JOURNAL_VERSION;
pub use view::{JournalView, Moment, Piece, RowPieces};

/// The name of the file in the data directory.
pub(super) const FILE: &str = "journal.db";

/// The file, and the one connection that writes it.
pub(super) struct JournalDb {
    path: PathBuf,
    vfs: Option<String>,
    clock: Clock,
    writer: InTurn<Writer>,
    wakes: Arc<Wakes>,
}

/// The writing connection.
struct Writer {
    connection: Connection,
    /// Why nobody knows what the last commit did, if so. Only [`Journal::recover`] gets over it.
    doubt: Option<String>,
}

impl JournalDb {
    /// Opens or creates the file. `vfs` names SQLite's file system, for tests.
    pub(super) fn open(path: PathBuf, vfs: Option<&str>, clock: Clock) -> Result<Arc<Self>, JournalError> {
        let connection = schema::open_writer(&path, vfs)?;
        let writer = InTurn::new(Writer { connection, doubt: None });
        Ok(Arc::new(Self { path, vfs: vfs.map(str::to_owned), clock, writer, wakes: Arc::default() }))
    }

    /// The writing connection, when it is our turn. A panic in a turn leaves at most an open transaction
    /// behind, and the next one rolls that back.
    fn writer(&self) -> Held<'_, Writer> {
        self.writer.lock()
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// Writes the journal of an embedded log.
pub struct EmbeddedJournal {
    db: Arc<JournalDb>,
    /// What [`Journal::recover`] gave out.
    own: Option<Generation>,
}

impl EmbeddedJournal {
    pub(super) fn new(db: Arc<JournalDb>) -> Self {
        Self { db, own: None }
    }

    /// Opens the journal in the data directory `dir` for looking at it, also while another process
    /// writes it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open_read_only(dir: &Path) -> Result<JournalView, JournalError> {
        let path = dir.join(FILE);
        let connection = schema::open_reader(&path, None)?;
        schema::check_version(&connection, &path)?;
        Ok(JournalView::new(connection, path))
    }
}

impl Journal for EmbeddedJournal {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        let mut writer = self.db.writer();
        if writer.doubt.is_some() {
            // A new connection sees what is in the file, not what the old one remembers of it.
            writer.connection = schema::open_writer(&self.db.path, self.db.vfs.as_deref())?;
            writer.doubt = None;
        }
        let generation = bindings::next_generation(&mut writer.connection, &self.db.path)?;
        let last = bindings::read_last(&writer.connection, &self.db.path)?;
        drop(writer);
        self.own = Some(generation);
        Ok(Recovered { generation, last })
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        // A connection of its own: nobody waits for the writing one while they are shown.
        let connection = schema::open_reader(&self.db.path, self.db.vfs.as_deref())?;
        bindings::read_after(&connection, &self.db.path, after, visit)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let mut writer = self.db.writer();
        let path = self.db.name();
        if let Some(reason) = &writer.doubt {
            return Err(CommitError::Indefinite { path, reason: reason.clone() });
        }
        let committed_at = (self.db.clock)();
        let own = self.own.unwrap_or(Generation(0));
        let outcome = commit::commit(&mut writer.connection, &path, own, committed_at, commit);
        if let Err(CommitError::Indefinite { reason, .. }) = &outcome {
            writer.doubt = Some(format!("an earlier commit failed half-way: {reason}"));
        }
        drop(writer);
        if outcome.is_ok() {
            self.db.wakes.wake();
        }
        outcome
    }

    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        let (path, own) = (self.db.name(), self.own.unwrap_or(Generation(0)));
        // Whether a removal that may have taken place did, the next one finds out.
        prune::prune_some(&mut self.db.writer().connection, &path, own, before)
    }
}
