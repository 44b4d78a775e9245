//! Reading events: large reads, one checksum a frame, nothing that is not durable.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tidegate_model::{EventTime, Offset, PartitionId};

use super::frame::split_record;
use super::partition::{Partition, Place, Shared};
use super::segment::{ScanError, Scanner};
use super::wakes::Registration;
use crate::event::{EventReader, ReadError, RecordRef, Wake};

/// Reads the events of an embedded log. It keeps a buffer for each partition that was read, so that
/// reading on costs no second look at the same bytes.
#[derive(Debug)]
pub struct EmbeddedReader {
    shared: Arc<Shared>,
    cursors: BTreeMap<PartitionId, Cursor>,
    registration: Option<Registration>,
}

/// Where reading a partition goes on.
#[derive(Debug)]
struct Cursor {
    /// First offset of the segment.
    segment: u64,
    scanner: Scanner,
    /// The offset of the next record.
    next: u64,
    /// The offset at which the scanner's next frame begins.
    next_frame: u64,
    /// The frame that the records left of the current one are of: its first offset and its position.
    frame: (u64, u64),
    /// That with which the last read began. Whoever took in less than was shown comes back to what follows it.
    began: (u64, u64),
    /// The records of the current frame that were not shown yet: a range of the scanner's buffer.
    rest: Range<usize>,
    append_time: EventTime,
}

impl EmbeddedReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, cursors: BTreeMap::new(), registration: None }
    }
}

fn out_of_range(partition: &Partition, asked: u64) -> ReadError {
    let segments = partition.segments();
    let available = Offset(segments.start())..Offset(segments.end);
    ReadError::OutOfRange { partition: partition.id, asked: Offset(asked), available }
}

fn scan_error(scanner: &Scanner, error: ScanError) -> ReadError {
    let path = scanner.path().display().to_string();
    match error {
        ScanError::Fault { at, fault } => ReadError::Damaged { path, at, reason: fault.to_string() },
        ScanError::Io(error) => ReadError::Storage { path, reason: error.to_string() },
    }
}

impl Cursor {
    /// A cursor at the record with offset `next`, in the segment of `place`.
    fn open(shared: &Shared, place: &Place, next: u64, buffer: Vec<u8>) -> Result<Self, ReadError> {
        let file = shared.files.open(&place.path).map_err(|error| ReadError::Storage {
            path: place.path.display().to_string(),
            reason: error.to_string(),
        })?;
        let scanner = Scanner::new(file, place.path.clone(), buffer);
        let (segment, frame) = (place.segment, place.frame);
        Ok(Self {
            segment,
            scanner,
            next,
            next_frame: frame.0,
            frame,
            began: frame,
            rest: 0..0,
            append_time: EventTime::MIN,
        })
    }

    /// Goes to the record with offset `next`, in the same segment.
    fn jump(&mut self, partition: &Partition, place: &Place, next: u64) -> Result<(), ReadError> {
        self.rest = 0..0;
        let known = [place.frame, self.began, self.frame];
        let nearest = known.into_iter().filter(|(base, _)| *base <= next).max().unwrap_or(place.frame);
        (self.next_frame, self.next) = (nearest.0, next);
        self.scanner.seek(nearest.1);
        let mut found = Vec::new();
        loop {
            let position = self.scanner.position();
            let header = self
                .scanner
                .skip(self.next_frame, place.limit)
                .map_err(|error| scan_error(&self.scanner, error))?;
            let header = header.ok_or_else(|| ended_early(&self.scanner, place, self.next_frame))?;
            if header.end() > next {
                self.scanner.seek(position);
                partition.note(self.segment, &found);
                return Ok(());
            }
            self.next_frame = header.end();
            found.push((self.next_frame, self.scanner.position()));
        }
    }

