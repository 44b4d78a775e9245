//! The local file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::sync_pool::SyncPool;
use super::{Files, StoredFile, Syncing};

/// The local file system.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pool: Arc<SyncPool>,
    is_read_only: bool,
}

#[derive(Debug)]
struct DiskFile {
    file: Arc<File>,
    pool: Arc<SyncPool>,
}

impl Disk {
    /// The local file system for whoever only looks: it opens files for reading, so that the permission to
    /// do so is enough. It is not to be asked for anything else than to list and to open.
    pub(in crate::embedded) fn read_only() -> Self {
        Self { is_read_only: true, ..Self::default() }
    }

    fn boxed(&self, file: File) -> Box<dyn StoredFile> {
        Box::new(DiskFile { file: Arc::new(file), pool: Arc::clone(&self.pool) })
    }
}

impl Files for Disk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(self.boxed(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        Ok(self.boxed(OpenOptions::new().read(true).write(!self.is_read_only).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl StoredFile for DiskFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], at + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        // fdatasync writes the length as well; only times are left behind.
        self.file.sync_data()
    }

    fn begin_sync(&self) -> Syncing {
        Syncing::UnderWay(self.pool.begin(&self.file))
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}
