//! The answer of `/v1/ledger`.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_model::{Counts, Epoch};

use crate::status::Progress;

/// What became of every event, per job.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    /// The epoch that the totals are as of; `null` before the first.
    epoch: Option<Epoch>,
    /// Whether every event is accounted for, for every job.
    adds_up: bool,
    /// Job to counts.
    jobs: BTreeMap<String, Job>,
}

#[derive(Debug, Serialize)]
struct Job {
    #[serde(flatten)]
    counts: Counts,
    adds_up: bool,
}

impl Document {
    pub(super) fn new(progress: &Progress) -> Self {
        let job = |(name, counts): (&String, &Counts)| {
            (name.clone(), Job { counts: *counts, adds_up: counts.adds_up() })
        };
        Self {
            epoch: (progress.epoch.0 > 0).then_some(progress.epoch),
            adds_up: progress.ledger.adds_up(),
            jobs: progress.ledger.jobs.iter().map(job).collect(),
        }
    }
}
