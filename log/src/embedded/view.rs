//! Reading the events of a data directory without writing it, also while another process does.
//!
//! The process that writes knows how far its files are durable; whoever looks on from beside does not. So it
//! says up to which offset records are certain, which the bindings of the journal tell. What follows may be
//! half written: reading it ends at the first byte that is no intact frame, and that is no error.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_model::{EventTime, Offset, PartitionId};

use super::directory::read_format;
use super::error::OpenError;
use super::files::{Disk, Files};
use super::frame::split_record;
use super::partition::{self, Partition, SegmentInfo, Shared};
use super::reader::EmbeddedReader;
use super::segment::{
    HeaderFault, SEGMENT_VERSION, ScanError, Scanner, base_of_name, check_header, segment_name,
};
use crate::event::{ReadError, RecordRef};

/// The events of a data directory, as its files lay there when it was opened.
#[derive(Debug)]
pub struct EventsView {
    disk: Disk,
    partitions: BTreeMap<PartitionId, Segments>,
}

#[derive(Debug)]
struct Segments {
    dir: PathBuf,
    /// The first offset of each, oldest first.
    bases: Vec<u64>,
}

impl EventsView {
    /// Lists the segments in the data directory `dir`; none where there is no log.
    ///
    /// # Errors
    /// When its format is damaged or newer, or the storage fails.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let disk = Disk::read_only();
        let mut partitions = BTreeMap::new();
        for id in 0..read_format(&disk, dir)?.unwrap_or(0) {
            let dir = dir.join("events").join(id.to_string());
            let names = disk.list(&dir).map_err(|error| OpenError::storage(&dir, &error))?;
            let mut bases: Vec<u64> = names.iter().filter_map(|name| base_of_name(name)).collect();
            bases.sort_unstable();
            partitions.insert(PartitionId(id), Segments { dir, bases });
        }
        Ok(Self { disk, partitions })
    }

    /// Every partition.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.partitions.keys().copied()
    }

    /// The oldest offset kept of a partition.
    pub fn start(&self, partition: PartitionId) -> Offset {
        let segments = self.partitions.get(&partition);
        Offset(segments.and_then(|segments| segments.bases.first().copied()).unwrap_or(0))
    }

    /// So many readers, for workers that go through the log: of the records of each partition from where `starts`
    /// says, or the oldest one, up to the end that `ends` has for it, which must be there. What is removed meanwhile
    /// cannot be read.
    ///
    /// # Errors
    /// When the storage fails, or the header of a segment is damaged that may be read.
    pub fn readers(
        &self,
        starts: &BTreeMap<PartitionId, Offset>,
        ends: &BTreeMap<PartitionId, Offset>,
        count: usize,
    ) -> Result<Vec<EmbeddedReader>, ReadError> {
        let shared = Arc::new(self.shared(starts, ends, Arc::new(self.disk.clone()))?);
        Ok((0..count).map(|_| EmbeddedReader::new(Arc::clone(&shared))).collect())
    }

    /// What readers share that open files of `files`.
    fn shared(
        &self,
        starts: &BTreeMap<PartitionId, Offset>,
        ends: &BTreeMap<PartitionId, Offset>,
        files: Arc<dyn Files>,
    ) -> Result<Shared, ReadError> {
        let mut partitions = Vec::with_capacity(self.partitions.len());
        for (id, found) in &self.partitions {
            let [start, end] = [starts, ends].map(|offsets| offsets.get(id).map_or(0, |offset| offset.0));
            // Those wholly before are not even opened.
            let first = found.bases.partition_point(|base| *base <= start).saturating_sub(1);
            let mut list = Vec::with_capacity(found.bases.len() - first);
            for base in found.bases[first..].iter().copied().filter(|base| *base < end) {
                let path = found.dir.join(segment_name(base));
                let shown = path.display().to_string();
                match self.segment(*id, base, &path) {
                    Ok(Ok(Some((_, len)))) => list.push(SegmentInfo::new(base, path, len, None)),
                    Ok(Ok(None)) => {
                        let reason = "its header is cut short".to_owned();
                        return Err(ReadError::Damaged { path: shown, at: 0, reason });
                    }
                    Ok(Err((at, reason))) => return Err(ReadError::Damaged { path: shown, at, reason }),
                    // The oldest one was just removed.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && list.is_empty() => {}
                    Err(error) => {
                        return Err(ReadError::Storage { path: shown, reason: error.to_string() });
                    }
                }
            }
            partitions.push(Partition::new(*id, found.dir.clone(), partition::Segments { list, end }));
        }
        Ok(Shared::new(files, partitions))
    }

    /// Shows the records of `partition` at `offsets`, in order. Those before `certain` must be there; those
    /// from there on are shown as far as they are. Returns the offset after the last one.
    ///
    /// # Errors
    /// When `offsets` begins before the oldest record kept, the storage fails, or is damaged before `certain`.
    pub fn read(
        &self,
        partition: PartitionId,
        offsets: Range<Offset>,
        certain: Offset,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        let segments = self.partitions.get(&partition).ok_or(ReadError::UnknownPartition(partition))?;
        let first = segments.bases.partition_point(|base| *base <= offsets.start.0).checked_sub(1);
        let certain = certain.min(offsets.end).0;
        let mut next = offsets.start.0;
        for index in first.unwrap_or(0)..segments.bases.len() {
            let followed_by = segments.bases.get(index + 1).copied();
            if next >= offsets.end.0 || first.is_none() {
                break;
            }
            let path = segments.dir.join(segment_name(segments.bases[index]));
            let mut reading = Reading { next, end: offsets.end.0, visit: &mut *visit };
            let fault = match self.segment(partition, segments.bases[index], &path) {
                Ok(Ok(Some((mut scanner, len)))) => {
                    reading.segment(&mut scanner, segments.bases[index], len).err()
                }
                // It was just being created.
                Ok(Ok(None)) => None,
                Ok(Err((at, reason))) => Some(Fault::Damage(at, reason)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let available = Offset(followed_by.unwrap_or(next))..Offset(u64::MAX);
                    return Err(ReadError::OutOfRange { partition, asked: Offset(next), available });
                }
                Err(error) => Some(Fault::Io(error)),
            };
            next = reading.next;
            let path = path.display().to_string();
            match fault {
                Some(Fault::Io(error)) => {
                    return Err(ReadError::Storage { path, reason: error.to_string() });
                }
                Some(Fault::Damage(at, reason)) if next < certain || followed_by.is_some() => {
                    return Err(ReadError::Damaged { path, at, reason });
                }
                Some(Fault::Damage(..)) => break,
                None => {}
            }
            if let Some(base) = followed_by.filter(|base| next < *base && next < offsets.end.0) {
                let reason = format!("it ends at offset {next}, but the next segment begins at {base}");
                return Err(ReadError::Damaged { path, at: 0, reason });
            }
        }
        if next < certain {
            let available = self.start(partition)..Offset(next.max(self.start(partition).0));
            return Err(ReadError::OutOfRange { partition, asked: Offset(next), available });
        }
        Ok(Offset(next))
    }

    /// Opens a segment; says its length, or what is wrong with its header. `None` when that is torn.
    #[expect(clippy::type_complexity, reason = "storage, damage and absence are three different things")]
    fn segment(
        &self,
        partition: PartitionId,
        base: u64,
        path: &Path,
    ) -> io::Result<Result<Option<(Scanner, u64)>, (u64, String)>> {
        let file = self.disk.open(path)?;
        let len = file.len()?;
        Ok(match check_header(file.as_ref(), len, partition, base)? {
            Ok(()) => Ok(Some((Scanner::new(file, path.to_owned(), Vec::new()), len))),
            Err(HeaderFault::Torn) => Ok(None),
            Err(HeaderFault::Wrong(at, reason)) => Err((at, reason.to_owned())),
            Err(HeaderFault::Newer(found)) => Err((
                8,
                format!(
                    "it has format version {found}; this version of tidegate reads up to {SEGMENT_VERSION}"
                ),
            )),
        })
    }
}

