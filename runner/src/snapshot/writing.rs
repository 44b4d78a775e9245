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

use super::SnapshotStore;
use super::names::{generation_of, name};
use crate::cluster::{Links, Message};
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
    /// What another process wrote.
    Other {
        /// The epoch.
        epoch: Epoch,
        /// The objects of its workers.
        objects: Vec<SnapshotObject>,
        /// Why there are not all of them.
        failed: Option<String>,
    },
}

/// Who sends parts, and on whose behalf they are written.
#[derive(Debug)]
pub(crate) struct PartsOf {
    /// What comes in.
    pub(crate) received: Receiver<Part>,
    /// The workers of this process.
    pub(crate) workers: usize,
    /// The incarnation of the run.
    pub(crate) generation: Generation,
}

/// Who is told of what is written.
pub(crate) enum Tells {
    /// The committer of this process, once so many other processes have written theirs as well.
    Committer {
        /// How the deployment began.
        origin: Origin,
        /// The other processes.
        others: usize,
    },
    /// Process 0.
    First(Arc<Links>),
}

/// Writes what the workers copy, one step at a time.
pub struct Snapshotting {
    parts: Receiver<Part>,
    /// Whether the workers may send more.
    more: bool,
    store: Arc<dyn SnapshotStore>,
    generation: Generation,
    workers: usize,
    tells: Tells,
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
    /// What other processes wrote, how many said so, and why one of them could not.
    objects: Vec<SnapshotObject>,
    others: usize,
    failed: Option<String>,
}

struct Writing {
    since: Instant,
    epoch: Epoch,
    /// What worker 0 knew.
    time: Option<TimeState>,
    objects: Vec<SnapshotObject>,
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
        parts: PartsOf,
        store: Arc<dyn SnapshotStore>,
        tells: Tells,
        named: Option<BTreeSet<String>>,
        control: Arc<Control>,
    ) -> Self {
        let PartsOf { received, workers, generation } = parts;
        Self {
            parts: received,
            more: true,
            store,
            generation,
            workers,
            tells,
            control,
            begun: BTreeMap::new(),
            writing: None,
            named,
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
            Part::Other { epoch, mut objects, failed } => {
                let begun = self.begun.entry(epoch).or_default();
                begun.objects.append(&mut objects);
                begun.others += 1;
                begun.failed = begun.failed.take().or(failed);
            }
        }
    }

    /// The oldest that is whole.
    fn begin(&mut self) -> Option<Writing> {
        let is_whole = |begun: &Begun| {
            begun.captured.len() == self.workers
                && match self.tells {
                    Tells::Committer { others, .. } => begun.time.is_some() && begun.others == others,
                    Tells::First(_) => true,
                }
        };
        let epoch = *self.begun.iter().find(|(_, begun)| is_whole(begun))?.0;
        let Begun { captured, time, objects, failed, .. } = self.begun.remove(&epoch)?;
        let writing = Writing { since: Instant::now(), epoch, time, objects, left: captured };
        match failed {
            None => Some(writing),
            Some(failed) => {
                self.give_up(writing, failed);
                None
            }
        }
    }

    fn write(&mut self, mut writing: Writing) {
        let Some(captured) = writing.left.pop_front() else { return self.written(writing) };
        let name = name(self.generation, writing.epoch, captured.worker);
        let bytes = encode(captured);
        let object = SnapshotObject { name, bytes: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
        let put = self.store.put(&object.name, bytes);
        // Of one that failed something may be there, too.
        writing.objects.push(object);
        match put {
            Ok(()) if writing.left.is_empty() => self.written(writing),
            Ok(()) => self.writing = Some(writing),
            Err(error) => self.give_up(writing, error.to_string()),
        }
    }

    fn written(&self, writing: Writing) {
        let Writing { since, epoch, time, mut objects, .. } = writing;
        // Whoever wrote them: the bytes of a binding do not depend on who was first.
        objects.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let bytes = objects.iter().map(|object| object.bytes).sum::<u64>();
        let took = since.elapsed();
        tracing::debug!(%epoch, bytes, took_ms = took.as_millis(), "a snapshot is written");
        self.control.status.update(|progress| progress.snapshots.written(bytes, took));
        match (&self.tells, time) {
            (Tells::Committer { origin, .. }, Some(time)) => {
                let TimeState { now, frontier: close_to, partitions } = time;
                let manifest = Manifest { epoch, now, close_to, partitions, origin: *origin, objects };
                self.control.snapshots.settle(epoch, Some(manifest));
            }
            (Tells::Committer { .. }, None) => unreachable!("it is begun when time is known"),
            (Tells::First(links), _) => {
                links.tell_all(&Message::Snapshot { epoch, objects, failed: None });
            }
        }
    }

    /// The run goes on without this one, and tries the next at its time.
    fn give_up(&self, writing: Writing, failed: String) {
        let Writing { epoch, objects, .. } = writing;
        tracing::warn!(%epoch, error = %failed, "no snapshot could be written; the next one is tried at its time");
        self.control.status.error(&failed);
        self.control.status.update(|progress| progress.snapshots.failed += 1);
        match &self.tells {
            Tells::Committer { .. } => {
                let names = objects.into_iter().map(|object| object.name);
                self.control.snapshots.give_surplus(names.collect());
                self.control.snapshots.settle(epoch, None);
            }
            Tells::First(links) => {
                links.tell_all(&Message::Snapshot { epoch, objects, failed: Some(failed) });
            }
        }
    }
}
