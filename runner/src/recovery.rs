//! What a start makes of the journal: which epochs to replay, and what was true after the last one.
//!
//! Bindings are shown to [`recover`] one by one, and of each it keeps what the replay needs: a deployment
//! has one for every tick in which something happened.

mod definitions;
mod epochs;

use std::collections::BTreeMap;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::job;
use tidegate_dataflow::settings::JobSettings;
use tidegate_log::{EventReader, Journal, Recovered};
use tidegate_model::binding::{Definition, Origin};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Epoch, Generation, JobStart, Ledger, Offset};

pub use self::epochs::{ReplayEpoch, ReplayEpochs};

use crate::clock::{Clock, Entropy};
use crate::error::RunError;

/// What a run starts from.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The generation of this process.
    pub generation: Generation,
    /// The definitions of the jobs.
    pub definitions: BTreeMap<String, Definition>,
    /// The jobs that began, or begin anew, after the deployment did.
    pub starts: BTreeMap<String, JobStart>,
    /// The deployment's hash key.
    pub hash_key: HashKey,
    /// Given when this run begins the deployment, and then journaled in its first binding.
    pub origin: Option<Origin>,
    /// The epochs to replay.
    pub replay: ReplayEpochs,
    /// The first epoch that is not replayed.
    pub next: Epoch,
    /// What the journal knows of time after the last binding.
    pub time: TimeState,
    /// Totals after the last binding.
    pub ledger: Ledger,
    /// The number of events to replay.
    pub replay_events: u64,
}

/// What a start goes on in spite of, because somebody said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// Jobs whose definition changed begin anew (`--accept-changed-jobs`).
    pub changed_jobs: bool,
}

/// Takes the journal over, and makes a recovery out of what it holds.
///
/// # Errors
/// When the journal cannot be read or contradicts itself, a job's definition changed, or the log does not
/// hold what the journal speaks of.
pub fn recover(
    journal: &mut dyn Journal,
    settings: &JobSettings,
    accept: Accept,
    log: &mut dyn EventReader,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Recovery, RunError> {
    let definitions = job::definitions(settings);
    let Recovered { generation, last } = journal.recover()?;
    let Some(last) = last else {
        let hash_key = entropy.secret();
        return Ok(Recovery {
            generation,
            definitions,
            starts: BTreeMap::new(),
            hash_key: HashKey(hash_key.0, hash_key.1),
            origin: Some(Origin { hash_key }),
            replay: ReplayEpochs::default(),
            // The unix time, so that the epochs of a deployment never restart below old ones.
            next: Epoch(clock.now().as_millis().unsigned_abs().max(1)),
            time: TimeState::default(),
            ledger: Ledger::default(),
            replay_events: 0,
        });
    };
    // What can be told by the last binding is told before all of them are read.
    let starts = definitions::starts(&last, &definitions, settings, accept)?;
    check_events(&last, log)?;
    let (origin, replay) = read_bindings(journal, last.epoch)?;
    Ok(Recovery {
        generation,
        definitions,
        starts,
        hash_key: HashKey(origin.hash_key.0, origin.hash_key.1),
        origin: None,
        replay,
        next: last.epoch.next(),
        replay_events: last.partitions.values().map(|state| state.end.0).sum(),
        time: TimeState::journaled(
            last.now,
            Journaled { close_to: last.close_to, partitions: last.partitions },
        ),
        ledger: if is_planted(Bug::LedgerForgotten) { Ledger::default() } else { last.ledger },
    })
}

/// Reads all bindings, up to that of `last`: how the deployment began, and the epochs to replay.
fn read_bindings(journal: &mut dyn Journal, last: Epoch) -> Result<(Origin, ReplayEpochs), RunError> {
    let (mut origin, mut replay) = (None, ReplayEpochs::default());
    let mut contradiction = None;
    journal.read_bindings(None, &mut |binding| {
        if contradiction.is_some() {
            return;
        }
        let Binding { epoch, now, close_to, partitions, .. } = binding;
        let next = ReplayEpoch { epoch, now, journaled: Journaled { close_to, partitions } };
        contradiction = if let Some(before) = replay.last() {
            contradiction_of(before, &next)
        } else {
            origin = binding.origin;
            origin.is_none().then(|| format!("its first binding, of epoch {epoch}, has no origin"))
        };
        if contradiction.is_none() {
            replay.push(next);
        }
    })?;
    if let Some(reason) = contradiction {
        return Err(RunError::JournalDamaged { reason });
    }
    match origin {
        Some(origin) if replay.last().is_some_and(|end| end.epoch == last) => Ok((origin, replay)),
        _ => {
            let reason = format!("the newest binding is of epoch {last}, but the bindings do not end there");
            Err(RunError::JournalDamaged { reason })
        }
    }
}

/// Why one epoch cannot follow the other, if so.
fn contradiction_of(before: &ReplayEpoch, after: &ReplayEpoch) -> Option<String> {
    if before.epoch >= after.epoch || before.journaled.close_to > after.journaled.close_to {
        return Some(format!("epoch {} follows epoch {}", after.epoch, before.epoch));
    }
    let goes_on = |id| after.journaled.partitions.contains_key(id);
    let missing = before.journaled.partitions.keys().find(|id| !goes_on(*id))?;
    Some(format!(
        "epoch {} has partition {missing}, and epoch {}, after it, has not",
        before.epoch, after.epoch
    ))
}

fn check_events(last: &Binding, log: &mut dyn EventReader) -> Result<(), RunError> {
    for (partition, state) in &last.partitions {
        let available = log.bounds(*partition)?;
        // Without snapshots, everything from the first record on is replayed.
        if available.start > Offset::ZERO || available.end < state.end {
            return Err(RunError::EventsMissing {
                epoch: last.epoch,
                partition: *partition,
                bound: state.end,
                start: available.start,
                end: available.end,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
