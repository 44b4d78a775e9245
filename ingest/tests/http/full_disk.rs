//! A disk that is full when the test says so: nothing can be written, but files can be cut and read.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate_log::embedded::files::{Disk, Files, StoredFile};

/// The real disk, with a switch.
#[derive(Clone, Debug)]
pub(crate) struct FullDisk {
    disk: Arc<Disk>,
    full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct File {
    file: Box<dyn StoredFile>,
    full: Arc<AtomicBool>,
}

impl FullDisk {
    /// A disk with room.
    pub(crate) fn with_room() -> Self {
        Self { disk: Arc::new(Disk), full: Arc::default() }
    }

    /// Fills it, or makes room.
    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn file(&self, file: Box<dyn StoredFile>) -> Box<dyn StoredFile> {
        Box::new(File { file, full: Arc::clone(&self.full) })
    }
}

impl Files for FullDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        Ok(self.file(self.disk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        Ok(self.file(self.disk.open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
}

impl StoredFile for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
