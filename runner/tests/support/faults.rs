//! A log and a journal that fail for as long as a test wants.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tidegate_log::event::Wake;
use tidegate_log::journal::JournalError;
use tidegate_log::{Commit, CommitError, EventReader, Journal, ReadError, RecordRef, Recovered};
use tidegate_model::{Binding, Epoch, Offset, PartitionId};

/// What fails now.
#[derive(Clone, Default)]
pub struct Faults {
    /// The answer to commits.
    pub commits: Arc<Mutex<Option<CommitError>>>,
    /// Records cannot be read.
    pub reads: Arc<AtomicBool>,
    /// Nobody can look at a partition's end.
    pub looks: Arc<AtomicBool>,
}

impl Faults {
    /// From now on commits are answered so.
    pub fn fail_commits(&self, error: Option<CommitError>) {
        *self.commits.lock().expect("no panic") = error;
    }
}

pub fn disk_full() -> CommitError {
    CommitError::DiskFull { path: "journal.db".to_owned() }
}

pub struct FaultyJournal<J> {
    journal: J,
    faults: Faults,
}

impl<J> FaultyJournal<J> {
    pub fn new(journal: J, faults: &Faults) -> Self {
        Self { journal, faults: faults.clone() }
    }
}

impl<J: Journal> Journal for FaultyJournal<J> {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        self.journal.recover()
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        self.journal.read_bindings(after, visit)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        match &*self.faults.commits.lock().expect("no panic") {
            Some(error) => Err(error.clone()),
            None => self.journal.commit(commit),
        }
    }

    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        self.journal.prune(before)
    }
}

pub struct FaultyReader<R> {
    reader: R,
    faults: Faults,
}

impl<R> FaultyReader<R> {
    pub fn new(reader: R, faults: &Faults) -> Self {
        Self { reader, faults: faults.clone() }
    }
}

fn failing(fault: &AtomicBool) -> Result<(), ReadError> {
    if fault.load(Ordering::SeqCst) {
        let (path, reason) = ("a segment".to_owned(), "it is away for a while".to_owned());
        return Err(ReadError::Storage { path, reason });
    }
    Ok(())
}

impl<R: EventReader> EventReader for FaultyReader<R> {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        self.reader.partitions()
    }

    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError> {
        failing(&self.faults.looks)?;
        self.reader.bounds(partition)
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        failing(&self.faults.reads)?;
        self.reader.read(partition, from, max_bytes, visit)
    }

    fn on_append(&mut self, wake: Wake) {
        self.reader.on_append(wake);
    }
}
