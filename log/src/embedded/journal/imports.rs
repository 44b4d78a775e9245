//! How far imports got, so that one that was killed goes on exactly where it stopped.
//!
//! Only one process writes the log, and while an import is open nothing else appends. So the records of
//! an import are those of earlier runs (`done_before`) and everything between `base`, the end of the
//! partition when this run began, and the end of the partition when the log is opened again or the
//! import is over. What others append between the runs lies outside of both.

use std::collections::BTreeMap;
use std::convert::Infallible;

use rusqlite::{Connection, OptionalExtension};
use tidegate_model::{Epoch, Offset, PartitionId};

use super::JournalDb;
use super::transaction::{Abort, transaction};

/// Why the progress of an import cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep the progress of the import in {path}: {reason}")]
pub struct ImportError {
    /// The file.
    pub path: String,
    /// What the storage said.
    pub reason: String,
}

/// What is known of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportState {
    /// It never began.
    NotSeen,
    /// It began and did not finish.
    Unfinished,
    /// It finished.
    Finished,
}

type Ends = BTreeMap<PartitionId, Offset>;

/// An import that began, or goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportBegun {
    /// How many of its records each partition holds already.
    pub done: BTreeMap<PartitionId, u64>,
    /// The newest epoch that is not of this import.
    pub before: Epoch,
}

impl JournalDb {
    /// Writes the progress of the import that is open, if one is, and marks it as unfinished.
    pub(in crate::embedded) fn settle_imports(&self, ends: &Ends) -> Result<(), ImportError> {
        self.change_imports(|connection| settle(connection, ends, "unfinished"))
    }

    /// Begins an import after epoch `before`, or goes on with it.
    pub(in crate::embedded) fn begin_import(
        &self,
        fingerprint: &str,
        ends: &Ends,
        before: Epoch,
    ) -> Result<ImportBegun, ImportError> {
        self.change_imports(|connection| {
            settle(connection, ends, "unfinished")?;
            let sql = "SELECT 1 FROM imports WHERE fingerprint = ?1 AND state <> 'finished'";
            let goes_on = connection.query_row(sql, [fingerprint], |_| Ok(())).optional()?.is_some();
            // One import goes on at a time, so there is one such epoch.
            let sql = "INSERT INTO meta VALUES ('import_before', ?1)
                       ON CONFLICT DO UPDATE SET value = iif(?2, value, excluded.value)";
            connection.execute(sql, (before.0, goes_on))?;
            let sql = "SELECT value FROM meta WHERE key = 'import_before'";
            let before = Epoch(connection.query_row(sql, [], |row| row.get(0))?);
            connection.execute(
                "INSERT INTO imports VALUES (?1, 'open') ON CONFLICT DO UPDATE SET state = 'open'",
                [fingerprint],
            )?;
            for (partition, end) in ends {
                connection.execute(
                    "INSERT INTO import_progress VALUES (?1, ?2, 0, ?3)
                     ON CONFLICT DO UPDATE SET base = excluded.base",
                    (fingerprint, partition.0, end.0),
                )?;
            }
            let sql = "SELECT partition, done_before FROM import_progress WHERE fingerprint = ?1";
            let mut statement = connection.prepare(sql)?;
            let done = statement
                .query_map([fingerprint], |row| Ok((PartitionId(row.get(0)?), row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(ImportBegun { done, before })
        })
    }

    /// Marks the import as finished.
    pub(in crate::embedded) fn finish_import(
        &self,
        fingerprint: &str,
        ends: &Ends,
    ) -> Result<(), ImportError> {
        self.change_imports(|connection| {
            settle(connection, ends, "unfinished")?;
            connection
                .execute("UPDATE imports SET state = 'finished' WHERE fingerprint = ?1", [fingerprint])?;
            Ok(())
        })
    }

    /// What is known of an import.
    pub(in crate::embedded) fn import_state(&self, fingerprint: &str) -> Result<ImportState, ImportError> {
        let sql = "SELECT state = 'finished' FROM imports WHERE fingerprint = ?1";
        let found = self.writer().connection.query_row(sql, [fingerprint], |row| row.get(0)).optional();
        match found {
            Ok(None) => Ok(ImportState::NotSeen),
            Ok(Some(true)) => Ok(ImportState::Finished),
            Ok(Some(false)) => Ok(ImportState::Unfinished),
            Err(error) => Err(ImportError { path: self.name(), reason: error.to_string() }),
        }
    }

    /// The import that began and did not finish, if there is one.
    pub(in crate::embedded) fn unfinished_import(&self) -> Result<Option<String>, ImportError> {
        let sql = "SELECT fingerprint FROM imports WHERE state <> 'finished' LIMIT 1";
        let found = self.writer().connection.query_row(sql, [], |row| row.get(0)).optional();
        found.map_err(|error| ImportError { path: self.name(), reason: error.to_string() })
    }

    fn change_imports<T>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, Abort<Infallible>>,
    ) -> Result<T, ImportError> {
        let changed = transaction(&mut self.writer().connection, change);
        changed.map_err(|failure| ImportError { path: self.name(), reason: failure.reason() })
    }
}

fn settle(connection: &Connection, ends: &Ends, state: &str) -> Result<(), Abort<Infallible>> {
    let open = "SELECT fingerprint FROM imports WHERE state = 'open'";
    for (partition, end) in ends {
        connection.execute(
            &format!(
                "UPDATE import_progress SET done_before = done_before + (?2 - base), base = ?2
                 WHERE partition = ?1 AND fingerprint IN ({open})"
            ),
            (partition.0, end.0),
        )?;
    }
    connection.execute("UPDATE imports SET state = ?1 WHERE state = 'open'", [state])?;
    Ok(())
}
