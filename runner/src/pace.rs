//! When epochs end, and what the next one reads: worker 0's side of the control stream.
//!
//! A state machine without I/O: it is told the time and how far the others have come, and says which
//! tick to send. A tick that ends an epoch also says how the next one is read, so an epoch ends only
//! when the next is known.

mod drain;
mod snapshots;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tidegate_dataflow::control::{Close, Journaled, Plan, Reading, Tick};
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::survey::Standing;
use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use self::drain::Drain;
use self::snapshots::{Due, Snapshots};
use crate::recovery::{Recovery, ReplayEpoch, ReplayEpochs};
use crate::snapshot::SnapshotLimits;

/// Epochs of replay, or of a bounded run, that may be under way at once.
const EPOCHS_UNDER_WAY_MAX: u64 = 8;

/// What follows the replay.
#[derive(Clone, Debug)]
pub enum Script {
    /// Epochs are cut by the clock.
    Live,
    /// Epochs are cut by whoever writes the log, and the input ends.
    Bounded(Cuts),
}

/// Where one epoch of a bounded run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The end of each partition (exclusive).
    pub ends: BTreeMap<PartitionId, Offset>,
    /// The clock of the input: how far it has come.
    pub now: EventTime,
    /// Whether the input ends here.
    pub last: bool,
}

/// Cuts that may wait for worker 0.
const CUTS_WAITING_MAX: usize = 16;

/// Hands cuts from the one who writes the log to worker 0.
#[derive(Clone, Debug, Default)]
pub struct Cuts(Arc<(Mutex<VecDeque<Cut>>, Condvar)>);

impl Cuts {
    /// Adds a cut; its records must be durable. Waits for at most `patience` while too many wait, and
    /// hands the cut back when that was not enough. Wake worker 0 after a push.
    ///
    /// # Errors
    /// The cut, when there was no room for it in time.
    pub fn push(&self, cut: Cut, patience: Duration) -> Result<(), Cut> {
        let (waiting, room) = &*self.0;
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |waiting: &mut VecDeque<Cut>| waiting.len() >= CUTS_WAITING_MAX;
        let waited = room.wait_timeout_while(waiting, patience, full);
        let (mut waiting, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && full(&mut waiting) {
            return Err(cut);
        }
        waiting.push_back(cut);
        Ok(())
    }

    fn pop(&self) -> Option<Cut> {
        let (waiting, room) = &*self.0;
        let cut = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        room.notify_one();
        cut
    }
}

/// Whether a run is to end, and with what. One that still replays ends where it stands, whatever is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It goes on.
    #[default]
    No,
    /// It ends when everything is read that the log held when it was asked to. A bounded run ends with
    /// the epoch that is open.
    Drained,
    /// It ends with the epoch that is open.
    Now,
}

/// What the pace is made from at each step.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The clock.
    pub now: EventTime,
    /// The newest epoch that is complete.
    pub complete: Epoch,
    /// Complete epochs that wait for their commit.
    pub uncommitted: usize,
    /// Whether the run is to end.
    pub stop: Stop,
    /// Records read in complete epochs since the start, those of the replay included.
    pub records: u64,
    /// Epochs bound since the start, those of the replay included.
    pub bound: u64,
    /// Whether a snapshot is being made.
    pub snapshot_under_way: bool,
}

/// An epoch that has begun.
enum Open {
    /// The first epoch, in which nothing is read.
    Recover,
    Replay(ReplayEpoch),
    Live {
        since: EventTime,
    },
    Cut(Cut),
}

/// Makes ticks.
pub struct Pace {
    script: Script,
    tick_ms: i64,
    uncommitted_epochs_max: usize,
    /// What of the replay has not begun.
    replay: ReplayEpochs,
    /// The first epoch after the replay.
    next_new: Epoch,
    first: Epoch,
    open: Option<(Epoch, Open)>,
    /// Epochs whose tick was sent and which are not complete.
    sent: VecDeque<Epoch>,
    recovered: TimeState,
    drain: Drain,
    snapshots: Option<Snapshots>,
}

impl Pace {
    /// The pace of a run that starts from `recovery`. It takes it, so that what was replayed is freed.
    pub fn new(recovery: Recovery, script: Script, tick_ms: i64, uncommitted_epochs_max: usize) -> Self {
        let first = recovery.first();
        let Recovery { replay, next, time, snapshot, .. } = recovery;
        let recovered = match snapshot {
            Some(snapshot) => snapshot.time,
            None if replay.is_empty() => time,
            None => TimeState::default(),
        };
        Self {
            script,
            tick_ms,
            uncommitted_epochs_max,
            replay,
            next_new: next,
            first,
            open: Some((first, Open::Recover)),
            sent: VecDeque::new(),
            recovered,
            drain: Drain::default(),
            snapshots: None,
        }
    }

    /// Has snapshots made, the first one as if there had been one `now`.
    #[must_use]
    pub fn with_snapshots(self, limits: SnapshotLimits, now: EventTime) -> Self {
        Self { snapshots: Some(Snapshots::new(limits, now)), ..self }
    }

