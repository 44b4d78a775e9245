//! What the bindings say, all together. They are shown one by one, and of each is kept what a replay needs: a
//! deployment has one for every tick in which something happened.

use tidegate_dataflow::control::Journaled;
use tidegate_log::Journal;
use tidegate_model::binding::{Manifest, Origin};
use tidegate_model::{Binding, Epoch};

use super::epochs::{ReplayEpoch, ReplayEpochs};
use crate::error::RunError;

/// So many of the newest epochs are looked at first: there should be two snapshots in them. Older bindings are
/// there for whoever asks about the past (`snapshot.history`).
const RECENT_EPOCHS: u64 = 20_000;

/// Snapshots that a start would like to choose from.
const SNAPSHOTS: usize = 2;

/// What is left of the bindings.
#[derive(Debug)]
pub(super) struct AllBindings {
    /// How the deployment began.
    pub(super) origin: Origin,
    /// Whether everything can be replayed from the first binding of the deployment on.
    pub(super) begins: bool,
    /// The epochs bound.
    pub(super) replay: ReplayEpochs,
    /// The snapshots that are named, oldest first; of those only that every later binding is there to follow.
    pub(super) manifests: Vec<Manifest>,
    /// Whether there is nothing before that a start could use.
    pub(super) is_all: bool,
}

/// Reads the newest bindings, up to that of `last`: all of them, where there are not two snapshots in them.
pub(super) fn recent(journal: &mut dyn Journal, last: Epoch) -> Result<AllBindings, RunError> {
    let after = Epoch(last.0.saturating_sub(RECENT_EPOCHS));
    let some = read(journal, Some(after), last)?;
    match some.filter(|some| some.is_all || some.manifests.len() >= SNAPSHOTS) {
        Some(enough) => Ok(enough),
        None => all(journal, last),
    }
}

/// Reads all bindings, up to that of `last`.
pub(super) fn all(journal: &mut dyn Journal, last: Epoch) -> Result<AllBindings, RunError> {
    let all = read(journal, None, last)?.ok_or_else(|| RunError::JournalDamaged {
        reason: "none of its bindings has an origin, and none names a snapshot".to_owned(),
    })?;
    Ok(AllBindings { is_all: true, ..all })
}

/// Reads the bindings after `after`; `None` when none of them says how the deployment began.
fn read(
    journal: &mut dyn Journal,
    after: Option<Epoch>,
    last: Epoch,
) -> Result<Option<AllBindings>, RunError> {
    let (mut origin, mut replay, mut manifests) = (None, ReplayEpochs::default(), Vec::new());
    // Of epochs after this one every binding is there.
    let mut whole_after: Option<Epoch> = None;
    let (mut begins, mut is_all) = (false, false);
    let mut contradiction = None;
    journal.read_bindings(after, &mut |binding| {
        if contradiction.is_some() {
            return;
        }
        let Binding { epoch, now, close_to, partitions, origin: own, snapshot, gap, .. } = binding;
        if own.is_some() || gap.is_some() {
            // There is nothing before, or whatever came before is gone.
            (replay, manifests, whole_after) = (ReplayEpochs::default(), Vec::new(), Some(Epoch(0)));
            (begins, is_all) = (gap.is_none(), true);
        }
        let whole_after = *whole_after.get_or_insert(epoch);
        let next = ReplayEpoch { epoch, now, journaled: Journaled { close_to, partitions } };
        contradiction = replay.last().and_then(|before| contradiction_of(before, &next));
        origin = origin.or(own).or(snapshot.as_ref().map(|manifest| manifest.origin));
        manifests.extend(snapshot.filter(|manifest| manifest.epoch >= whole_after));
        if contradiction.is_none() {
            replay.push(next);
        }
    })?;
    if let Some(reason) = contradiction {
        return Err(RunError::JournalDamaged { reason });
    }
    if replay.last().is_none_or(|end| end.epoch != last) {
        let reason = format!("the newest binding is of epoch {last}, but the bindings do not end there");
        return Err(RunError::JournalDamaged { reason });
    }
    Ok(origin.map(|origin| AllBindings { origin, begins, replay, manifests, is_all }))
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
