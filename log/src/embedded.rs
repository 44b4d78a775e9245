//! The log on the local disk, for one writing process.
//!
//! A data directory holds
//!
//! | path | what |
//! | --- | --- |
//! | `tidegate.lock` | locked by the process that writes; holds its pid |
//! | `format` | the format version and the number of partitions, as JSON |
//! | `events/<partition>/<base offset>.segment` | the events: [`segment`], [`frame`] |
//! | `journal.db` | SQLite: bindings, rows, what sinks acknowledged, progress of imports: [`journal`] |
//!
//! Each carries a version of its own, and a later one is refused by name. `docs/log-format.md` says all
//! of it in one place. This is where the parts are put together, and the only place with a thread.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use self::directory::Lock;
use self::events::{Driver, Events, Step};
use self::files::{Disk, Files};
use self::journal::JournalDb;
use self::partition::Shared;
use self::queue::Queue;
use crate::journal::JournalError;

pub use self::error::OpenError;
pub use self::journal::{
    EmbeddedJournal, EmbeddedRowReader, ImportBegun, ImportError, ImportState, JournalView, Moment, Piece,
    RowPieces,
};
pub use self::options::Options;
pub use self::queue::{EmbeddedAppender, Receipt};
pub use self::reader::EmbeddedReader;
pub use self::retain::{Needed, NeededRows, RetainError, Retained};
pub use self::view::EventsView;
pub use self::watch::{Fill, Group, GroupObserver, LogWatch};
pub use self::writer::Clock;

mod directory;
mod error;
mod events;
pub mod files;
pub mod frame;
pub mod journal;
mod oneshot;
mod options;
mod partition;
mod queue;
mod reader;
mod recover;
mod retain;
pub mod retention;
pub mod segment;
#[cfg(test)]
mod tests;
mod view;
mod wakes;
mod watch;
mod writer;

/// How often a failed write is tried to be taken back while nobody appends.
const REPAIR_EVERY: Duration = Duration::from_millis(500);

/// An open data directory, and the thread that writes its events. Dropping it writes what waits, then
/// releases the directory.
pub struct EmbeddedLog {
    dir: PathBuf,
    options: Options,
    clock: Clock,
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    journal: Arc<JournalDb>,
    writer: Option<JoinHandle<()>>,
    observer: Arc<OnceLock<GroupObserver>>,
    /// Released last, when nothing writes any more.
    _lock: Lock,
}

