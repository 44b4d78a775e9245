//! Whether the jobs are those that the journaled rows were made by, and from where on new ones count.
//!
//! Replaying old epochs under another definition would make other rows than those committed. So a job whose
//! definition changed is refused, or, when that was accepted, begins anew like one that was not there before:
//! it takes no part in the epochs before, and its first window is the first one that begins after everything
//! that was read in them. What it had open is given up; its old rows stay.

use std::collections::BTreeMap;

use tidegate_dataflow::job::definitions;
use tidegate_dataflow::settings::JobSettings;
use tidegate_model::binding::Definition;
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, EventTime, JobStart};

use super::Accept;
use crate::error::RunError;

/// When each job began that was not there from the beginning, those that begin now included.
pub(super) fn starts(
    last: &Binding,
    configured: &BTreeMap<String, Definition>,
    settings: &JobSettings,
    accept: Accept,
) -> Result<BTreeMap<String, JobStart>, RunError> {
    let now = JobStart { epoch: last.epoch.next(), after: everything_read(last, settings) };
    let mut starts = last.starts.clone();
    starts.retain(|job, _| configured.contains_key(job));
    for (job, definition) in configured {
        let changed = match last.definitions.get(job) {
            None => None,
            Some(before) => match change(job, before, definition) {
                None => continue,
                changed => changed,
            },
        };
        if let Some(refused) = changed
            && !accept.changed_jobs
        {
            return Err(refused);
        }
        starts.insert(job.clone(), now);
    }
    Ok(starts)
}

/// Whether a start with these settings goes on from `last`: every job that is in it is defined as it was.
///
/// # Errors
/// [`RunError::DefinitionChanged`], of the first job that is defined otherwise.
pub fn check_definitions(last: &Binding, settings: &JobSettings) -> Result<(), RunError> {
    starts(last, &definitions(settings), settings, Accept::default()).map(drop)
}

/// No event that was read up to `last` happened after this, as far as it counts.
pub(super) fn everything_read(last: &Binding, settings: &JobSettings) -> EventTime {
    if is_planted(Bug::StartsAtFrontier) {
        return last.close_to;
    }
    let largest = last.partitions.values().map(|state| state.largest).max().unwrap_or(EventTime::MIN);
    latest(largest, &last.definitions, settings).max(last.close_to)
}

/// No event that was appended at `appended` or before happened after this, as far as it counts: it is at most
/// the tolerance ahead, be it the configured one or one of `journaled`.
pub(super) fn latest(
    appended: EventTime,
    journaled: &BTreeMap<String, Definition>,
    settings: &JobSettings,
) -> EventTime {
    let named = |definition: &Definition| definition.settings.get("future_tolerance_ms")?.parse().ok();
    let tolerances = journaled.values().filter_map(named);
    let tolerance_ms: i64 = tolerances.chain([settings.future_tolerance_ms]).max().unwrap_or(0);
    appended.plus_ms(tolerance_ms)
}

/// The first setting in which the definitions of a job differ.
fn change(job: &str, journaled: &Definition, configured: &Definition) -> Option<RunError> {
    let names = journaled.settings.keys().chain(configured.settings.keys());
    let differs = |name: &&String| journaled.settings.get(*name) != configured.settings.get(*name);
    let setting = names.into_iter().find(differs)?;
    let value = |of: &Definition| of.settings.get(setting).cloned().unwrap_or_else(|| "nothing".to_owned());
    Some(RunError::DefinitionChanged {
        job: job.to_owned(),
        setting: setting.clone(),
        journaled: value(journaled),
        configured: value(configured),
    })
}
