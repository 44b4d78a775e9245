//! The snapshots that a start tried in vain. There may be tens of thousands that the journal still names and whose
//! objects were removed on purpose: the first few are told one by one, and the others counted.

use std::collections::BTreeMap;
use std::fmt;

use tidegate_dataflow::snapshot::FormatError;
use tidegate_model::Epoch;

use crate::error::{Remedy, chain};
use crate::snapshot::Unusable;

/// So many are told one by one.
const TOLD_MAX: usize = 3;

/// What was tried.
#[derive(Debug, Default)]
pub(super) struct Tried(BTreeMap<Epoch, Unusable>);

impl Tried {
    /// That of `epoch` cannot be started from.
    pub(super) fn add(&mut self, epoch: Epoch, reason: Unusable) {
        if self.0.len() < TOLD_MAX {
            tracing::warn!(
                "cannot start from {}; an older one is tried, or all epochs are replayed",
                shown(epoch, &reason)
            );
        }
        self.0.insert(epoch, reason);
    }

    /// Whether that of `epoch` was tried.
    pub(super) fn has(&self, epoch: Epoch) -> bool {
        self.0.contains_key(&epoch)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Warns of those that were not told one by one.
    pub(super) fn warn_of_others(&self) {
        if self.others() > 0 {
            tracing::warn!("cannot start from {} older snapshots either", self.others());
        }
    }

    /// What helps.
    pub(super) fn remedy(&self) -> Remedy {
        let is_any = |is: fn(&Unusable) -> bool| self.0.values().any(is);
        if is_any(|reason| matches!(reason, Unusable::Store(_))) {
            Remedy::Again
        } else if is_any(|reason| {
            matches!(reason, Unusable::Format { error: FormatError::Version { .. }, .. })
        }) {
            Remedy::OtherVersion
        } else {
            Remedy::Restore
        }
    }

    fn others(&self) -> usize {
        self.0.len().saturating_sub(TOLD_MAX)
    }
}

impl fmt::Display for Tried {
    /// The newest first, each with its reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (epoch, reason)) in self.0.iter().rev().take(TOLD_MAX).enumerate() {
            let comma = if at == 0 { "" } else { "; " };
            write!(f, "{comma}{}", shown(*epoch, reason))?;
        }
        match self.others() {
            0 => Ok(()),
            others => write!(f, "; and {others} older ones"),
        }
    }
}

fn shown(epoch: Epoch, reason: &Unusable) -> String {
    format!("the snapshot of epoch {epoch}: {}", chain(reason))
}