impl fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedLog").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The system's clock.
#[expect(clippy::disallowed_methods, reason = "this is the edge; `open_with` takes any other clock")]
fn system_clock() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl EmbeddedLog {
    /// Opens `dir` for writing, with the system's clock and files; creates what is missing.
    ///
    /// # Errors
    /// When another process writes it, when it is damaged or newer, or when the storage fails.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_with(dir, options, Arc::new(Disk::default()), Arc::new(system_clock))
    }

    /// Opens `dir` with other files for the events and another clock.
    ///
    /// # Errors
    /// See [`EmbeddedLog::open`].
    pub fn open_with(
        dir: &Path,
        options: Options,
        files: Arc<dyn Files>,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        let storage = |error: std::io::Error| OpenError::storage(dir, &error);
        std::fs::create_dir_all(dir).map_err(storage)?;
        let lock = Lock::take(dir)?;
        let Events { shared, queue, driver } = Events::open(files, Arc::clone(&clock), dir, &options)?;
        let journal = JournalDb::open(dir.join(journal::FILE), None, Arc::clone(&clock))?;
        shared.files.sync_dir(dir).map_err(storage)?;
        journal.settle_imports(&ends(&shared)).map_err(|ImportError { path, reason }| {
            OpenError::Journal(JournalError::Storage { what: path, reason })
        })?;
        let queue_of_thread = Arc::clone(&queue);
        let observer = Arc::new(OnceLock::new());
        let observer_of_thread = Arc::clone(&observer);
        let writer = std::thread::Builder::new()
            .name("tidegate-log".to_owned())
            .spawn(move || write(driver, &queue_of_thread, &observer_of_thread))
            .map_err(storage)?;
        let (dir, writer) = (dir.to_owned(), Some(writer));
        Ok(Self { dir, options, clock, shared, queue, journal, writer, observer, _lock: lock })
    }

    /// The number of partitions that the directory has, if it is one of ours. Nothing is opened.
    ///
    /// # Errors
    /// When its format is damaged or newer, or the storage fails.
    pub fn partitions_of(dir: &Path) -> Result<Option<u32>, OpenError> {
        directory::read_format(&Disk::default(), dir)
    }

    /// The number of partitions of events.
    pub fn partitions(&self) -> u32 {
        self.options.partitions
    }

    /// Appends events. Refused once the log is closed or dropped.
    pub fn appender(&self) -> EmbeddedAppender {
        EmbeddedAppender { queue: Arc::clone(&self.queue) }
    }

    /// Reads events; each worker takes one of its own.
    pub fn reader(&self) -> EmbeddedReader {
        EmbeddedReader::new(Arc::clone(&self.shared))
    }

    /// Writes bindings and rows.
    pub fn journal(&self) -> EmbeddedJournal {
        EmbeddedJournal::new(Arc::clone(&self.journal))
    }

    /// Reads rows; each sink takes one of its own.
    ///
    /// # Errors
    /// When the journal cannot be opened once more.
    pub fn row_reader(&self) -> Result<EmbeddedRowReader, JournalError> {
        EmbeddedRowReader::open(Arc::clone(&self.journal))
    }

    /// Looks at the log while it runs.
    pub fn watch(&self) -> LogWatch {
        LogWatch {
            shared: Arc::clone(&self.shared),
            queue: Arc::clone(&self.queue),
            total_bytes_max: self.options.total_bytes_max,
            observer: Arc::clone(&self.observer),
        }
    }

    /// Begins the import named by `fingerprint`, or goes on with it: from now until
    /// [`EmbeddedLog::import_finish`], or until the log is opened again, every append belongs to it.
    /// `before` is the newest epoch when it begins; that of the first time counts.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn import_begin(&self, fingerprint: &str, before: Epoch) -> Result<ImportBegun, ImportError> {
        self.journal.begin_import(fingerprint, &ends(&self.shared), before)
    }

    /// Marks the import as complete.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn import_finish(&self, fingerprint: &str) -> Result<(), ImportError> {
        self.journal.finish_import(fingerprint, &ends(&self.shared))
    }

    /// What is known of the import.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn import_state(&self, fingerprint: &str) -> Result<ImportState, ImportError> {
        self.journal.import_state(fingerprint)
    }

    /// The fingerprint of the import that began and did not finish, if there is one. Whoever appends
    /// something else before it is finished keeps it from going on.
    ///
    /// # Errors
    /// When the storage fails.
    pub fn unfinished_import(&self) -> Result<Option<String>, ImportError> {
        self.journal.unfinished_import()
    }

    /// Removes what nobody needs any more and what age or size want gone; of rows only so many at once
    /// ([`Retained::more`]).
    ///
    /// # Errors
    /// When the storage fails. What was removed until then stays removed.
    pub fn retain(&self, needed: &Needed) -> Result<Retained, RetainError> {
        retain::retain(&self.shared, &self.journal, &self.options, (self.clock)(), needed)
    }

    /// Writes what waits, and releases the directory. Dropping does the same.
    pub fn close(self) {
        drop(self);
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        // Appenders and the waiting writer learn of it at once; a disk that is to be repaired or probed is
        // not asked again. What is waited for is the write under way and those that were accepted before:
        // the next process must not write while one of ours may, so the directory stays locked until the
        // last sync has returned. On a disk that hangs this takes as long as the disk does. Whoever cannot
        // wait ends the process, which loses nothing that was acknowledged. Nothing else is waited for:
        // a write has the answer of every sync that it began, and what holds the journal is fenced by the
        // next process's generation.
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!(dir = %self.dir.display(), "the thread that writes the log had panicked");
        }
    }
}

/// Where every partition ends.
fn ends(shared: &Shared) -> BTreeMap<PartitionId, Offset> {
    shared.partitions.iter().map(|partition| (partition.id, Offset(partition.end()))).collect()
}

/// What the writing thread does.
fn write(mut driver: Driver, queue: &Queue, observer: &OnceLock<GroupObserver>) {
    loop {
        let began = Instant::now();
        match driver.step() {
            Step::Wrote => {
                if let Some(observer) = observer.get() {
                    observer(driver.last_group(), began.elapsed());
                }
            }
            Step::Idle { needs_repair } => queue.wait(needs_repair.then_some(REPAIR_EVERY)),
            Step::Closed => return,
        }
    }
}
