//! Carrying retention out: see [`super::retention`] for what is decided.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use tidegate_model::{EventTime, Offset, PartitionId};

use super::journal::JournalDb;
use super::options::Options;
use super::partition::Shared;
use super::retention::{RetentionLimits, SegmentFacts, plan_retention};

/// What must not be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// Per partition, the offset from which recovery reads; of a partition that is not named everything
    /// is kept.
    pub events_from: BTreeMap<PartitionId, Offset>,
    /// Per topic of rows, who needs them and for how long; of a topic that is not named every row is kept.
    pub rows: BTreeMap<String, NeededRows>,
}

/// Who needs the rows of a topic, and for how long they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NeededRows {
    /// The sinks that must have acknowledged a row before it goes. Without any, age alone decides.
    pub sinks: Vec<String>,
    /// So long after its commit is a row kept at least, in milliseconds. Where nothing is said,
    /// [`Options::retention_ms`] counts, and without that too the row is kept.
    pub keep_ms: Option<i64>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segment files.
    pub segments: u64,
    /// Bytes of segment files.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Whether more rows may go: a call removes a limited number of each topic, so that its caller can
    /// see to other things before it calls again.
    pub more: bool,
}

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove what is no longer needed from {path}: {reason}")]
pub struct RetainError {
    /// The file or directory.
    pub path: String,
    /// What the storage said.
    pub reason: String,
}

/// Removes what may and should go.
pub(super) fn retain(
    shared: &Shared,
    journal: &JournalDb,
    options: &Options,
    now: EventTime,
    needed: &Needed,
) -> Result<Retained, RetainError> {
    let keep_from = options.retention_ms.map(|retention_ms| now.minus_ms(retention_ms));
    let mut retained = remove_segments(shared, options, keep_from, needed)?;
    for (topic, rows) in &needed.rows {
        let Some(keep_ms) = rows.keep_ms.or(options.retention_ms) else { continue };
        let removed = journal
            .remove_rows(topic, &rows.sinks, now.minus_ms(keep_ms))
            .map_err(|reason| RetainError { path: super::journal::FILE.to_owned(), reason })?;
        retained.rows += removed.rows;
        retained.more |= removed.more;
    }
    Ok(retained)
}

fn remove_segments(
    shared: &Shared,
    options: &Options,
    keep_from: Option<EventTime>,
    needed: &Needed,
) -> Result<Retained, RetainError> {
    let facts: Vec<SegmentFacts> = shared
        .partitions
        .iter()
        .flat_map(|partition| {
            let segments = partition.segments();
            let facts = segments.list.iter().enumerate().map(|(index, segment)| SegmentFacts {
                partition: partition.id,
                base: Offset(segment.base),
                end: Offset(segments.end_of(index)),
                bytes: segment.durable_bytes,
                // Append times never go back, so the next segment's first bounds this one's last.
                appended_until: segments
                    .list
                    .get(index + 1)
                    .and_then(|next| next.first_append_ms)
                    .map(EventTime::from_millis),
            });
            facts.collect::<Vec<_>>()
        })
        .collect();
    // Room is made before appends fail: an eighth of the whole is to be free.
    let total_bytes = options.total_bytes_max - options.total_bytes_max / 8;
    let plan = plan_retention(&facts, &needed.events_from, RetentionLimits { keep_from, total_bytes });
    let mut retained = Retained::default();
    for removal in plan {
        let Some(partition) = shared.partition(removal.partition) else { continue };
        // Readers stop finding it first. Should the file stay behind, the next start finds it again.
        let removed = partition.change(|segments| {
            let first = segments.list.first().is_some_and(|first| first.base == removal.base.0);
            first.then(|| segments.list.remove(0))
        });
        let Some(segment) = removed else { continue };
        let failed = |error: std::io::Error| RetainError {
            path: segment.path.display().to_string(),
            reason: error.to_string(),
        };
        shared.files.remove(&segment.path).map_err(failed)?;
        shared.files.sync_dir(&partition.dir).map_err(failed)?;
        shared.used_bytes.fetch_sub(segment.durable_bytes, Ordering::AcqRel);
        retained.segments += 1;
        retained.bytes += segment.durable_bytes;
    }
    Ok(retained)
}