    /// The epoch in which nothing is read: that of the snapshot, or the one before the first that is read.
    pub fn first(&self) -> Epoch {
        self.first
    }

    /// Whether the last tick has been sent.
    pub fn ended(&self) -> bool {
        self.open.is_none()
    }

    /// The oldest epoch whose tick was sent and which is not complete.
    pub fn incomplete(&self) -> Option<Epoch> {
        self.sent.front().copied()
    }

    /// How long nothing is due, as far as the clock decides it.
    pub fn rest(&self, now: EventTime) -> Duration {
        match &self.open {
            Some((_, Open::Live { since })) => {
                let due = since.plus_ms(self.tick_ms);
                Duration::from_millis(u64::try_from(due.since_ms(now)).unwrap_or(0).max(1))
            }
            _ => Duration::from_secs(1),
        }
    }

    /// Takes in where the partitions stood when an epoch ended.
    pub fn surveyed(&mut self, epoch: Epoch, standings: &[Standing]) {
        self.drain.survey(epoch, standings);
    }

    /// Whether the epoch that is open is to be the last.
    fn stops(&mut self, stop: Stop) -> bool {
        match stop {
            Stop::No => false,
            Stop::Now => true,
            Stop::Drained => {
                // Before the first live epoch the sources do not read every partition that there is.
                if let Some((open, Open::Live { .. })) = &self.open {
                    self.drain.ask(*open);
                }
                self.drain.done() || matches!(self.script, Script::Bounded(_))
            }
        }
    }

    /// The tick to send now, if there is one. Call again until there is none.
    pub fn step(&mut self, facts: Facts) -> Option<Tick> {
        while self.sent.front().is_some_and(|epoch| *epoch <= facts.complete) {
            self.sent.pop_front();
        }
        let stop = self.stops(facts.stop);
        if self.sent.len() as u64 >= EPOCHS_UNDER_WAY_MAX {
            return None;
        }
        let (epoch, open) = self.open.as_ref()?;
        let epoch = *epoch;
        let due = match open {
            Open::Live { since } => {
                let waited_ms = facts.now.since_ms(*since);
                // A clock that was set back must not stop the ticks.
                let rested = waited_ms >= self.tick_ms || waited_ms < 0;
                stop || (rested && facts.uncommitted < self.uncommitted_epochs_max)
            }
            Open::Cut(_) => facts.uncommitted < self.uncommitted_epochs_max,
            Open::Recover | Open::Replay(_) => true,
        };
        if !due {
            return None;
        }
        let ending = stop || matches!(open, Open::Cut(Cut { last: true, .. }));
        let next = if ending { None } else { Some(self.begin_next(epoch, facts.now)?) };
        let (_, open) = self.open.take().expect("looked at above");
        let is_new = matches!(open, Open::Live { .. } | Open::Cut(_));
        let due = Due {
            now: facts.now,
            records: facts.records,
            bound: facts.bound,
            under_way: facts.snapshot_under_way,
            is_last: ending,
        };
        let snapshot = is_new && self.snapshots.as_mut().is_some_and(|snapshots| snapshots.ask(due));
        let (now, close) = match open {
            Open::Recover => {
                let state = self.recovered.clone();
                let journaled = Journaled { close_to: state.frontier, partitions: state.partitions };
                (state.now, Close::Journaled(journaled))
            }
            Open::Replay(bound) => (bound.now, Close::Journaled(bound.journaled)),
            Open::Live { .. } => (facts.now, Close::Decide),
            Open::Cut(cut) if cut.last => (cut.now, Close::DecideAndCloseAll),
            Open::Cut(cut) => (cut.now, Close::Decide),
        };
        let plan = next.as_ref().map(|(epoch, open)| Plan { epoch: *epoch, reading: reading(open) });
        self.open = next;
        self.sent.push_back(epoch);
        Some(Tick { ends: epoch, now, close, next: plan, snapshot })
    }

    /// What comes after `epoch`, when it is known.
    fn begin_next(&mut self, epoch: Epoch, now: EventTime) -> Option<(Epoch, Open)> {
        if let Some(bound) = self.replay.pop_front() {
            return Some((bound.epoch, Open::Replay(bound)));
        }
        let next = epoch.next().max(self.next_new);
        match &self.script {
            Script::Live => Some((next, Open::Live { since: now })),
            Script::Bounded(cuts) => cuts.pop().map(|cut| (next, Open::Cut(cut))),
        }
    }
}

fn reading(open: &Open) -> Reading {
    match open {
        Open::Recover => Reading::UpTo(BTreeMap::new()),
        Open::Replay(bound) => Reading::UpTo(bound.ends()),
        Open::Live { .. } => Reading::Live,
        Open::Cut(cut) => Reading::Input(cut.ends.clone()),
    }
}

#[cfg(test)]
mod tests;
