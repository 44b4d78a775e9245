//! The file operations that the segments need, as a trait.
//!
//! [`Disk`] carries them out on the local file system. The tests use `memory::MemoryFiles`, which
//! fails the n-th operation and forgets on a crash whatever was not synced. Whoever writes through this
//! trait must sync a file for its bytes to be durable, and its directory for its name to be.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::mpsc;

pub use disk::Disk;

mod disk;
#[cfg(any(test, feature = "conformance"))]
pub mod memory;
mod sync_pool;

/// A file system.
pub trait Files: fmt::Debug + Send + Sync + 'static {
    /// Creates a directory and those above it; it may exist already.
    ///
    /// # Errors
    /// Those of the file system, as for every operation here.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, in no order.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file, emptying one that exists.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn open(&self, path: &Path) -> io::Result<Box<dyn StoredFile>>;

    /// Removes a file.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// See [`Files::create_dir`].
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait StoredFile: fmt::Debug + Send {
    /// Reads at a position; fewer bytes than asked for only at the end of the file.
    ///
    /// # Errors
    /// Those of the file system, as for every operation here.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at a position.
    ///
    /// # Errors
    /// See [`StoredFile::read_at`]; any part may have been written then.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Makes the content and the length durable.
    ///
    /// # Errors
    /// See [`StoredFile::read_at`]. Nothing is known then of what was written since the last sync.
    fn sync(&self) -> io::Result<()>;

    /// Begins what [`StoredFile::sync`] does, so that several files can be on their way at once. Nothing
    /// is durable before the answer is there.
    fn begin_sync(&self) -> Syncing {
        Syncing::Done(self.sync())
    }

    /// Cuts the file, or fills it up with zeros.
    ///
    /// # Errors
    /// See [`StoredFile::read_at`].
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// See [`StoredFile::read_at`].
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is 0.
    ///
    /// # Errors
    /// See [`StoredFile::read_at`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The promise of an answer to a sync.
#[derive(Debug)]
#[must_use = "a file is durable only when the answer says so"]
pub enum Syncing {
    /// The answer is there.
    Done(io::Result<()>),
    /// It comes through here.
    UnderWay(mpsc::Receiver<io::Result<()>>),
}

impl Syncing {
    /// Waits for the answer.
    ///
    /// # Errors
    /// See [`StoredFile::sync`].
    pub fn wait(self) -> io::Result<()> {
        match self {
            Self::Done(answer) => answer,
            Self::UnderWay(answer) => {
                answer.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that syncs has panicked")))
            }
        }
    }
}

/// Whether the error says that there is no room, which heals by itself.
pub(super) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
