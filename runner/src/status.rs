//! How far a run has come, for whoever shows it.

use std::sync::{Mutex, PoisonError};

use tidegate_model::{Epoch, EventTime, Ledger};

/// A run's progress; shared between the threads that make it and those that show it.
#[derive(Debug, Default)]
pub struct Status(Mutex<Progress>);

/// What there is to show.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Events that the journal binds, to be replayed before anything new is read.
    pub replay_events: u64,
    /// Events replayed.
    pub replayed_events: u64,
    /// The newest epoch committed, or replayed.
    pub epoch: Epoch,
    /// Its frontier.
    pub frontier: EventTime,
    /// Totals since the deployment began.
    pub ledger: Ledger,
    /// Rows committed by this run.
    pub rows: u64,
    /// Why commits wait, while they do.
    pub waits: Option<String>,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            replay_events: 0,
            replayed_events: 0,
            epoch: Epoch::default(),
            frontier: EventTime::MIN,
            ledger: Ledger::default(),
            rows: 0,
            waits: None,
        }
    }
}

impl Progress {
    /// Whether the replay is over.
    pub fn live(&self) -> bool {
        self.replayed_events >= self.replay_events
    }
}

impl Status {
    /// What there is to show now.
    pub fn progress(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
