//! What the writer and the readers of one partition share: its segments, and how far they are durable.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{ops::Range, sync::Arc};

use tidegate_model::PartitionId;

use super::files::Files;
use super::segment::SEGMENT_HEADER_BYTES;
use super::wakes::Wakes;
use crate::event::AppendError;

/// Bytes of a segment that lie at least between two entries of its index.
const INDEX_EVERY_BYTES: u64 = 64 << 10;

/// A segment as readers know it.
#[derive(Clone, Debug)]
pub(super) struct SegmentInfo {
    /// Offset of its first record.
    pub(super) base: u64,
    /// The file.
    pub(super) path: PathBuf,
    /// How many of its bytes are durable.
    pub(super) durable_bytes: u64,
    /// The append time of its first record, if that can be read.
    pub(super) first_append_ms: Option<i64>,
    /// First offset and position of some frames, in order.
    index: Vec<(u64, u64)>,
}

impl SegmentInfo {
    pub(super) fn new(base: u64, path: PathBuf, durable_bytes: u64, first_append_ms: Option<i64>) -> Self {
        Self { base, path, durable_bytes, first_append_ms, index: Vec::new() }
    }

    /// Remembers where a frame begins, unless another one close by is remembered.
    pub(super) fn note(&mut self, offset: u64, position: u64) {
        let at = self.index.partition_point(|(_, known)| *known < position);
        let before = at.checked_sub(1).map_or(SEGMENT_HEADER_BYTES, |before| self.index[before].1);
        let near_next = self.index.get(at).is_some_and(|(_, next)| next - position < INDEX_EVERY_BYTES);
        if position - before >= INDEX_EVERY_BYTES && !near_next {
            self.index.insert(at, (offset, position));
        }
    }

    /// Forgets what lies behind that position.
    pub(super) fn cut(&mut self, durable_bytes: u64) {
        self.durable_bytes = durable_bytes;
        self.index.retain(|(_, position)| *position < durable_bytes);
        if durable_bytes <= SEGMENT_HEADER_BYTES {
            self.first_append_ms = None;
        }
    }

    /// The frame at or before `offset` that is known: its first offset and its position.
    fn nearest(&self, offset: u64) -> (u64, u64) {
        let at = self.index.partition_point(|(base, _)| *base <= offset);
        at.checked_sub(1).map_or((self.base, SEGMENT_HEADER_BYTES), |at| self.index[at])
    }
}

/// Where to look for a record.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The first offset of the segment.
    pub(super) segment: u64,
    /// Its file.
    pub(super) path: PathBuf,
    /// The offsets that can be read in it.
    pub(super) offsets: Range<u64>,
    /// Where its readable bytes end.
    pub(super) limit: u64,
    /// A frame at or before the record: its first offset and its position.
    pub(super) frame: (u64, u64),
}

/// The segments of a partition.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Oldest first; each begins where the one before ends.
    pub(super) list: Vec<SegmentInfo>,
    /// The offset after the last durable record.
    pub(super) end: u64,
}

impl Segments {
    /// The offset of the oldest record.
    pub(super) fn start(&self) -> u64 {
        self.list.first().map_or(self.end, |segment| segment.base)
    }

    /// The offset after the last record of the segment at `index`.
    pub(super) fn end_of(&self, index: usize) -> u64 {
        self.list.get(index + 1).map_or(self.end, |next| next.base)
    }

    fn index_of(&self, offset: u64) -> Option<usize> {
        self.list.partition_point(|segment| segment.base <= offset).checked_sub(1)
    }
}

/// One partition, as its writer and its readers share it.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) id: PartitionId,
    pub(super) dir: PathBuf,
    /// The same as [`Segments::end`], to look at without waiting.
    end: AtomicU64,
    segments: RwLock<Segments>,
}

impl Partition {
    pub(super) fn new(id: PartitionId, dir: PathBuf, segments: Segments) -> Self {
        Self { id, dir, end: AtomicU64::new(segments.end), segments: RwLock::new(segments) }
    }

    /// The offset after the last durable record.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// The segments. Nothing panics while it holds this lock, so a poisoned one guards whole data.
    pub(super) fn segments(&self) -> RwLockReadGuard<'_, Segments> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the segments; readers see the new end afterwards.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Segments) -> T) -> T {
        let mut segments: RwLockWriteGuard<'_, Segments> =
            self.segments.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut segments);
        self.end.store(segments.end, Ordering::Release);
        result
    }

    /// Where the record at `offset` is; `None` when no durable one has that offset.
    pub(super) fn place(&self, offset: u64) -> Option<Place> {
        let segments = self.segments();
        if offset >= segments.end {
            return None;
        }
        let index = segments.index_of(offset)?;
        let segment = &segments.list[index];
        Some(Place {
            segment: segment.base,
            path: segment.path.clone(),
            offsets: segment.base..segments.end_of(index),
            limit: segment.durable_bytes,
            frame: segment.nearest(offset),
        })
    }

    /// Adds what a reader has found to the index of a segment, if it is still there.
    pub(super) fn note(&self, segment: u64, found: &[(u64, u64)]) {
        if found.is_empty() {
            return;
        }
        self.change(|segments| {
            if let Some(info) = segments.list.iter_mut().find(|info| info.base == segment) {
                for (offset, position) in found {
                    info.note(*offset, *position);
                }
            }
        });
    }
}

/// The log of events, as its writer and its readers share it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) files: Arc<dyn Files>,
    pub(super) partitions: Vec<Partition>,
    pub(super) wakes: Arc<Wakes>,
    /// The bytes of all segments.
    pub(super) used_bytes: AtomicU64,
    /// What keeps the writer from knowing what is on the disk, if anything: path and reason.
    failing: Mutex<Option<(PathBuf, String)>>,
    /// Why the writer refused the last append, until it would not do so any more.
    refusing: Mutex<Option<AppendError>>,
}

impl Shared {
    pub(super) fn new(files: Arc<dyn Files>, partitions: Vec<Partition>) -> Self {
        let used: u64 = partitions
            .iter()
            .map(|partition| {
                partition.segments().list.iter().map(|segment| segment.durable_bytes).sum::<u64>()
            })
            .sum();
        Self {
            files,
            partitions,
            wakes: Arc::default(),
            used_bytes: AtomicU64::new(used),
            failing: Mutex::default(),
            refusing: Mutex::default(),
        }
    }

    pub(super) fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(usize::try_from(id.0).ok()?)
    }

    pub(super) fn refusing(&self) -> Option<AppendError> {
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_refusing(&self, refusing: Option<AppendError>) {
        *self.refusing.lock().unwrap_or_else(PoisonError::into_inner) = refusing;
    }

    pub(super) fn failing(&self) -> Option<(PathBuf, String)> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_failing(&self, failing: Option<(&Path, &str)>) {
        let failing = failing.map(|(path, reason)| (path.to_owned(), reason.to_owned()));
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = failing;
    }
}
