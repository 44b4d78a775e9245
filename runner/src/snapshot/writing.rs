//! The part of a run that writes snapshots: it takes what the workers copied, encodes and stores it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::snapshot::{Captured, encode};
use tidegate_model::binding::{Manifest, Origin, SnapshotObject};
use tidegate_model::{Epoch, Generation};

use super::names::{generation_of, name};
use super::{SnapshotStore, StoreError};
use crate::run::Control;

/// How long it rests when nobody sends anything.
const REST: Duration = Duration::from_millis(250);

/// What the workers send of a snapshot.
#[derive(Debug)]
pub(crate) enum Part {
    /// What a worker held.
    Worker(Box<Captured>),
    /// What was known of time; worker 0 sends it.
    Time(Epoch, TimeState),
}

/// Writes what the workers copy, one step at a time.
pub struct Snapshotting {
    parts: Receiver<Part>,
    /// Whether the workers may send more.
    more: bool,
    store: Arc<dyn SnapshotStore>,
    generation: Generation,
    origin: Origin,
    workers: usize,
    control: Arc<Control>,
    /// What is not whole yet.
    begun: BTreeMap<Epoch, Begun>,
    writing: Option<Writing>,
    /// What the journal named at the start, until what it did not name is removed.
    named: Option<BTreeSet<String>>,
}

#[derive(Default)]
struct Begun {
    captured: VecDeque<Captured>,
    time: Option<TimeState>,
}

struct Writing {
    since: Instant,
    manifest: Manifest,
    left: VecDeque<Captured>,
}

/// What a step of [`Snapshotting`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshotted {
    /// It did something.
    Some,
    /// There was nothing to do.
    Nothing,
    /// The workers are gone and everything is written, or the run is aborted.
    Over,
}

impl Snapshotting {
    pub(crate) fn new(
        parts: Receiver<Part>,
        store: Arc<dyn SnapshotStore>,
        (generation, origin): (Generation, Origin),
        named: BTreeSet<String>,
        workers: usize,
        control: Arc<Control>,
    ) -> Self {
        Self {
            parts,
            more: true,
            store,
            generation,
            origin,
            workers,
            control,
            begun: BTreeMap::new(),
            writing: None,
            named: Some(named),
        }
    }

    /// Writes until it is over.
    pub(crate) fn run(mut self) {
        loop {
            match self.step() {
                Snapshotted::Some => {}
                Snapshotted::Nothing => match self.parts.recv_timeout(REST) {
                    Ok(part) => self.take(part),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => self.more = false,
                },
                Snapshotted::Over => return,
            }
        }
    }

    /// Writes one object, if there is one to be written. It waits for the store only.
    pub fn step(&mut self) -> Snapshotted {
        if self.control.abort.load(Ordering::Acquire) {
            return Snapshotted::Over;
        }
        while self.more {
            match self.parts.try_recv() {
                Ok(part) => self.take(part),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.more = false,
            }
        }
        if let Some(writing) = self.writing.take().or_else(|| self.begin()) {
            self.write(writing);
        } else if let Some(named) = self.named.take() {
            self.remove_what_is_not_named(&named);
        } else if let Some(name) = self.control.snapshots.take_surplus() {
            self.remove(&name);
        } else {
            return if self.more { Snapshotted::Nothing } else { Snapshotted::Over };
        }
        Snapshotted::Some
    }

    /// Removes what processes before this one wrote and did not commit: they were fenced, and cannot any more.
    fn remove_what_is_not_named(&self, named: &BTreeSet<String>) {
        let listed = match self.store.list() {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(%error, "what nobody needs is left there; the next start tries again");
                return;
            }
        };
        let is_older = |name: &String| generation_of(name).is_some_and(|it| it < self.generation);
        let unnamed = listed.into_iter().filter(|name| is_older(name) && !named.contains(name));
        self.control.snapshots.give_surplus(unnamed.collect());
    }

    fn remove(&self, name: &str) {
        if let Err(error) = self.store.remove(name) {
            tracing::warn!(%error, "left for the next start to remove");
        }
    }

    fn take(&mut self, part: Part) {
        match part {
            Part::Worker(captured) => {
                self.begun.entry(captured.epoch).or_default().captured.push_back(*captured);
            }
            Part::Time(epoch, time) => self.begun.entry(epoch).or_default().time = Some(time),
        }
    }

    /// The oldest that is whole.
    fn begin(&mut self) -> Option<Writing> {
        let is_whole = |begun: &Begun| begun.time.is_some() && begun.captured.len() == self.workers;
        let epoch = *self.begun.iter().find(|(_, begun)| is_whole(begun))?.0;
        let Begun { captured, time } = self.begun.remove(&epoch)?;
        let time = time?;
        let manifest = Manifest {
            epoch,
            now: time.now,
            close_to: time.frontier,
            partitions: time.partitions,
            origin: self.origin,
            objects: Vec::with_capacity(captured.len()),
        };
        Some(Writing { since: Instant::now(), manifest, left: captured })
    }

    fn write(&mut self, mut writing: Writing) {
        let Some(captured) = writing.left.pop_front() else { return self.written(writing) };
        let name = name(self.generation, writing.manifest.epoch, captured.worker);
        let bytes = encode(captured);
        let object = SnapshotObject { name, bytes: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
        let put = self.store.put(&object.name, bytes);
        // Of one that failed something may be there, too.
        writing.manifest.objects.push(object);
        match put {
            Ok(()) if writing.left.is_empty() => self.written(writing),
            Ok(()) => self.writing = Some(writing),
            Err(error) => self.give_up(&writing, &error),
        }
    }

    fn written(&self, writing: Writing) {
        let Writing { since, manifest, .. } = writing;
        let bytes = manifest.objects.iter().map(|object| object.bytes).sum::<u64>();
        let took = since.elapsed();
        let epoch = manifest.epoch;
        tracing::debug!(%epoch, bytes, took_ms = took.as_millis(), "a snapshot is written");
        self.control.status.update(|progress| progress.snapshots.written(bytes, took));
        self.control.snapshots.settle(epoch, Some(manifest));
    }

    /// The run goes on without this one, and tries the next at its time.
    fn give_up(&self, writing: &Writing, error: &StoreError) {
        let epoch = writing.manifest.epoch;
        tracing::warn!(%epoch, %error, "no snapshot could be written; the next one is tried at its time");
        self.control.status.error(&error.to_string());
        self.control.status.update(|progress| progress.snapshots.failed += 1);
        let names = writing.manifest.objects.iter().map(|object| object.name.clone());
        self.control.snapshots.give_surplus(names.collect());
        self.control.snapshots.settle(epoch, None);
    }
}
