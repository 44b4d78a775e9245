//! Which process writes: the one with the newest generation.
//!
//! A process takes a generation above every one in `sink_generations`. Each insert of rows and of positions carries a
//! condition that the server evaluates as it begins to carry the insert out, and refuses it by: that the generation
//! of its process is the newest.
//!
//! No race is left. The server enters a statement in `system.processes` before it evaluates anything of it. An insert
//! of an older process is entered either before the new generation can be seen, and then the new process waits until
//! it is over (see [`Session`](super::session::Session)); or after that, and then it is refused. It does not matter
//! when its bytes were sent, and by a process that was paused for how long. Deletes carry no condition, because the
//! server would try a refused one again for ever; they name the very rows that they take.

use super::binary::{Reader, Truncated};
use super::layout::GENERATIONS;
use super::server::Server;
use super::text::{literal, quote};
use super::{ClickHouseConfig, garbled, label};
use crate::store::StoreError;

/// How the server's refusal is told from every other.
pub(super) const FENCED: &str = "tidegate: another sink has taken over";

/// The generation of a process; newer ones are larger. A process takes a further one when the outcome of an insert was
/// unknown: should that one be still on its way, it is of an earlier generation, too. Two processes may take one number at the same time: their
/// names decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Generation {
    number: u64,
    /// The name of the process, which no other has.
    process: String,
}

/// The newest generation, and whose it is.
struct Newest {
    generation: Generation,
    host: String,
    pid: u64,
    since: String,
    /// A name that no process has.
    free_name: String,
}

impl Generation {
    /// Makes sure that the generation of this process can be seen and is the newest; at first it takes one, and a
    /// further one when it is to `renew`.
    pub(super) fn assert(
        ours: &mut Option<Self>,
        renew: bool,
        server: &Server,
        config: &ClickHouseConfig,
    ) -> Result<Self, StoreError> {
        let newest = read_newest(server)?;
        if let Some(ours) = ours {
            ours.check(server, &newest)?;
            ours.number = ours.number.saturating_add(renew.into());
        }
        let ours = ours.get_or_insert_with(|| Self {
            number: newest.generation.number.saturating_add(1),
            process: newest.free_name.clone(),
        });
        if newest.generation < *ours {
            // One that was written before, or whose outcome is unknown, is only written again.
            let written = server.execute(&ours.insert(server, config));
            written.map_err(|failure| failure.of_write(label(server, GENERATIONS)))?;
            ours.check(server, &read_newest(server)?)?;
        } else {
            ours.check(server, &newest)?;
        }
        Ok(ours.clone())
    }

    /// Why an insert was refused.
    pub(super) fn refused(&self, server: &Server) -> StoreError {
        let checked = read_newest(server).and_then(|newest| self.check(server, &newest));
        checked.err().unwrap_or_else(|| StoreError::Storage {
            path: label(server, GENERATIONS),
            reason: "somebody else changed it; storing goes on by itself".to_owned(),
        })
    }

    fn check(&self, server: &Server, newest: &Newest) -> Result<(), StoreError> {
        if newest.generation <= *self {
            return Ok(());
        }
        let Newest { generation, host, pid, since, .. } = newest;
        Err(StoreError::Fenced {
            path: format!("database {} of ClickHouse {}", server.database, server.url),
            by: format!("process {pid} on {host}, generation {}, since {since} UTC", generation.number),
        })
    }

    fn insert(&self, server: &Server, config: &ClickHouseConfig) -> String {
        format!(
            "INSERT INTO {} (generation, process, host, pid, since) SELECT {}, {}, {}, {}, now64(3)",
            path(server),
            self.number,
            literal(self.process.as_bytes()),
            literal(config.host.as_bytes()),
            std::process::id(),
        )
    }

    /// The condition of an insert. An exception is the only way to have the server refuse one; what it says is
    /// [`FENCED`].
    pub(super) fn condition(&self, server: &Server) -> String {
        format!(
            "NOT throwIf((SELECT max((generation, process)) FROM {}) != ({}, {}), {})",
            path(server),
            self.number,
            literal(self.process.as_bytes()),
            literal(FENCED.as_bytes()),
        )
    }
}

fn path(server: &Server) -> String {
    format!("{}.{}", quote(&server.database), quote(GENERATIONS))
}

/// Reads it; where there is none it is the smallest possible one.
fn read_newest(server: &Server) -> Result<Newest, StoreError> {
    let answer = server.read(&format!(
        "SELECT max((generation, process)).1, max((generation, process)).2, argMax(host, (generation, process)), \
         argMax(pid, (generation, process)), toString(argMax(since, (generation, process))), \
         toString(generateUUIDv4()) FROM {}",
        path(server),
    ));
    let answer = answer.map_err(|failure| failure.of_read(label(server, GENERATIONS)))?;
    let read = || -> Result<Newest, Truncated> {
        let mut reader = Reader(&answer);
        let number = reader.u64()?;
        let process = reader.string()?;
        Ok(Newest {
            generation: Generation { number, process },
            host: reader.string()?,
            pid: reader.u64()?,
            since: reader.string()?,
            free_name: reader.string()?,
        })
    };
    read().map_err(|error| garbled(server, GENERATIONS, &error))
}
