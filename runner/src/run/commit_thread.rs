//! The thread that commits.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tidegate_dataflow::report::EpochResult;
use tidegate_log::{EventReader, Journal, ReadError};

use super::{Control, Failures};
use crate::committer::{Committer, StepError};
use crate::error::RunError;

/// How long a commit that surely did not take place rests before it is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Commits until the workers are gone and nothing waits, or the run is aborted.
pub(super) fn run(
    mut committer: Committer<impl Journal, impl EventReader>,
    complete: &Receiver<EpochResult>,
    control: &Control,
    failures: &Failures,
) {
    let mut more = true;
    let mut waits: Option<String> = None;
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
        match committer.step() {
            Ok(None) => {}
            Ok(Some(done)) => {
                let binding = done.binding;
                waits = None;
                control.uncommitted.fetch_sub(done.epochs, Ordering::AcqRel);
                control.released.store(binding.epoch.0, Ordering::Release);
                control.status.update(|progress| {
                    progress.epoch = binding.epoch;
                    progress.frontier = binding.close_to;
                    progress.ledger = binding.ledger;
                    progress.rows += done.rows as u64;
                    progress.waits = None;
                });
                // Sources wait for room, and worker 0 for the number of epochs to fall.
                control.wake();
            }
            Err(StepError::Fatal { epoch, error }) => {
                failures.fail(RunError::Commit { epoch, error });
            }
            Err(StepError::Read(error)) if !matches!(error, ReadError::Storage { .. }) => {
                failures.fail(error.into());
            }
            Err(retry) => {
                let reason = chain(&retry);
                if waits.as_ref() != Some(&reason) {
                    tracing::warn!(%reason, "commits wait");
                }
                control.status.update(|progress| progress.waits = Some(reason.clone()));
                waits = Some(reason);
                // Nothing unparks this thread: it rests, however much comes in meanwhile.
                std::thread::park_timeout(RETRY_PAUSE);
            }
        }
    }
}

/// An error with everything behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