/// Why a segment was not read to its end.
enum Fault {
    Io(io::Error),
    Damage(u64, String),
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Io(error) => Self::Io(error),
            ScanError::Fault { at, fault } => Self::Damage(at, fault.to_string()),
        }
    }
}

/// A read under way.
struct Reading<'a> {
    /// The offset of the next record to show.
    next: u64,
    end: u64,
    visit: &'a mut dyn FnMut(RecordRef<'_>),
}

impl Reading<'_> {
    fn segment(&mut self, scanner: &mut Scanner, base: u64, len: u64) -> Result<(), Fault> {
        let mut frame_base = base;
        while self.next < self.end {
            let position = scanner.position();
            let Some(header) = scanner.skip(frame_base, len)? else { return Ok(()) };
            if header.end() > self.next {
                scanner.seek(position);
                let (_, body) = scanner.frame(frame_base, len)?.expect("its header was just read");
                let append_time = EventTime::from_millis(header.append_time_ms);
                self.frame(&scanner.bytes()[body], frame_base..header.end(), append_time).ok_or_else(
                    || Fault::Damage(position, "the records of the frame do not fill it".to_owned()),
                )?;
            }
            frame_base = header.end();
        }
        Ok(())
    }

    /// Shows the records of a frame that are asked for; `None` when they do not fill it.
    fn frame(&mut self, mut body: &[u8], offsets: Range<u64>, append_time: EventTime) -> Option<()> {
        for offset in offsets {
            let (value, rest) = split_record(body)?;
            body = rest;
            if offset == self.next && offset < self.end {
                (self.visit)(RecordRef { offset: Offset(offset), append_time, value });
                self.next += 1;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
