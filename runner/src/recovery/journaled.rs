//! What the bindings say, all together. They are shown one by one, and of each is kept what a replay needs: a
//! deployment has one for every tick in which something happened.

use tidegate_dataflow::control::Journaled;
use tidegate_log::Journal;
use tidegate_model::binding::{Manifest, Origin};
use tidegate_model::{Binding, Epoch};

use super::epochs::{ReplayEpoch, ReplayEpochs};
use crate::error::RunError;

/// What is left of the bindings.
#[derive(Debug)]
pub(super) struct AllBindings {
    /// How the deployment began.
    pub(super) origin: Origin,
    /// Whether everything can be replayed from the first binding of the deployment on.
    pub(super) begins: bool,
    /// The epochs bound.
    pub(super) replay: ReplayEpochs,
    /// The snapshots that are named, oldest first.
    pub(super) manifests: Vec<Manifest>,
}

/// Reads all bindings, up to that of `last`.
pub(super) fn read(journal: &mut dyn Journal, last: Epoch) -> Result<AllBindings, RunError> {
    let (mut first, mut replay, mut manifests) = (None, ReplayEpochs::default(), Vec::new());
    let mut begins = true;
    let mut contradiction = None;
    journal.read_bindings(None, &mut |binding| {
        if contradiction.is_some() {
            return;
        }
        let Binding { epoch, now, close_to, partitions, origin, snapshot, gap, .. } = binding;
        if gap.is_some() {
            // Whatever came before is gone.
            replay = ReplayEpochs::default();
            (begins, manifests) = (false, Vec::new());
        }
        let next = ReplayEpoch { epoch, now, journaled: Journaled { close_to, partitions } };
        contradiction = replay.last().and_then(|before| contradiction_of(before, &next));
        first.get_or_insert((epoch, origin));
        manifests.extend(snapshot);
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
    let (epoch, own) = first.expect("there is a last one");
    let origin = own.or_else(|| manifests.first().map(|manifest: &Manifest| manifest.origin));
    let origin = origin.ok_or_else(|| RunError::JournalDamaged {
        reason: format!("its first binding, of epoch {epoch}, has no origin, and none names a snapshot"),
    })?;
    Ok(AllBindings { origin, begins: begins && own.is_some(), replay, manifests })
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
