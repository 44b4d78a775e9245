//! Files in memory that fail on demand, and forget on a crash what was not synced.
//!
//! The model is pessimistic where file systems are free to be so. A failed write has written half. A
//! failed sync has lost what it should have made durable, although reads still show it: a later sync
//! reports success and leaves zeros on the disk unless the bytes were written again. A name is durable
//! only after its directory was synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Files, StoredFile};

/// What a crash does with bytes that were written but not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// They are gone.
    Lose,
    /// They are there all the same.
    Keep,
    /// The length is as written, and of the new bytes every other block of 16 is there.
    Tear,
}

/// Which operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// Only that one, counted from 0.
    Only(u64),
    /// That one and all after it.
    From(u64),
}

/// How bytes of a file stand to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// The same on the disk.
    Clean,
    /// To be written by the next sync.
    Dirty,
    /// Lost by a failed sync; a later one does not write it.
    Lost,
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    marks: Vec<Mark>,
    durable: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    next_id: u64,
    /// Operations so far that change something.
    operations: u64,
    failing: Option<(Fail, io::ErrorKind)>,
    /// Counts crashes; handles of before do not work any more.
    life: u64,
}

/// A file system in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct MemoryFile {
    files: MemoryFiles,
    id: u64,
    life: u64,
}

impl MemoryFiles {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets operations fail from now on, counted from now, with that kind of error.
    pub fn fail(&self, fail: Fail, kind: io::ErrorKind) {
        let mut state = self.lock();
        state.operations = 0;
        state.failing = Some((fail, kind));
    }

    /// Lets everything succeed again.
    pub fn heal(&self) {
        self.lock().failing = None;
    }

    /// How many operations that change something there were since [`MemoryFiles::fail`].
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Ends the life of every handle, and of what was not synced.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        state.life += 1;
        state.failing = None;
        state.names = match crash {
            Crash::Lose => state.durable_names.clone(),
            Crash::Keep | Crash::Tear => state.names.clone(),
        };
        state.durable_names = state.names.clone();
        for content in state.contents.values_mut() {
            let written = content.synced();
            content.live = match crash {
                Crash::Lose => content.durable.clone(),
                Crash::Keep => written,
                Crash::Tear => torn(&content.durable, &written),
            };
            content.durable.clone_from(&content.live);
            content.marks = vec![Mark::Clean; content.live.len()];
        }
    }

    /// The bytes of a file, as reads see them.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        Some(state.contents[state.names.get(path)?].live.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        let marks = vec![Mark::Clean; bytes.len()];
        state.contents.insert(id, Content { live: bytes.clone(), marks, durable: bytes });
        state.names.insert(path.to_owned(), id);
        state.durable_names.insert(path.to_owned(), id);
    }
}

impl Content {
    /// What a sync leaves on the disk.
    fn synced(&self) -> Vec<u8> {
        let byte = |(byte, mark): (&u8, &Mark)| if *mark == Mark::Lost { 0 } else { *byte };
        self.live.iter().zip(&self.marks).map(byte).collect()
    }
}

fn torn(durable: &[u8], written: &[u8]) -> Vec<u8> {
    let byte = |(at, byte): (usize, &u8)| {
        let old = durable.get(at).copied();
        if at / 16 % 2 == 0 { *byte } else { old.unwrap_or(0) }
    };
    written.iter().enumerate().map(byte).collect()
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        let operation = self.operations;
        self.operations += 1;
        let failing = match self.failing {
            Some((Fail::Only(only), kind)) if operation == only => Some(kind),
            Some((Fail::From(from), kind)) if operation >= from => Some(kind),
            _ => None,
        };
        match failing {
            Some(kind) => Err(io::Error::new(kind, format!("operation {operation} was told to fail"))),
            None => Ok(()),
        }
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {}", path.display()))
}

impl Files for MemoryFiles {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.lock().operate()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        let here = state.names.keys().filter(|path| path.parent() == Some(dir));
        let names = here.filter_map(|path| path.file_name());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        let mut state = self.lock();
        state.operate()?;
        let id = if let Some(id) = state.names.get(path).copied() {
            let content = state.contents.entry(id).or_default();
            content.live.clear();
            content.marks.clear();
            id
        } else {
            let id = state.next_id;
            state.next_id += 1;
            state.contents.insert(id, Content::default());
            state.names.insert(path.to_owned(), id);
            id
        };
        Ok(Box::new(MemoryFile { files: self.clone(), id, life: state.life }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        let mut state = self.lock();
        state.operate()?;
        let id = state.names.get(path).copied().ok_or_else(|| not_found(path))?;
        Ok(Box::new(MemoryFile { files: self.clone(), id, life: state.life }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        state.names.remove(path).map(|_| ()).ok_or_else(|| not_found(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let id = state.names.remove(from).ok_or_else(|| not_found(from))?;
        state.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let inside = |path: &PathBuf| path.parent() == Some(dir);
        let live: Vec<_> = state
            .names
            .iter()
            .filter(|(path, _)| inside(path))
            .map(|(path, id)| (path.clone(), *id))
            .collect();
        state.durable_names.retain(|path, _| !inside(path));
        state.durable_names.extend(live);
        Ok(())
    }
}

impl MemoryFile {
    fn with<T>(&self, work: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.files.lock();
        if state.life != self.life {
            return Err(io::Error::other("the process that opened this file has crashed"));
        }
        work(&mut state, self.id)
    }
}

fn index(at: u64) -> io::Result<usize> {
    usize::try_from(at).map_err(io::Error::other)
}

impl StoredFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.with(|state, id| {
            let live = &state.contents.entry(id).or_default().live;
            let bytes = live.get(index(at)?..).unwrap_or_default();
            let read = bytes.len().min(buffer.len());
            buffer[..read].copy_from_slice(&bytes[..read]);
            Ok(read)
        })
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.with(|state, id| {
            let outcome = state.operate();
            let written = if outcome.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
            let content = state.contents.entry(id).or_default();
            let range = index(at)?..index(at)? + written.len();
            if content.live.len() < range.end {
                content.live.resize(range.end, 0);
                content.marks.resize(range.end, Mark::Dirty);
            }
            content.live[range.clone()].copy_from_slice(written);
            content.marks[range].fill(Mark::Dirty);
            outcome
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, id| {
            let outcome = state.operate();
            let content = state.contents.entry(id).or_default();
            let (dirty, after) = match outcome {
                Ok(()) => (Mark::Dirty, Mark::Clean),
                Err(_) => (Mark::Dirty, Mark::Lost),
            };
            if outcome.is_ok() {
                content.durable = content.synced();
            }
            content.marks.iter_mut().filter(|mark| **mark == dirty).for_each(|mark| *mark = after);
            outcome
        })
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(|state, id| {
            state.operate()?;
            let content = state.contents.entry(id).or_default();
            content.live.resize(index(len)?, 0);
            content.marks.resize(index(len)?, Mark::Dirty);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|state, id| Ok(state.contents.entry(id).or_default().live.len() as u64))
    }
}
