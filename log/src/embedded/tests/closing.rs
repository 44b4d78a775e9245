//! The end of a log whose disk does not answer.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_model::{EventTime, Offset, PartitionId};

use super::{open, options};
use crate::conformance::{event, read_from};
use crate::embedded::files::{Disk, Files, StoredFile};
use crate::embedded::{EmbeddedLog, OpenError};
use crate::event::AppendError;

/// Whether the disk is stuck, and how many syncs wait for it.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<(bool, usize)>,
    moved: Condvar,
}

impl Gate {
    fn set(&self, stuck: bool) {
        self.state.lock().expect("no panic").0 = stuck;
        self.moved.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("no panic");
        state.1 += 1;
        self.moved.notify_all();
        let mut state = self.moved.wait_while(state, |(stuck, _)| *stuck).expect("no panic");
        state.1 -= 1;
    }

    fn until_a_sync_waits(&self) {
        let state = self.state.lock().expect("no panic");
        let limit = Duration::from_secs(30);
        let waited = self.moved.wait_timeout_while(state, limit, |(_, waiting)| *waiting == 0);
        assert!(!waited.expect("no panic").1.timed_out(), "nothing is synced");
    }
}

/// A disk whose syncs do not return while it is stuck.
#[derive(Debug)]
struct Stuck<T>(T, Arc<Gate>);

impl Stuck<Disk> {
    fn file(&self, file: io::Result<Box<dyn StoredFile>>) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(Stuck(file?, Arc::clone(&self.1))))
    }
}

impl Files for Stuck<Disk> {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        self.file(self.0.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        self.file(self.0.open(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
}

impl StoredFile for Stuck<Box<dyn StoredFile>> {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.0.write_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.truncate(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

#[test]
fn the_directory_is_released_only_when_a_stuck_sync_has_returned() {
    let dir = TempDir::new().expect("a temporary directory");
    let gate = Arc::new(Gate::default());
    let files = Arc::new(Stuck(Disk::default(), Arc::clone(&gate)));
    let clock = Arc::new(|| EventTime::from_millis(7));
    let log = EmbeddedLog::open_with(dir.path(), options(1), files, clock).expect("it opens");
    let appender = log.appender();
    let mut accepted = Vec::new();
    let locked = |when: &str| {
        let opened = EmbeddedLog::open(dir.path(), options(1));
        assert!(matches!(opened, Err(OpenError::Locked { .. })), "{when}: {opened:?}");
    };

    gate.set(true);
    accepted.push(appender.submit(vec![event(0, "a")]).expect("there is room"));
    gate.until_a_sync_waits();
    let closing = std::thread::spawn(move || log.close());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "it should be closed by now");
        match appender.submit(vec![event(0, "a")]) {
            Ok(receipt) => accepted.push(receipt),
            Err(AppendError::Closed) => break,
            Err(AppendError::QueueFull { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        std::thread::yield_now();
    }
    for _ in 0..20 {
        locked("it is closed, but a sync is under way");
        std::thread::yield_now();
    }

    gate.set(false);
    closing.join().expect("no panic");
    let all = accepted.len();
    for receipt in accepted {
        receipt.wait().expect("what was accepted is written");
    }
    let log = open(dir.path(), 1);
    assert_eq!(read_from(&mut log.reader(), PartitionId(0), Offset(0), 1 << 20).len(), all);
}
