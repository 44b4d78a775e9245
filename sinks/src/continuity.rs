//! Whether a log is the one that rows were taken from before.
//!
//! Epochs of a deployment begin with the clock, and grow along a partition. So a partition whose rows are all newer
//! than the last one that was taken from it has the place of one that was wiped, and whoever took those may begin anew
//! with it: nothing is mixed up, and nothing is taken twice. Any other log may be the old one, cut off or restored,
//! whose missing rows nobody has.

use std::ops::Range;
use std::sync::Arc;

use tidegate_log::{ReadError, RowReader};
use tidegate_model::{Epoch, Offset, PartitionId};

/// What a log is to whoever took rows from one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// The same, as far as anybody can tell.
    Same,
    /// Its partition is empty, which says nothing yet.
    Empty,
    /// Another one, all of whose rows are newer.
    Newer {
        /// Where its partition begins.
        start: Offset,
        /// The epoch of its first row.
        since: Epoch,
    },
    /// Another one; this is what it holds instead.
    Other(String),
}

/// Compares the row that was taken last with what the log has there. A row that was removed meanwhile proves nothing.
pub(crate) fn compare(
    reader: &mut impl RowReader,
    (topic, partition): &(Arc<str>, PartitionId),
    (offset, epoch): (Offset, Epoch),
) -> Result<Continuity, ReadError> {
    let mut found: Option<(Offset, Epoch)> = None;
    let read = reader.read(topic, *partition, offset, 1, &mut |row| {
        found.get_or_insert((row.offset, as_stored(row.epoch)));
    });
    let found = match (read, found) {
        (Ok(_), Some(found)) if found == (offset, epoch) => return Ok(Continuity::Same),
        (Ok(_), Some((offset, epoch))) => format!("the log has offset {offset} of epoch {epoch} there"),
        (Ok(_), None) => "the log ends before it".to_owned(),
        (Err(ReadError::OutOfRange { available, .. }), _) if available.start > offset => {
            return Ok(Continuity::Same);
        }
        (Err(ReadError::OutOfRange { available, .. }), _) => ends_at(&available),
        (Err(error), _) => return Err(error),
    };
    judge(reader, (topic, *partition), Some(epoch), found)
}

/// Judges a log that surely is not the old one as it was: `found` says why. `newest` is the epoch of the row that was
/// taken last.
pub(crate) fn judge(
    reader: &mut impl RowReader,
    (topic, partition): (&str, PartitionId),
    newest: Option<Epoch>,
    found: String,
) -> Result<Continuity, ReadError> {
    let mut start = Offset::ZERO;
    loop {
        let mut first = None;
        let read = reader.read(topic, partition, start, 1, &mut |row| {
            first.get_or_insert((row.offset, as_stored(row.epoch)));
        });
        return match (read, first) {
            (Ok(_), Some((_, since))) if newest.is_none_or(|newest| newest < since) => {
                Ok(Continuity::Newer { start, since })
            }
            (Ok(_), Some(_)) => Ok(Continuity::Other(found)),
            (Ok(_), None) => Ok(Continuity::Empty),
            (Err(ReadError::OutOfRange { available, .. }), _) if available.is_empty() => {
                Ok(Continuity::Empty)
            }
            // It may begin later still by the time that it is read.
            (Err(ReadError::OutOfRange { available, .. }), _) if available.start > start => {
                start = available.start;
                continue;
            }
            (Err(error), _) => Err(error),
        };
    }
}

/// An epoch as stores hold it, who know no larger ones.
pub(crate) fn as_stored(epoch: Epoch) -> Epoch {
    Epoch(epoch.0.min(i64::MAX.unsigned_abs()))
}

/// What a log that is too short holds.
pub(crate) fn ends_at(available: &Range<Offset>) -> String {
    format!("the log ends at offset {} (exclusive)", available.end)
}
