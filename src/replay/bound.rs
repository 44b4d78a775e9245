//! What the bindings say, as far as it can be computed again.

use std::collections::BTreeMap;

use tidegate_dataflow::control::Journaled;
use tidegate_model::binding::{Definition, Manifest, Origin};
use tidegate_model::{Binding, Epoch, JobStart};
use tidegate_runner::recovery::{ReplayEpoch, ReplayEpochs};

/// What is left of the bindings.
#[derive(Debug, Default)]
pub(super) struct Bound {
    /// Whether the first binding of the deployment is there.
    pub(super) begins: bool,
    pub(super) origin: Option<Origin>,
    /// The first and the last epoch of all of them.
    pub(super) span: Option<(Epoch, Epoch)>,
    /// Those up to the last epoch asked for.
    pub(super) epochs: ReplayEpochs,
    /// The snapshots that are named, also after it, oldest first; of those only that every later binding is there to
    /// follow.
    pub(super) manifests: Vec<Manifest>,
    /// When the jobs began by whose definitions the last of those epochs was made.
    pub(super) starts: BTreeMap<String, JobStart>,
    pub(super) definitions: BTreeMap<String, Definition>,
    /// Of epochs after this one every binding is there.
    whole_after: Option<Epoch>,
}

impl Bound {
    /// Takes in the next binding; of those after `to` only that they are there, and the snapshots that they name.
    pub(super) fn add(&mut self, binding: Binding, to: Option<Epoch>) {
        let Binding { epoch, now, close_to, partitions, origin, snapshot, gap, starts, definitions, .. } =
            binding;
        if gap.is_some() {
            // What came before is gone.
            *self = Self { origin: self.origin, ..Self::default() };
        }
        if origin.is_some() || gap.is_some() {
            (self.begins, self.whole_after) = (gap.is_none(), Some(Epoch(0)));
        }
        self.origin = self.origin.or(origin).or(snapshot.as_ref().map(|manifest| manifest.origin));
        self.span = Some((self.span.map_or(epoch, |(first, _)| first), epoch));
        let whole_after = *self.whole_after.get_or_insert(epoch);
        // A snapshot is named some epochs after its own: the one to start from may be by a binding after `to`.
        self.manifests.extend(snapshot.filter(|manifest| manifest.epoch >= whole_after));
        if to.is_some_and(|to| epoch > to) {
            return;
        }
        self.epochs.push(ReplayEpoch { epoch, now, journaled: Journaled { close_to, partitions } });
        (self.starts, self.definitions) = (starts, definitions);
    }
}
