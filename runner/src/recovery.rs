//! What a start makes of the journal: which epochs to replay, and what was true after the last one.
//!
//! A pure function of the bindings and the configuration; [`recover`] gathers its facts.

use std::collections::BTreeMap;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::job;
use tidegate_dataflow::settings::JobSettings;
use tidegate_log::EventReader;
use tidegate_log::journal::Recovered;
use tidegate_model::binding::{Definition, Origin};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Epoch, EventTime, Generation, Ledger, Offset, PartitionId};

use crate::clock::{Clock, Entropy};
use crate::error::RunError;

/// What a run starts from.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// The generation of this process.
    pub generation: Generation,
    /// The definitions of the jobs.
    pub definitions: BTreeMap<String, Definition>,
    /// The deployment's hash key.
    pub hash_key: HashKey,
    /// Given when this run begins the deployment, and then journaled in its first binding.
    pub origin: Option<Origin>,
    /// The epochs to replay, oldest first.
    pub replay: Vec<ReplayEpoch>,
    /// The first epoch that is not replayed.
    pub next: Epoch,
    /// What the journal knows of time after the last binding.
    pub time: TimeState,
    /// Totals after the last binding.
    pub ledger: Ledger,
    /// The number of events to replay.
    pub replay_events: u64,
}

/// A bound epoch.
#[derive(Clone, Debug)]
pub struct ReplayEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// Its clock.
    pub now: EventTime,
    /// Its partitions and frontier.
    pub journaled: Journaled,
}

impl ReplayEpoch {
    /// Where its records end.
    pub fn ends(&self) -> BTreeMap<PartitionId, Offset> {
        let early = u64::from(is_planted(Bug::OffsetOffByOne));
        let end = |end: Offset| Offset(end.0.saturating_sub(early));
        self.journaled.partitions.iter().map(|(partition, state)| (*partition, end(state.end))).collect()
    }
}

/// Makes a recovery out of what the journal holds.
///
/// # Errors
/// When a job's definition changed, the journal contradicts itself, or the log does not hold what it
/// speaks of.
pub fn recover(
    recovered: Recovered,
    settings: &JobSettings,
    log: &mut dyn EventReader,
    clock: &dyn Clock,
    entropy: &mut dyn Entropy,
) -> Result<Recovery, RunError> {
    let definitions = job::definitions(settings);
    let Recovered { generation, bindings } = recovered;
    let Some((first, last)) = bindings.first().zip(bindings.last()) else {
        let hash_key = entropy.secret();
        return Ok(Recovery {
            generation,
            definitions,
            hash_key: HashKey(hash_key.0, hash_key.1),
            origin: Some(Origin { hash_key }),
            replay: Vec::new(),
            // The unix time, so that the epochs of a deployment never restart below old ones.
            next: Epoch(clock.now().as_millis().unsigned_abs().max(1)),
            time: TimeState::default(),
            ledger: Ledger::default(),
            replay_events: 0,
        });
    };
    let origin = first.origin.ok_or_else(|| RunError::JournalDamaged {
        reason: format!("its first binding, of epoch {}, has no origin", first.epoch),
    })?;
    check_order(&bindings)?;
    check_definitions(&last.definitions, &definitions)?;
    check_events(last, log)?;
    let next = last.epoch.next();
    let ledger = if is_planted(Bug::LedgerForgotten) { Ledger::default() } else { last.ledger.clone() };
    let replay_events = last.partitions.values().map(|state| state.end.0).sum();
    let replay: Vec<_> = bindings
        .into_iter()
        .map(|binding| ReplayEpoch {
            epoch: binding.epoch,
            now: binding.now,
            journaled: Journaled { close_to: binding.close_to, partitions: binding.partitions },
        })
        .collect();
    let end = replay.last().expect("there is a binding");
    let time = TimeState::journaled(end.now, end.journaled.clone());
    let hash_key = HashKey(origin.hash_key.0, origin.hash_key.1);
    Ok(Recovery {
        generation,
        definitions,
        hash_key,
        origin: None,
        next,
        time,
        ledger,
        replay,
        replay_events,
    })
}

fn check_order(bindings: &[Binding]) -> Result<(), RunError> {
    for pair in bindings.windows(2) {
        if pair[0].epoch >= pair[1].epoch || pair[0].close_to > pair[1].close_to {
            let reason = format!("epoch {} follows epoch {}", pair[1].epoch, pair[0].epoch);
            return Err(RunError::JournalDamaged { reason });
        }
    }
    Ok(())
}

fn check_definitions(
    journaled: &BTreeMap<String, Definition>,
    configured: &BTreeMap<String, Definition>,
) -> Result<(), RunError> {
    for (job, definition) in configured {
        let Some(before) = journaled.get(job) else { continue };
        for (setting, value) in &definition.settings {
            let before = before.settings.get(setting);
            if before != Some(value) {
                return Err(RunError::DefinitionChanged {
                    job: job.clone(),
                    setting: setting.clone(),
                    journaled: before.cloned().unwrap_or_else(|| "nothing".to_owned()),
                    configured: value.clone(),
                });
            }
        }
    }
    Ok(())
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
