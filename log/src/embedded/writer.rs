//! Writing appends: group commit, step by step.
//!
//! [`SegmentWriter::step`] takes some appends, writes them, syncs each file touched once, publishes the
//! new ends and answers. It is a state machine without a thread or a clock of its own, so that a
//! simulator can run it.
//!
//! What it keeps: readers see only what is synced; an append is acknowledged only then; an append that
//! was refused with a definite error is not in the log and never will be. To that end a write that
//! failed is taken back, in every file that it touched, by cutting the file (opened anew, because after
//! a failed sync nothing in memory about it can be trusted) to its durable length, and syncing that.
//! While this fails, nobody knows what a crash would leave: the appends are answered as indefinite, and
//! nothing more is written until it has succeeded.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_model::{EventTime, Offset};

use super::files::{StoredFile, is_disk_full};
use super::frame::{FRAME_BODY_BYTES, FrameBuilder, HEADER_BYTES};
use super::oneshot::Sender;
use super::options::{Options, TOTAL_BYTES_MAX};
use super::partition::{Partition, SegmentInfo, Shared};
use super::segment::{HEADER_LEN, SEGMENT_HEADER_BYTES, encode_header, segment_name};
use crate::event::{AppendError, Appended, NewEvent};

/// A clock. It may jump; append times do not follow it back.
pub type Clock = Arc<dyn Fn() -> EventTime + Send + Sync>;

/// The name of the file that probes are written to, in the data directory.
const PROBE: &str = "probe";

/// A probe is as large as a few appends, so that it does not fit where they would not.
const PROBE_BYTES: usize = 64 << 10;

/// The answer to an append.
pub(super) type Answer = Result<Vec<Appended>, AppendError>;

/// An append that waits. All its partitions exist.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) events: Vec<NewEvent>,
    /// Bytes of the values.
    pub(super) bytes: usize,
    pub(super) answer: Sender<Answer>,
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) file: Box<dyn StoredFile>,
    pub(super) path: PathBuf,
    pub(super) base: u64,
}

/// What only the writer knows of a partition.
#[derive(Debug)]
pub(super) struct PartitionWriter {
    /// `None` when the next write begins a new segment.
    active: Option<Active>,
    /// The durable length of the active file.
    durable_bytes: u64,
    /// The offset after the last durable record.
    end: u64,
    last_append_ms: i64,
    staged: FrameBuilder,
    staged_end: u64,
    /// The append time of what is staged.
    staged_ms: i64,
    /// Something may lie behind the durable length.
    suspect: bool,
}

impl PartitionWriter {
    pub(super) fn new(active: Option<(Active, u64)>, end: u64, last_append_ms: i64) -> Self {
        let (active, durable_bytes) = active.unzip();
        Self {
            active,
            durable_bytes: durable_bytes.unwrap_or(0),
            end,
            last_append_ms,
            staged: FrameBuilder::default(),
            staged_end: end,
            staged_ms: last_append_ms,
            suspect: false,
        }
    }

    fn unstage(&mut self) {
        self.staged.clear();
        self.staged_end = self.end;
    }
}

/// What the storage refused.
#[derive(Debug)]
struct Failure {
    path: PathBuf,
    error: io::Error,
}

impl Failure {
    fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self { path, error }
    }

    /// The answer to an append that is surely not in the log.
    fn definite(&self) -> AppendError {
        let path = self.path.display().to_string();
        if is_disk_full(&self.error) {
            AppendError::DiskFull { path }
        } else {
            AppendError::Storage { path, reason: self.error.to_string() }
        }
    }

    /// The answer to an append that may be in the log, because taking it back failed too.
    fn indefinite(&self, undo: &Self) -> AppendError {
        let reason = format!("{}; taking it back failed as well: {}", self.error, undo.error);
        AppendError::Indefinite { path: self.path.display().to_string(), reason }
    }
}

/// The writer of all partitions.
pub(super) struct SegmentWriter {
    shared: Arc<Shared>,
    /// The file that probes are written to.
    probe: PathBuf,
    partitions: Vec<PartitionWriter>,
    clock: Clock,
    segment_bytes_max: u64,
    total_bytes_max: u64,
}

impl SegmentWriter {
    pub(super) fn new(
        shared: Arc<Shared>,
        dir: &Path,
        partitions: Vec<PartitionWriter>,
        clock: Clock,
        options: &Options,
    ) -> Self {
        Self {
            shared,
            probe: dir.join(PROBE),
            partitions,
            clock,
            segment_bytes_max: options.segment_bytes_max,
            total_bytes_max: options.total_bytes_max,
        }
    }

