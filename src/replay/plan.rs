//! What a replay starts from, and what it follows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::hash::HashKey;
use tidegate_dataflow::job;
use tidegate_dataflow::settings::JobSettings;
use tidegate_dataflow::snapshot::Restored;
use tidegate_log::embedded::{EventsView, JournalView};
use tidegate_model::binding::{Definition, Manifest, Origin};
use tidegate_model::{Binding, Epoch, JobStart, Offset};
use tidegate_runner::ObjectSnapshots;
use tidegate_runner::recovery::{FromSnapshot, ReplayEpoch, ReplayEpochs};
use tidegate_runner::snapshot::load;

use crate::assembly::SNAPSHOTS;
use crate::config::Config;
use crate::exit::{CommandError, Exit};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) from: Option<Epoch>,
    pub(crate) to: Option<Epoch>,
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

/// What the bindings say, as far as it can be computed again.
#[derive(Default)]
struct Bound {
    /// Whether everything is there from the beginning of the deployment on.
    begins: bool,
    origin: Option<Origin>,
    /// The first and the last one.
    span: Option<(Epoch, Epoch)>,
    manifests: Vec<Manifest>,
    /// Those up to the last one asked for.
    epochs: ReplayEpochs,
    starts: BTreeMap<String, JobStart>,
    /// From which epoch on the definitions were others.
    definitions: Vec<(Epoch, BTreeMap<String, Definition>)>,
}

impl Bound {
    fn add(&mut self, binding: Binding, to: Option<Epoch>) {
        let Binding { epoch, now, close_to, partitions, origin, snapshot, gap, starts, definitions, .. } =
            binding;
        if gap.is_some() {
            // What came before is gone.
            *self = Self { origin: self.origin, span: Some((epoch, epoch)), ..Self::default() };
        } else if self.span.is_none() {
            self.begins = origin.is_some();
        }
        self.origin = self.origin.or(origin).or(snapshot.as_ref().map(|manifest| manifest.origin));
        self.span = Some((self.span.map_or(epoch, |(first, _)| first), epoch));
        if to.is_some_and(|to| epoch > to) {
            return;
        }
        self.manifests.extend(snapshot);
        self.epochs.push(ReplayEpoch { epoch, now, journaled: Journaled { close_to, partitions } });
        self.starts = starts;
        if self.definitions.last().is_none_or(|(_, before)| *before != definitions) {
            self.definitions.push((epoch, definitions));
        }
    }
}

fn usage(text: String) -> CommandError {
    CommandError::new(Exit::Usage, text)
}

fn refused(text: String) -> CommandError {
    CommandError::new(Exit::Refused, text)
}

/// Chooses what to start from.
pub(super) fn plan(
    question: &Question,
    config: &Config,
    journal: &JournalView,
    events: &EventsView,
) -> Result<Plan, CommandError> {
    let mut bound = Bound::default();
    let read = journal.read_bindings(&mut |binding| bound.add(binding, question.to));
    read.map_err(|error| CommandError::new(Exit::Failure, error))?;
    bound.begins &= events.partitions().all(|partition| events.start(partition) == Offset::ZERO);
    let Some((first, last)) = bound.span else {
        return Err(CommandError::new(
            Exit::Failure,
            "no epoch was committed yet: there is nothing to compare",
        ));
    };
    check_span(question, first, last)?;
    let hash_key = bound.origin.ok_or_else(|| refused(no_snapshot(question, &[], None)))?.hash_key;
    let snapshot = choose(question, config, &mut bound)?;
    let base = snapshot.as_ref().map(|snapshot| snapshot.restored.epoch());
    let mut epochs = bound.epochs;
    while base.is_some_and(|base| epochs.iter().next().is_some_and(|bound| bound.epoch <= base)) {
        epochs.pop_front();
    }
    let computed = epochs.iter().next().map_or(last, |bound| bound.epoch);
    Ok(Plan {
        jobs: settings(config, &bound.definitions, computed)?,
        hash_key: HashKey(hash_key.0, hash_key.1),
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
    config: &Config,
    bound: &mut Bound,
) -> Result<Option<FromSnapshot>, CommandError> {
    let last = bound.epochs.last().map(|last| last.epoch);
    let mut reasons = Vec::new();
    let mut usable = Vec::new();
    let folder = config.data_dir.join(SNAPSHOTS);
    let store = ObjectSnapshots::open(&folder);
    for manifest in std::mem::take(&mut bound.manifests).into_iter().rev() {
        let epoch = manifest.epoch;
        if last.is_some_and(|last| epoch >= last) {
            // Nothing follows it.
            continue;
        }
        let began = Instant::now();
        let loaded = match &store {
            Ok(store) => load(store, &manifest).map_err(|unusable| unusable.to_string()),
            // The one that goes with a gap.
            Err(_) if manifest.objects.is_empty() => Ok(Restored::new(epoch, Vec::new())),
            Err(error) => Err(error.to_string()),
        };
        match loaded {
            Ok(restored) => {
                let Manifest { now, close_to, partitions, .. } = manifest;
                let time = TimeState::journaled(now, Journaled { close_to, partitions });
                let (restored, read_in) = (Arc::new(restored), began.elapsed());
                usable.push(FromSnapshot { restored, time, read_in });
                if question.from.is_some_and(|from| epoch < from) {
                    break;
                }
            }
            Err(reason) => reasons.push(format!("the one of epoch {epoch}: {reason}")),
        }
    }
    let oldest = usable.pop();
    let is_before =
        |snapshot: &FromSnapshot| question.from.is_none_or(|from| snapshot.restored.epoch() < from);
    match oldest {
        Some(oldest) if is_before(&oldest) && !(bound.begins && question.from.is_none()) => Ok(Some(oldest)),
        _ if bound.begins => Ok(None),
        oldest => Err(refused(no_snapshot(question, &reasons, oldest.as_ref()))),
    }
}

fn no_snapshot(question: &Question, reasons: &[String], oldest: Option<&FromSnapshot>) -> String {
    let before = question.from.map_or(String::new(), |from| format!(" before epoch {from}"));
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let remedy = oldest.map_or_else(
        || "when the next snapshots are made, what follows them can be compared (snapshot.every)".to_owned(),
        |oldest| {
            format!("the oldest epoch that can be is {}: --from-epoch {0}", oldest.restored.epoch().next())
        },
    );
    format!(
        "there is no snapshot{before} to start from{why}, and the beginning is not there any more; {remedy}"
    )
}

/// The settings that all epochs from `computed` on were made by.
fn settings(
    config: &Config,
    definitions: &[(Epoch, BTreeMap<String, Definition>)],
    computed: Epoch,
) -> Result<JobSettings, CommandError> {
    let newest = definitions.last().expect("there is a binding");
    let all = [config.job_settings(), config.import_job_settings()];
    let Some(settings) = all.iter().find(|settings| job::definitions(settings) == newest.1) else {
        let configured = job::definitions(&all[0]);
        return Err(refused(format!(
            "the rows were made by other settings than those configured: {}; configure them as they were",
            differences(&newest.1, &configured)
        )));
    };
    if newest.0 > computed {
        return Err(refused(format!(
            "epochs before {} were made by other settings: {}; ask for --from-epoch {0} or later",
            newest.0,
            differences(&definitions[definitions.len() - 2].1, &newest.1)
        )));
    }
    Ok(settings.clone())
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
