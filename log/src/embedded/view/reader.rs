//! Reading a view record after record, as the engine reads its log.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_model::{Offset, PartitionId};

use super::{EventsView, Fault, Reading};
use crate::embedded::segment::{Scanner, segment_name};
use crate::event::{EventReader, ReadError, RecordRef, Wake};

/// Reads a view up to offsets that are certain, which the bindings tell.
pub struct ViewReader {
    view: EventsView,
    ends: BTreeMap<PartitionId, Offset>,
    cursors: BTreeMap<PartitionId, Cursor>,
}

/// A place in a segment.
struct Cursor {
    /// The number of the segment.
    index: usize,
    scanner: Scanner,
    len: u64,
    /// The offset of the first record of the next frame.
    frame_base: u64,
    /// The offset of the next record.
    next: u64,
}

impl ViewReader {
    /// Reads the partitions of `ends`, each up to its end (exclusive).
    pub fn new(view: EventsView, ends: BTreeMap<PartitionId, Offset>) -> Self {
        Self { view, ends, cursors: BTreeMap::new() }
    }

    /// Goes to the segment that has the record at `from`, which is there.
    fn seek(&self, partition: PartitionId, from: u64) -> Result<Cursor, ReadError> {
        let segments = self.view.partitions.get(&partition).ok_or(ReadError::UnknownPartition(partition))?;
        let gone = || ReadError::OutOfRange {
            partition,
            asked: Offset(from),
            available: self.view.start(partition)..self.ends[&partition],
        };
        let index = segments.bases.partition_point(|base| *base <= from).checked_sub(1).ok_or_else(gone)?;
        let base = segments.bases[index];
        let path = segments.dir.join(segment_name(base));
        let shown = || path.display().to_string();
        match self.view.segment(partition, base, &path) {
            Ok(Ok(Some((scanner, len)))) => Ok(Cursor { index, scanner, len, frame_base: base, next: from }),
            Ok(Ok(None)) => {
                Err(ReadError::Damaged { path: shown(), at: 0, reason: "its header is torn".to_owned() })
            }
            Ok(Err((at, reason))) => Err(ReadError::Damaged { path: shown(), at, reason }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(gone()),
            Err(error) => Err(ReadError::Storage { path: shown(), reason: error.to_string() }),
        }
    }

    /// Shows the records of the frames that follow, up to `end` or the end of the segment.
    fn show(
        &self,
        partition: PartitionId,
        cursor: &mut Cursor,
        (end, max_bytes): (u64, usize),
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<usize, ReadError> {
        let mut bytes = 0;
        let mut count = |record: RecordRef<'_>| {
            bytes += record.value.len();
            visit(record);
        };
        let Cursor { index, scanner, len, frame_base, next } = cursor;
        let mut reading = Reading { next: *next, end, bytes_max: max_bytes, visit: &mut count };
        let read = reading.segment(scanner, frame_base, *len);
        *next = reading.next;
        read.map_err(|fault| {
            let segments = &self.view.partitions[&partition];
            let path = segments.dir.join(segment_name(segments.bases[*index])).display().to_string();
            match fault {
                Fault::Io(error) => ReadError::Storage { path, reason: error.to_string() },
                Fault::Damage(at, reason) => ReadError::Damaged { path, at, reason },
            }
        })?;
        Ok(bytes)
    }
}

impl EventReader for ViewReader {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        Ok(self.ends.keys().copied().collect())
    }

    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError> {
        let end = self.ends.get(&partition).ok_or(ReadError::UnknownPartition(partition))?;
        Ok(self.view.start(partition)..*end)
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        let end = self.bounds(partition)?.end.0;
        let (mut next, mut left) = (from.0, max_bytes.max(1));
        while next < end && left > 0 {
            let kept = self.cursors.remove(&partition).filter(|cursor| cursor.next == next);
            let mut cursor = kept.map_or_else(|| self.seek(partition, next), Ok)?;
            let shown = self.show(partition, &mut cursor, (end, left), visit)?;
            if cursor.next == next
                && self.view.partitions[&partition]
                    .bases
                    .get(cursor.index + 1)
                    .is_none_or(|base| *base > next)
            {
                let available = self.view.start(partition)..Offset(next);
                return Err(ReadError::OutOfRange { partition, asked: Offset(next), available });
            }
            left = left.saturating_sub(shown);
            if cursor.next > next {
                next = cursor.next;
                self.cursors.insert(partition, cursor);
            }
        }
        Ok(Offset(next))
    }

    fn on_append(&mut self, _: Wake) {}
}