    /// Whether a failed write has yet to be taken back, or the storage to be asked whether it has healed;
    /// [`SegmentWriter::repair`] and [`SegmentWriter::probe`] try again.
    pub(super) fn needs_repair(&self) -> bool {
        self.partitions.iter().any(|partition| partition.suspect) || self.shared.refusing().is_some()
    }

    /// Finds out whether what refused the last append has healed, although nobody appends: whoever is told
    /// that the log refuses stops sending, and would never see it heal.
    pub(super) fn probe(&mut self) {
        let Some(refusing) = self.shared.refusing() else { return };
        let heals = match refusing {
            AppendError::LogFull { .. } => {
                let used_bytes = self.shared.used_bytes.load(Ordering::Acquire);
                used_bytes + PROBE_BYTES as u64 <= self.total_bytes_max
            }
            _ => !self.partitions.iter().any(|partition| partition.suspect) && self.try_probe().is_ok(),
        };
        if heals {
            self.shared.set_refusing(None);
        }
    }

    /// Writes something, and takes it away again.
    fn try_probe(&self) -> io::Result<()> {
        let probed = || {
            let file = self.shared.files.create(&self.probe)?;
            file.write_at(&vec![0x5a; PROBE_BYTES], 0)?;
            file.sync()
        };
        let probed = probed();
        probed.and(self.shared.files.remove(&self.probe))
    }

    /// Takes back what failed writes may have left, if anything.
    pub(super) fn repair(&mut self) {
        if let Err(failure) = self.try_repair() {
            tracing::debug!(path = %failure.path.display(), error = %failure.error, "still failing");
        }
    }

    /// Writes some appends and answers each.
    pub(super) fn step(&mut self, group: Vec<Pending>) {
        if let Err(failure) = self.try_repair() {
            self.shared.set_refusing(Some(failure.definite()));
            for pending in group {
                pending.answer.send(Err(failure.definite()));
            }
            return;
        }
        let now_ms = (self.clock)().as_millis();
        let mut touched = BTreeSet::new();
        let appends = group.len();
        let mut staged = Vec::with_capacity(appends);
        for pending in group {
            match self.room_for(&pending, &touched) {
                Ok(()) => {
                    let positions = self.stage(&pending.events, now_ms, &mut touched);
                    staged.push((positions, pending.answer));
                }
                Err(error) => {
                    self.shared.set_refusing(Some(error.clone()));
                    pending.answer.send(Err(error));
                }
            }
        }
        match self.write(&touched) {
            Ok(()) => {
                self.publish(&touched);
                if !staged.is_empty() && staged.len() == appends {
                    self.shared.set_refusing(None);
                }
                for (positions, answer) in staged {
                    answer.send(Ok(positions));
                }
                if !touched.is_empty() {
                    self.shared.wakes.wake();
                }
            }
            Err(failure) => {
                let error = self.take_back(&touched, &failure);
                tracing::warn!(%error, appends = staged.len(), "appends failed");
                self.shared.set_refusing(Some(error.clone()));
                for (_, answer) in staged {
                    answer.send(Err(error.clone()));
                }
            }
        }
    }

    /// Refuses an append that would make the log larger than it may be.
    fn room_for(&self, pending: &Pending, touched: &BTreeSet<usize>) -> Result<(), AppendError> {
        let staged: usize = touched.iter().map(|index| self.partitions[*index].staged.len()).sum();
        let used_bytes = self.shared.used_bytes.load(Ordering::Acquire);
        // An upper bound: every partition may begin a frame and a segment.
        let headers = self.partitions.len() * (HEADER_BYTES + HEADER_LEN)
            + pending.bytes / FRAME_BODY_BYTES * HEADER_BYTES;
        let wanted = (staged + pending.bytes + headers + 4 * pending.events.len()) as u64;
        if used_bytes.saturating_add(wanted) <= self.total_bytes_max {
            return Ok(());
        }
        Err(AppendError::LogFull { used_bytes, limit_bytes: self.total_bytes_max, setting: TOTAL_BYTES_MAX })
    }

    fn stage(&mut self, events: &[NewEvent], now_ms: i64, touched: &mut BTreeSet<usize>) -> Vec<Appended> {
        let mut positions = Vec::with_capacity(events.len());
        for event in events {
            let index = usize::try_from(event.partition.0).expect("the queue checked that it exists");
            let partition = &mut self.partitions[index];
            if touched.insert(index) {
                partition.staged_ms = now_ms.max(partition.last_append_ms);
            }
            partition.staged.push(partition.staged_end, &event.value);
            positions.push(Appended { partition: event.partition, offset: Offset(partition.staged_end) });
            partition.staged_end += 1;
        }
        positions
    }

