//! The thread that commits.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tidegate_dataflow::report::EpochResult;
use tidegate_log::{CommitError, EventReader, Journal, ReadError};
use tidegate_model::Binding;

use super::{Control, Failures};
use crate::committer::{Committer, StepError};
use crate::error::{RunError, chain};
use crate::observer::{CommitFacts, Observer};
use crate::status::{LastCommit, Status, Waits};

/// How long a commit that surely did not take place rests before it is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Commits until the workers are gone and nothing waits, or the run is aborted.
pub(super) fn run(
    mut committer: Committer<impl Journal, impl EventReader>,
    complete: &Receiver<EpochResult>,
    control: &Control,
    failures: &Failures,
    observer: &mut dyn Observer,
) {
    let status = &control.status;
    let mut more = true;
    while (more || !committer.idle()) && !control.abort.load(Ordering::Acquire) {
        if committer.idle() {
            match complete.recv_timeout(RETRY_PAUSE) {
                Ok(result) => committer.push(result),
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => more = false,
            }
        }
        // Everything that is complete goes into one commit.
        for result in complete.try_iter() {
            committer.push(result);
        }
        let began = Instant::now();
        match committer.step() {
            Ok(None) => {}
            Ok(Some(done)) => {
                let commit = CommitFacts {
                    epochs: &done.epochs,
                    committed_at: status.now(),
                    duration: began.elapsed(),
                };
                took_place(control, done.binding, done.rows, &commit);
                observer.committed(&commit);
            }
            Err(StepError::Fatal { epoch, error }) => {
                failures.fail(RunError::Commit { epoch, error });
            }
            Err(StepError::Read(error)) if !matches!(error, ReadError::Storage { .. }) => {
                failures.fail(error.into());
            }
            Err(retry) => {
                wait(status, &retry);
                // Nothing unparks this thread: it rests, however much comes in meanwhile.
                std::thread::park_timeout(RETRY_PAUSE);
            }
        }
    }
}

/// Tells everybody of a commit.
fn took_place(control: &Control, binding: Binding, rows: usize, commit: &CommitFacts<'_>) {
    let status = &control.status;
    status.uncommitted.fetch_sub(commit.epochs.len(), Ordering::AcqRel);
    control.released.store(binding.epoch.0, Ordering::Release);
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
    control.wake();
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
