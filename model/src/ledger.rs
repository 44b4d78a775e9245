//! The ledger: where every accepted event went, per job (invariant 2 of the architecture).

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What became of the events that were read, for one job. All are numbers of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Read from the log.
    pub accepted: u64,
    /// In a window or session of the job, late corrections included.
    pub counted: u64,
    /// Too late, beyond the allowed lateness.
    pub expired: u64,
    /// Event time more than the tolerance ahead of the append time.
    pub future: u64,
    /// Not this job's business: another type, no value to measure.
    pub filtered: u64,
    /// Not decodable, or a value outside the job's range.
    pub rejected: u64,
    /// Gone from the log before anybody read them, which somebody accepted (`--accept-gap`). They are not
    /// among the accepted ones.
    // Always written: what workers exchange has no names that could tell that it is left out.
    #[serde(default)]
    pub missing: u64,
}

impl Counts {
    /// Whether every accepted event is accounted for exactly once.
    pub fn adds_up(&self) -> bool {
        self.accepted == self.counted + self.expired + self.future + self.filtered + self.rejected
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.counted += other.counted;
        self.expired += other.expired;
        self.future += other.future;
        self.filtered += other.filtered;
        self.rejected += other.rejected;
        self.missing += other.missing;
    }
}

/// The counts of every job that reads events, by the job's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    /// Job name to counts.
    pub jobs: BTreeMap<String, Counts>,
}

impl Ledger {
    /// Adds `counts` to those of `job`.
    pub fn add(&mut self, job: &str, counts: Counts) {
        if let Some(own) = self.jobs.get_mut(job) {
            *own += counts;
        } else {
            self.jobs.insert(job.to_owned(), counts);
        }
    }

    /// Adds every count of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (job, counts) in &other.jobs {
            self.add(job, *counts);
        }
    }

    /// Whether the counts of every job add up.
    pub fn adds_up(&self) -> bool {
        self.jobs.values().all(Counts::adds_up)
    }
}
