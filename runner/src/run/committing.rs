//! The part of a run that commits: it takes complete epochs in and has them committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use tidegate_dataflow::report::EpochResult;
use tidegate_log::{CommitError, EventReader, Journal, ReadError};
use tidegate_model::binding::Manifest;
use tidegate_model::{Binding, Epoch, EventTime};

use super::{Control, Failures};
use crate::committer::{Committer, StepError};
use crate::error::{RunError, chain};
use crate::observer::{CommitFacts, Observer};
use crate::snapshot::Kept;
use crate::status::{LastCommit, Status, Waits};

/// How long a commit that surely did not take place rests before it is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How long it rests between two looks whether the last snapshot is written.
const HOLD_PAUSE: Duration = Duration::from_millis(5);

/// Commits what the workers complete, one step at a time.
pub struct Committing<J, R> {
    pub(super) committer: Committer<J, R>,
    pub(super) complete: Receiver<EpochResult>,
    /// Whether the workers may complete more.
    pub(super) more: bool,
    pub(super) control: Arc<Control>,
    pub(super) failures: Failures,
    pub(super) observer: Box<dyn Observer>,
    /// So many milliseconds may the last binding wait for its snapshot.
    pub(super) last_wait_ms: i64,
    /// Since when it waits.
    pub(super) waits_for_last: Option<EventTime>,
    /// The snapshots that a start could begin from.
    pub(super) kept: Kept,
    /// Bindings of epochs before this are being removed.
    pub(super) pruning: Option<Epoch>,
}

/// What a step of [`Committing`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// A commit took place, or something was removed.
    Some,
    /// There was nothing to commit.
    Nothing,
    /// A commit surely did not take place: the next step sends it again, unchanged.
    Waits,
    /// The last binding of the run waits for its snapshot.
    Holds,
    /// The workers are gone and nothing waits, or the run is aborted.
    Over,
}

impl<J: Journal, R: EventReader> Committing<J, R> {
    /// Commits until it is over.
    pub(super) fn run(mut self) {
        loop {
            match self.step() {
                Committed::Some => {}
                Committed::Nothing => match self.complete.recv_timeout(RETRY_PAUSE) {
                    Ok(result) => self.committer.push(result),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => self.more = false,
                },
                // Nothing unparks this thread: it rests, however much comes in meanwhile.
                Committed::Waits => std::thread::park_timeout(RETRY_PAUSE),
                Committed::Holds => std::thread::park_timeout(HOLD_PAUSE),
                Committed::Over => return,
            }
        }
    }

    /// Takes a snapshot over that was written, and has the last binding wait for its own.
    fn see_to_snapshots(&mut self) {
        // Asked in this order: a snapshot that is settled was handed over before.
        let last = self.control.snapshots.last_unsettled();
        if let Some(manifest) = self.control.snapshots.take_written() {
            self.committer.attach(manifest);
        }
        self.committer.hold(last);
        let Some(last) = last.filter(|_| self.committer.holds()) else { return };
        // It is the only one left. A clock that was set back must not have it wait for long.
        let now = self.control.status.now();
        let since = self.waits_for_last.map_or(now, |since| since.min(now));
        self.waits_for_last = Some(since);
        if now.since_ms(since) >= self.last_wait_ms {
            tracing::warn!(
                waited_ms = self.last_wait_ms,
                "the run ends without a snapshot: it took too long"
            );
            self.control.snapshots.settle(last, None);
            self.committer.hold(None);
        }
    }

    /// A snapshot was committed: from now on it counts, and what it stands for may go.
    fn snapshot_counts(&mut self, manifest: Manifest) {
        let (at, epoch) = (self.control.status.now(), manifest.epoch);
        self.kept.add(manifest);
        let events_from = self.kept.events_from();
        self.control.status.update(|progress| progress.snapshots.committed(epoch, at, events_from));
        self.pruning = self.kept.bindings_from();
        self.control.snapshots.end();
        self.control.wake();
    }

    /// Removes some of the bindings that no start reads any more; says whether there were any.
    fn prune(&mut self) -> bool {
        let Some(before) = self.pruning else { return false };
        match self.committer.prune(before) {
            Ok(true) => return true,
            // Now that no start goes back to them.
            Ok(false) => self.control.snapshots.give_surplus(self.kept.take_surplus()),
            Err(error) => tracing::warn!(%before, %error, "old bindings stay until the next snapshot"),
        }
        self.pruning = None;
        true
    }

    /// Puts everything that is complete into one commit. It does not wait.
    pub fn step(&mut self) -> Committed {
        if self.control.abort.load(Ordering::Acquire) {
            return Committed::Over;
        }
        while self.more {
            match self.complete.try_recv() {
                Ok(result) => self.committer.push(result),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.more = false,
            }
        }
        self.see_to_snapshots();
        let status = Arc::clone(&self.control.status);
        let began = Instant::now();
        match self.committer.step() {
            Ok(None) if self.more && self.prune() => Committed::Some,
            Ok(None) if self.more => Committed::Nothing,
            Ok(None) if !self.committer.idle() => Committed::Holds,
            Ok(None) => Committed::Over,
            Ok(Some(done)) => {
                let commit = CommitFacts {
                    epochs: &done.epochs,
                    committed_at: status.now(),
                    duration: began.elapsed(),
                };
                took_place(&self.control, done.binding, done.rows, &commit);
                self.observer.committed(&commit);
                if let Some(manifest) = done.snapshot {
                    self.snapshot_counts(manifest);
                }
                self.prune();
                Committed::Some
            }
            Err(StepError::Fatal { epoch, error }) => {
                self.failures.fail(RunError::Commit { epoch, error });
                Committed::Over
            }
            Err(StepError::Read(error)) if !matches!(error, ReadError::Storage { .. }) => {
                self.failures.fail(error.into());
                Committed::Over
            }
            Err(retry) => {
                wait(&status, &retry);
                Committed::Waits
            }
        }
    }
}

/// Tells everybody of a commit.
fn took_place(control: &Control, binding: Binding, rows: usize, commit: &CommitFacts<'_>) {
    let (status, epoch) = (&control.status, binding.epoch);
    status.uncommitted.fetch_sub(commit.epochs.len(), Ordering::AcqRel);
    status.commit_durations.observe(commit.duration.as_secs_f64());
    status.update(|progress| {
        progress.epoch = binding.epoch;
        progress.frontier = binding.close_to;
        progress.ledger = binding.ledger;
        progress.epochs += commit.epochs.len() as u64;
        progress.rows += rows as u64;
        progress.last_commit = Some(LastCommit { at: commit.committed_at, duration: commit.duration });
        if let Some(waits) = progress.waits.take() {
            tracing::info!(since = %waits.since, "commits go on");
        }
    });
    // Sources wait for room, and worker 0 for the number of epochs to fall.
    control.release(epoch);
}

/// Says why commits wait, once for each reason.
fn wait(status: &Status, retry: &StepError) {
    let reason = chain(retry);
    let disk_full = matches!(retry, StepError::Retry { error: CommitError::DiskFull { .. }, .. });
    let now = status.now();
    let mut is_new = false;
    status.update(|progress| {
        let since = progress.waits.as_ref().map_or(now, |waits| waits.since);
        let waits = Waits { since, reason: reason.clone(), disk_full };
        is_new = progress.waits.replace(waits).is_none_or(|before| before.reason != reason);
    });
    if is_new {
        tracing::warn!(%reason, "commits wait");
        status.error(&reason);
    }
}
