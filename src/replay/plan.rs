//! What a replay starts from, and what it follows.
//!
//! Epochs are computed by the definitions of the last one asked for, as a start computes them: a job whose
//! definition changed began anew, and takes no part in what came before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::job;
use tidegate_dataflow::settings::JobSettings;
use tidegate_dataflow::snapshot::Restored;
use tidegate_model::binding::{Definition, Manifest};
use tidegate_model::{Epoch, JobStart, Offset, PartitionId};
use tidegate_runner::recovery::{FromSnapshot, ReplayEpochs};
use tidegate_runner::snapshot::{SnapshotStore, StoreError, Unusable, load};

use super::bound::Bound;
use crate::exit::{CommandError, Exit};

/// What is asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Question {
    pub(crate) from: Option<Epoch>,
    pub(crate) to: Option<Epoch>,
}

/// What is there to compute it from.
pub(super) struct Sources<'a> {
    /// The jobs as they are configured: for live traffic, and for imports.
    pub(super) configured: [JobSettings; 2],
    /// Where the events begin that are left of each partition.
    pub(super) events_from: BTreeMap<PartitionId, Offset>,
    pub(super) snapshots: Result<&'a dyn SnapshotStore, StoreError>,
}

/// What is computed.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) jobs: JobSettings,
    pub(super) hash_key: HashKey,
    pub(super) starts: BTreeMap<String, JobStart>,
    pub(super) snapshot: Option<FromSnapshot>,
    /// Everything after the snapshot.
    pub(super) epochs: ReplayEpochs,
    /// The first epoch whose rows are compared.
    pub(super) from: Epoch,
}

fn usage(text: String) -> CommandError {
    CommandError::new(Exit::Usage, text)
}

fn refused(text: String) -> CommandError {
    CommandError::new(Exit::Refused, text)
}

/// Chooses what to start from.
pub(super) fn plan(question: &Question, bound: Bound, sources: &Sources<'_>) -> Result<Plan, CommandError> {
    let Some((first, last)) = bound.span else {
        let text = "no epoch was committed yet: there is nothing to compare";
        return Err(CommandError::new(Exit::Failure, text));
    };
    check_span(question, first, last)?;
    let jobs = settings(&bound.definitions, &sources.configured)?;
    let snapshot = choose(question, &bound, sources)?;
    let origin = bound.origin.expect("the beginning has one, and so has a snapshot");
    let base = snapshot.as_ref().map(|snapshot| snapshot.restored.epoch());
    let mut epochs = bound.epochs;
    while base.is_some_and(|base| epochs.iter().next().is_some_and(|bound| bound.epoch <= base)) {
        epochs.pop_front();
    }
    let computed = epochs.iter().next().map_or(last, |bound| bound.epoch);
    Ok(Plan {
        jobs,
        hash_key: HashKey(origin.hash_key.0, origin.hash_key.1),
        starts: bound.starts,
        snapshot,
        from: question.from.unwrap_or(computed).max(computed),
        epochs,
    })
}

fn check_span(question: &Question, first: Epoch, last: Epoch) -> Result<(), CommandError> {
    let Question { from, to } = *question;
    if let Some((from, to)) = from.zip(to).filter(|(from, to)| from > to) {
        return Err(usage(format!("--from-epoch {from} is after --to-epoch {to}: exchange them")));
    }
    for (name, epoch) in [("--from-epoch", from), ("--to-epoch", to)] {
        if let Some(epoch) = epoch.filter(|epoch| !(first..=last).contains(epoch)) {
            return Err(usage(format!(
                "{name} {epoch} is not among the epochs that the journal has, which are {first} to {last}"
            )));
        }
    }
    Ok(())
}

