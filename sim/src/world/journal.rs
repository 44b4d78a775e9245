//! The journal: one transaction makes rows and bindings visible together; the newest generation alone may
//! commit.

use std::sync::Arc;

use tidegate_log::journal::JournalError;
use tidegate_log::{Commit, CommitError, Journal, Recovered};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Epoch, Generation};

use super::faults::{Effect, Site};
use super::{ProcessId, State, World};

/// The journal, as one process sees it.
pub struct SimJournal {
    /// The world.
    pub world: Arc<World>,
    /// Whose journal it is.
    pub process: ProcessId,
    generation: Generation,
}

/// Bindings removed at once: few, so that crashes come between.
const PRUNED_AT_ONCE: usize = 3;

const PATH: &str = "the epochs topic";

impl SimJournal {
    /// A journal that was not taken over yet.
    pub fn new(world: Arc<World>, process: ProcessId) -> Self {
        Self { world, process, generation: Generation(0) }
    }

    fn check(&self, state: &State, commit: &Commit) -> Result<(), CommitError> {
        if state.generation != self.generation.0 {
            return Err(CommitError::Fenced { own: self.generation, other: Generation(state.generation) });
        }
        let mut last = state.bindings.last().map_or(Epoch(0), |binding| binding.epoch);
        for binding in &commit.bindings {
            if binding.epoch <= last {
                let reason = format!("epoch {} does not follow epoch {last}", binding.epoch);
                return Err(CommitError::Invalid { reason });
            }
            last = binding.epoch;
        }
        if !commit.rows.is_sorted_by_key(|row| row.epoch) {
            return Err(CommitError::Invalid {
                reason: "rows are not in the order of their epochs".to_owned(),
            });
        }
        let is_bound = |epoch: Epoch| commit.bindings.iter().any(|binding| binding.epoch == epoch);
        match commit.rows.iter().find(|row| !is_bound(row.epoch)) {
            Some(row) => {
                let reason = format!("a row belongs to epoch {}, which is not bound", row.epoch);
                Err(CommitError::Invalid { reason })
            }
            None => Ok(()),
        }
    }
}

impl Journal for SimJournal {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        let mut state = self.world.lock();
        let fault = state.fault(Site::Recover, self.process);
        if fault.is_none_or(Effect::takes_place) {
            state.generation += 1;
            self.generation = Generation(state.generation);
        }
        if fault.is_some() {
            let reason = "the simulated broker is away".to_owned();
            return Err(JournalError::Storage { what: PATH.to_owned(), reason });
        }
        Ok(Recovered { generation: self.generation, last: state.bindings.last().cloned() })
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        let (bindings, from) = {
            let state = self.world.lock();
            (state.bindings.clone(), state.pruned_before)
        };
        let wanted =
            |binding: &Binding| binding.epoch >= from && after.is_none_or(|after| binding.epoch > after);
        bindings.into_iter().filter(wanted).for_each(visit);
        Ok(())
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let mut state = self.world.lock();
        self.check(&state, commit)?;
        let fault = state.fault(Site::Commit, self.process);
        let takes_place = fault.is_none_or(Effect::takes_place);
        if takes_place || is_planted(Bug::RowsBeforeBinding) {
            state.topics.append(&commit.rows, self.generation);
        }
        if takes_place {
            let epoch = commit.bindings.last().map_or(0, |binding| binding.epoch.0);
            state.note("commit", epoch);
            // It is accepted once.
            state.accepts_gap &= commit.bindings.iter().all(|binding| binding.gap.is_none());
            state.bindings.extend(commit.bindings.iter().cloned());
            state.on_commit.ring();
        }
        let (path, reason) = (PATH.to_owned(), "simulated".to_owned());
        match fault {
            None => Ok(()),
            Some(effect) if effect.is_definite() => Err(CommitError::Storage { path, reason }),
            Some(_) => Err(CommitError::Indefinite { path, reason }),
        }
    }

    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        let mut state = self.world.lock();
        self.check(&state, &Commit::default())?;
        let fault = state.fault(Site::Prune, self.process);
        let bound = state.bindings.iter().map(|binding| binding.epoch);
        let before = bound.take_while(|bound| *bound <= before).last().unwrap_or(Epoch(0));
        let mut left =
            state.bindings.iter().map(|binding| binding.epoch).skip_while(|own| *own < state.pruned_before);
        let reached = left.nth(PRUNED_AT_ONCE).map_or(before, |kept| kept.min(before));
        if fault.is_none_or(Effect::takes_place) {
            state.pruned_before = state.pruned_before.max(reached);
            state.note("prune", reached.0);
        }
        let (path, reason) = (PATH.to_owned(), "simulated".to_owned());
        fault.map_or(Ok(reached < before), |_| Err(CommitError::Storage { path, reason }))
    }
}
