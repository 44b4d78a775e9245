//! What is known of the server between two errors: the positions, and a name for what is sent.

use super::binary::{Reader, Truncated};
use super::positions::{self, ByPartition};
use super::server::Server;
use super::text::literal;
use super::{garbled, label};
use crate::sink::Topic;
use crate::store::StoreError;

/// Begins with no statement on its way that changes anything, so what was read stays true until this process changes it.
pub(super) struct Session {
    pub(super) positions: ByPartition,
    /// A prefix of tokens that no other session has. Rows that were deleted since an earlier session could
    /// otherwise never be inserted again: the server would take them for a repetition.
    prefix: String,
}

impl Session {
    /// Reads the positions.
    pub(super) fn begin(server: &Server, topics: &[Topic]) -> Result<Self, StoreError> {
        let prefix = format!("tidegate/{}/", server.database);
        let (name, running) = look_around(server, &prefix)?;
        if running > 0 {
            return Err(StoreError::Storage {
                path: label(server, "*"),
                reason: format!(
                    "{running} statements of an earlier process are being carried out (query_id {prefix}…); \
                     storing goes on by itself when they end"
                ),
            });
        }
        let positions = positions::load(server, topics)?;
        Ok(Self { positions, prefix: format!("{prefix}{name}") })
    }

    /// The token of an insert of rows at these offsets.
    pub(super) fn token(&self, topic: &str, partition: u32, first: u64, last: u64) -> String {
        format!("{}/{topic}/{partition}/{first}-{last}", self.prefix)
    }
}

/// A new name, and how many statements of earlier sessions are on their way: inserts could show rows that are
/// looked up in vain now, and deletes take rows that are found.
fn look_around(server: &Server, prefix: &str) -> Result<(String, u64), StoreError> {
    let answer = server.read(&format!(
        "SELECT toString(generateUUIDv4()), count() FROM system.processes WHERE startsWith(query_id, {})",
        literal(prefix.as_bytes())
    ));
    let answer = answer.map_err(|failure| failure.of_read(label(server, "*")))?;
    let read = || -> Result<_, Truncated> {
        let mut reader = Reader(&answer);
        Ok((String::from_utf8_lossy(reader.text()?).into_owned(), reader.u64()?))
    };
    read().map_err(|error| garbled(server, "*", &error))
}