    /// Reads the frame that holds the next record.
    fn load(&mut self, place: &Place) -> Result<(), ReadError> {
        self.frame = (self.next_frame, self.scanner.position());
        let frame = self
            .scanner
            .frame(self.next_frame, place.limit)
            .map_err(|error| scan_error(&self.scanner, error))?;
        let (header, body) = frame.ok_or_else(|| ended_early(&self.scanner, place, self.next_frame))?;
        self.rest = body;
        self.append_time = EventTime::from_millis(header.append_time_ms);
        let mut offset = self.next_frame;
        self.next_frame = header.end();
        while offset < self.next {
            self.split()?;
            offset += 1;
        }
        Ok(())
    }

    /// Takes the next record off the frame: a range of the buffer.
    fn split(&mut self) -> Result<Range<usize>, ReadError> {
        let rest = self.scanner.bytes().get(self.rest.clone()).unwrap_or_default();
        let Some((value, _)) = split_record(rest) else {
            let path = self.scanner.path().display().to_string();
            let reason = "the records of the frame do not fill it".to_owned();
            return Err(ReadError::Damaged { path, at: self.scanner.position(), reason });
        };
        let start = self.rest.start + (rest.len().min(4));
        let value = start..start + value.len();
        self.rest.start = value.end;
        Ok(value)
    }
}

fn ended_early(scanner: &Scanner, place: &Place, next: u64) -> ReadError {
    let path = scanner.path().display().to_string();
    let reason = format!("it ends before offset {next}, but should hold all up to {}", place.offsets.end);
    ReadError::Damaged { path, at: scanner.position(), reason }
}

impl EventReader for EmbeddedReader {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        Ok(self.shared.partitions.iter().map(|partition| partition.id).collect())
    }

    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError> {
        let partition = self.shared.partition(partition).ok_or(ReadError::UnknownPartition(partition))?;
        // While the writer cannot reach the disk nobody appends; that must not look like silence.
        if let Some((path, reason)) = self.shared.failing() {
            return Err(ReadError::Storage { path: path.display().to_string(), reason });
        }
        let segments = partition.segments();
        Ok(Offset(segments.start())..Offset(segments.end))
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        let shared = Arc::clone(&self.shared);
        let known = shared.partition(partition).ok_or(ReadError::UnknownPartition(partition))?;
        let (mut next, mut bytes) = (from.0, 0);
        if next == known.end() {
            return Ok(from);
        }
        while let Some(place) = known.place(next) {
            // Taken out, so that a cursor that met an error is forgotten.
            let mut cursor = match self.cursors.remove(&partition) {
                Some(cursor) if cursor.segment == place.segment => cursor,
                other => {
                    let buffer = other.map(|cursor| cursor.scanner.into_buffer()).unwrap_or_default();
                    let mut cursor = Cursor::open(&shared, &place, next, buffer)?;
                    cursor.jump(known, &place, next)?;
                    cursor
                }
            };
            if cursor.next != next {
                cursor.jump(known, &place, next)?;
            }
            if cursor.rest.is_empty() {
                cursor.began = (cursor.next_frame, cursor.scanner.position());
            } else {
                cursor.began = cursor.frame;
            }
            while next < place.offsets.end && (bytes < max_bytes || next == from.0) {
                if cursor.rest.is_empty() {
                    cursor.load(&place)?;
                }
                let append_time = cursor.append_time;
                // One frame at a time without a look at anything else. That of a view may end within one.
                while !cursor.rest.is_empty()
                    && next < place.offsets.end
                    && (bytes < max_bytes || next == from.0)
                {
                    let value = cursor.split()?;
                    let value = &cursor.scanner.bytes()[value];
                    bytes += value.len();
                    visit(RecordRef { offset: Offset(next), append_time, value });
                    next += 1;
                }
                cursor.next = next;
            }
            self.cursors.insert(partition, cursor);
            if bytes >= max_bytes && next > from.0 {
                break;
            }
        }
        // Nothing was shown although the end is elsewhere: the offset is beyond it, or was removed.
        if next == from.0 { Err(out_of_range(known, next)) } else { Ok(Offset(next)) }
    }

    fn on_append(&mut self, wake: Wake) {
        self.registration = Some(self.shared.wakes.register(wake));
    }
}
