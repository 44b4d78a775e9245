//! Whether the log still holds the records that were read last. Where another one lies at the offset of such a record, the log was
//! cut off or replaced, and then filled beyond what was read: its offsets alone do not tell.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_log::{EventReader, read_first};
use tidegate_model::binding::LastRecord;
use tidegate_model::{Binding, Offset, PartitionId};

use crate::error::{Found, RunError};

/// Partitions that hold another record where the last one was read.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    pub(super) partitions: BTreeMap<PartitionId, (LastRecord, Found)>,
}

/// Reads the record at the place of the last one of each partition, where the log still has that place.
pub(super) fn find(
    last: &Binding,
    available: &BTreeMap<PartitionId, Range<Offset>>,
    log: &mut dyn EventReader,
) -> Result<Replaced, RunError> {
    let mut replaced = Replaced::default();
    for (partition, read) in &last.last_records {
        let Some(bounds) = available.get(partition).filter(|bounds| bounds.contains(&read.offset)) else {
            continue;
        };
        let (at, end) = (read.offset, read.offset.plus(1).min(bounds.end));
        let mut found = Found::Nothing;
        read_first(log, *partition, at, end, &mut |record| found = Found::Appended(record.append_time))?;
        if found != Found::Appended(read.appended) {
            replaced.partitions.insert(*partition, (*read, found));
        }
    }
    Ok(replaced)
}

impl Replaced {
    /// Nothing that was read may have been replaced.
    pub(super) fn check(&self, last: &Binding) -> Result<(), RunError> {
        let Some((partition, (read, found))) = self.partitions.first_key_value() else { return Ok(()) };
        Err(RunError::EventsReplaced {
            epoch: last.epoch,
            partition: *partition,
            offset: read.offset,
            read: read.appended,
            found: *found,
        })
    }
}
