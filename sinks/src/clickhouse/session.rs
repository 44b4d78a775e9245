//! What is known of the server between two errors: the positions, and a name for what is sent.

use super::binary::{Reader, Truncated};
use super::generation::Generation;
use super::positions::{self, ByPartition};
use super::server::Server;
use super::text::literal;
use super::{ClickHouseConfig, garbled, label};
use crate::sink::Topic;
use crate::store::StoreError;

/// Begins with no statement on its way that changes anything, and while it lasts only this process sends some that
/// the server carries out. So what was read stays true until this process changes it.
pub(super) struct Session {
    pub(super) positions: ByPartition,
    /// A prefix of tokens that no other session has. Rows that were deleted since an earlier session could
    /// otherwise never be inserted again: the server would take them for a repetition.
    prefix: String,
    generation: Generation,
    /// The setting that has the server of this version know a repeated insert of what `input` gives.
    deduplication: Option<(&'static str, &'static str)>,
}

impl Session {
    /// Reads the positions, once nobody else can change them any more, nor an earlier session whose inserts may be on
    /// their way: then the generation is to `renew`.
    pub(super) fn begin(
        server: &Server,
        config: &ClickHouseConfig,
        topics: &[Topic],
        generation: &mut Option<Generation>,
        renew: &mut bool,
    ) -> Result<Self, StoreError> {
        // In this order: see the module on generations.
        let generation = Generation::assert(generation, *renew, server, config)?;
        *renew = false;
        let Around { name, deduplication } = nobody_writes(server)?;
        let positions = positions::load(server, topics)?;
        Ok(Self { positions, prefix: format!("{}{name}", prefix(server)), generation, deduplication })
    }

    /// The token of an insert of rows at these offsets.
    pub(super) fn token(&self, topic: &str, partition: u32, first: u64, last: u64) -> String {
        format!("{}/{topic}/{partition}/{first}-{last}", self.prefix)
    }

    pub(super) fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The settings of an insert.
    pub(super) fn settings(&self) -> Option<(&'static str, &'static str)> {
        self.deduplication
    }
}

/// How the names of all statements begin that change something in the database.
fn prefix(server: &Server) -> String {
    format!("tidegate/{}/", server.database)
}

/// What a session needs.
pub(super) struct Around {
    /// A new name.
    name: String,
    deduplication: Option<(&'static str, &'static str)>,
}

/// What inserts with `SELECT` are deduplicated by. Older servers know neither, and deduplicate them as any insert.
const DEDUPLICATION: [(&str, &str); 2] =
    [("deduplicate_insert_select", "force_enable"), ("insert_select_deduplicate", "1")];

/// Looks around, and fails while a statement of another session is on its way: an insert could show rows that are
/// looked up in vain now, and a delete take rows that are found.
pub(super) fn nobody_writes(server: &Server) -> Result<Around, StoreError> {
    let prefix = prefix(server);
    let answer = server.read(&format!(
        "SELECT toString(generateUUIDv4()), \
         assumeNotNull((SELECT count() FROM system.processes WHERE startsWith(query_id, {}))), \
         assumeNotNull((SELECT count() FROM system.settings WHERE NOT is_obsolete AND name = '{}')), \
         assumeNotNull((SELECT count() FROM system.settings WHERE NOT is_obsolete AND name = '{}'))",
        literal(prefix.as_bytes()),
        DEDUPLICATION[0].0,
        DEDUPLICATION[1].0,
    ));
    let answer = answer.map_err(|failure| failure.of_read(label(server, "*")))?;
    let read = || -> Result<_, Truncated> {
        let mut reader = Reader(&answer);
        let (name, running) = (reader.string()?, reader.u64()?);
        let known = [reader.u64()?, reader.u64()?];
        let mut known = DEDUPLICATION.into_iter().zip(known);
        let deduplication = known.find(|(_, is_known)| *is_known > 0).map(|(setting, _)| setting);
        Ok((running, Around { name, deduplication }))
    };
    let (running, around) = read().map_err(|error| garbled(server, "*", &error))?;
    if running == 0 {
        return Ok(around);
    }
    Err(StoreError::Storage {
        path: label(server, "*"),
        reason: format!(
            "{running} statements of an earlier process are being carried out (query_id {prefix}…); \
             storing goes on by itself when they end"
        ),
    })
}