/// The newest snapshot before the first epoch asked for; the oldest one when none is asked for; nothing where
/// everything is there from the beginning.
fn choose(
    question: &Question,
    bound: &Bound,
    sources: &Sources<'_>,
) -> Result<Option<FromSnapshot>, CommandError> {
    let is_there = |ends: &dyn Fn(PartitionId) -> Offset| {
        sources.events_from.iter().all(|(partition, from)| *from <= ends(*partition))
    };
    let begins = bound.begins && is_there(&|_| Offset::ZERO);
    if begins && question.from.is_none() {
        return Ok(None);
    }
    let read = |manifest: &Manifest| {
        let began = Instant::now();
        let Manifest { now, close_to, partitions, .. } = manifest.clone();
        if !is_there(&|partition| partitions.get(&partition).map_or(Offset::ZERO, |state| state.end)) {
            return Err(Unusable::EventsGone);
        }
        let restored = match &sources.snapshots {
            Ok(store) => load(*store, manifest)?,
            // The one that goes with a gap is of nothing.
            Err(_) if manifest.objects.is_empty() => Restored::new(manifest.epoch, Vec::new()),
            Err(error) => return Err(Unusable::Store(error.clone())),
        };
        let restored = Arc::new(restored);
        let time = TimeState::journaled(now, Journaled { close_to, partitions });
        Ok(FromSnapshot { restored, time, read_in: began.elapsed() })
    };
    let last = bound.epochs.last().map(|last| last.epoch);
    // Something follows it.
    let useful = bound.manifests.iter().filter(|manifest| Some(manifest.epoch) < last);
    let (before, after): (Vec<_>, Vec<_>) = match question.from {
        Some(from) => useful.rev().partition(|manifest| manifest.epoch < from),
        None => (useful.collect(), Vec::new()),
    };
    let mut reasons = Vec::new();
    for manifest in before {
        match read(manifest) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(unusable) => reasons.push(format!("the one of epoch {}: {unusable}", manifest.epoch)),
        }
    }
    if begins {
        return Ok(None);
    }
    let oldest = after.into_iter().rev().find(|manifest| read(manifest).is_ok());
    Err(refused(no_snapshot(question, &reasons, oldest.map(|manifest| manifest.epoch))))
}

fn no_snapshot(question: &Question, reasons: &[String], oldest: Option<Epoch>) -> String {
    let before = question.from.map_or(String::new(), |from| format!(" before epoch {from}"));
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let remedy = oldest.map_or_else(
        || "when the next snapshots are made, what follows them can be compared (snapshot.every)".to_owned(),
        |oldest| format!("the oldest epoch that can be is {}: --from-epoch {0}", oldest.next()),
    );
    format!(
        "there is no snapshot{before} to start from{why}, and the beginning is not there any more; {remedy}"
    )
}

/// The settings that have these definitions.
fn settings(
    definitions: &BTreeMap<String, Definition>,
    configured: &[JobSettings],
) -> Result<JobSettings, CommandError> {
    if let Some(settings) = configured.iter().find(|settings| job::definitions(settings) == *definitions) {
        return Ok(settings.clone());
    }
    Err(refused(format!(
        "the rows were made by other settings than those configured: {}; configure them as they were",
        differences(definitions, &job::definitions(&configured[0]))
    )))
}

/// Each setting in which two sets of definitions differ.
fn differences(before: &BTreeMap<String, Definition>, after: &BTreeMap<String, Definition>) -> String {
    let nothing = Definition { settings: BTreeMap::new() };
    let jobs = before.keys().chain(after.keys().filter(|job| !before.contains_key(*job)));
    let of_job = |job: &String| {
        let (old, new) = (before.get(job).unwrap_or(&nothing), after.get(job).unwrap_or(&nothing));
        let names =
            old.settings.keys().chain(new.settings.keys().filter(|name| !old.settings.contains_key(*name)));
        let differing = names.filter(|name| old.settings.get(*name) != new.settings.get(*name));
        let value = |of: &Definition, name: &String| {
            of.settings.get(name).map_or("nothing", String::as_str).to_owned()
        };
        differing
            .map(|name| format!("{job} {name} = {}, now {}", value(old, name), value(new, name)))
            .collect::<Vec<_>>()
    };
    jobs.flat_map(of_job).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