    /// Writes what is staged, then syncs each file once.
    fn write(&mut self, touched: &BTreeSet<usize>) -> Result<(), Failure> {
        for index in touched {
            let shared = &self.shared.partitions[*index];
            let partition = &mut self.partitions[*index];
            let bytes = partition.durable_bytes + partition.staged.len() as u64;
            if bytes > self.segment_bytes_max && partition.durable_bytes > SEGMENT_HEADER_BYTES {
                // From here on the full segment is closed, whatever becomes of the next one: it gets
                // the same name however often it has to be created.
                partition.active = None;
            }
            if partition.active.is_none() {
                partition.active = Some(create(&self.shared, shared, partition.end)?);
                partition.durable_bytes = SEGMENT_HEADER_BYTES;
            }
            let active = partition.active.as_mut().expect("it was created if there was none");
            partition.suspect = true;
            let frames = partition.staged.seal(partition.staged_ms, partition.durable_bytes);
            active.file.write_at(frames, partition.durable_bytes).map_err(Failure::at(&active.path))?;
        }
        self.sync(touched)
    }

    /// Syncs each file once, all of them on their way together. Every answer is waited for: what fails is
    /// taken back, and by then no sync may be under way any more.
    fn sync(&self, touched: &BTreeSet<usize>) -> Result<(), Failure> {
        let active = |index: &usize| self.partitions[*index].active.as_ref();
        let mut files: Vec<&Active> = touched.iter().filter_map(active).collect();
        let Some(last) = files.pop() else { return Ok(()) };
        let begun: Vec<_> = files.into_iter().map(|file| (file, file.file.begin_sync())).collect();
        // This thread has nothing better to do than to sync one file itself.
        let mut outcome = last.file.sync().map_err(Failure::at(&last.path));
        for (file, syncing) in begun {
            outcome = outcome.and(syncing.wait().map_err(Failure::at(&file.path)));
        }
        outcome
    }

    /// Shows readers what was synced.
    fn publish(&mut self, touched: &BTreeSet<usize>) {
        for index in touched {
            let partition = &mut self.partitions[*index];
            let Some(active) = &partition.active else { continue };
            let before = partition.durable_bytes;
            let durable_bytes = before + partition.staged.len() as u64;
            let mut added = partition.staged.len() as u64;
            self.shared.partitions[*index].change(|segments| {
                if segments.list.last().is_none_or(|last| last.base != active.base) {
                    let first_append_ms = Some(partition.staged_ms);
                    added += before;
                    segments.list.push(SegmentInfo::new(
                        active.base,
                        active.path.clone(),
                        before,
                        first_append_ms,
                    ));
                }
                let info = segments.list.last_mut().expect("it was just pushed if there was none");
                for (base, start) in partition.staged.starts() {
                    info.note(*base, before + start);
                }
                info.durable_bytes = durable_bytes;
                info.first_append_ms.get_or_insert(partition.staged_ms);
                segments.end = partition.staged_end;
            });
            self.shared.used_bytes.fetch_add(added, Ordering::AcqRel);
            partition.durable_bytes = durable_bytes;
            partition.end = partition.staged_end;
            partition.last_append_ms = partition.staged_ms;
            partition.suspect = false;
            partition.unstage();
        }
    }

    /// Takes a failed write back, and says what to answer.
    fn take_back(&mut self, touched: &BTreeSet<usize>, failure: &Failure) -> AppendError {
        for index in touched {
            self.partitions[*index].unstage();
        }
        match self.try_repair() {
            Ok(()) => failure.definite(),
            Err(undo) => failure.indefinite(&undo),
        }
    }

    /// Cuts every suspect file to its durable length.
    fn try_repair(&mut self) -> Result<(), Failure> {
        for partition in self.partitions.iter_mut().filter(|partition| partition.suspect) {
            if let Some(active) = &mut partition.active {
                let cut = || {
                    let file = self.shared.files.open(&active.path)?;
                    file.truncate(partition.durable_bytes)?;
                    file.sync()?;
                    Ok(file)
                };
                match cut() {
                    Ok(file) => active.file = file,
                    Err(error) => {
                        let failure = Failure::at(&active.path)(error);
                        self.shared.set_failing(Some((&failure.path, &failure.error.to_string())));
                        return Err(failure);
                    }
                }
            }
            partition.suspect = false;
        }
        self.shared.set_failing(None);
        Ok(())
    }
}

/// Creates the segment that begins at `base`. Its header and its name are durable before it is used.
fn create(shared: &Shared, partition: &Partition, base: u64) -> Result<Active, Failure> {
    let path = partition.dir.join(segment_name(base));
    let file = shared.files.create(&path).map_err(Failure::at(&path))?;
    file.write_at(&encode_header(partition.id, base), 0).map_err(Failure::at(&path))?;
    file.sync().map_err(Failure::at(&path))?;
    shared.files.sync_dir(&partition.dir).map_err(Failure::at(&partition.dir))?;
    Ok(Active { file, path, base })
}
