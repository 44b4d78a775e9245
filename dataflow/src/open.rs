//! What is open: windows, sessions and users that the jobs hold, for whoever looks on.
//!
//! Each worker reports how its numbers changed in an epoch; worker 0 adds the changes up. So one small
//! report for each worker and operator is the most there is, and none where nothing changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

use crate::report::Report;

/// What a job holds open, or how that changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCounts {
    /// Windows whose row is not final, each key by itself: as many as there are rows to come.
    pub windows: i64,
    /// Sessions that are not closed.
    pub sessions: i64,
    /// Users of windows that are kept, each window and type by itself.
    pub users: i64,
}

impl Add for OpenCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            windows: self.windows + other.windows,
            sessions: self.sessions + other.sessions,
            users: self.users + other.users,
        }
    }
}

impl Sub for OpenCounts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            windows: self.windows - other.windows,
            sessions: self.sessions - other.sessions,
            users: self.users - other.users,
        }
    }
}

/// What every job holds open, by the job's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenState {
    /// Job name to counts.
    pub jobs: BTreeMap<Cow<'static, str>, OpenCounts>,
}

impl OpenState {
    /// What all jobs hold together.
    pub fn total(&self) -> OpenCounts {
        self.jobs.values().fold(OpenCounts::default(), |total, counts| total + *counts)
    }

    /// Takes a change in.
    pub(crate) fn change(&mut self, job: Cow<'static, str>, change: OpenCounts) {
        let counts = self.jobs.entry(job).or_default();
        *counts = *counts + change;
    }
}

/// Reports the changes of one operator's counts.
#[derive(Debug)]
pub(crate) struct OpenReporter {
    job: &'static str,
    reported: OpenCounts,
}

impl OpenReporter {
    pub(crate) fn new(job: &'static str) -> Self {
        Self { job, reported: OpenCounts::default() }
    }

    /// The report that makes `counts` known; none when they are.
    pub(crate) fn report(&mut self, counts: OpenCounts) -> Option<Report> {
        let change = counts - std::mem::replace(&mut self.reported, counts);
        (change != OpenCounts::default()).then_some(Report::Open(Cow::Borrowed(self.job), change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_reported_and_add_up() {
        let mut reporters = [OpenReporter::new("a"), OpenReporter::new("a")];
        let mut state = OpenState::default();
        for (reporter, windows) in [(0, 3), (1, 2), (0, 3), (0, 1), (1, 0)] {
            let counts = OpenCounts { windows, ..OpenCounts::default() };
            if let Some(Report::Open(job, change)) = reporters[reporter].report(counts) {
                state.change(job, change);
            }
        }
        assert_eq!(state.jobs["a"].windows, 1);
        let sessions = OpenCounts { sessions: 2, ..OpenCounts::default() };
        state.change(Cow::Borrowed("b"), sessions);
        assert_eq!(state.total(), OpenCounts { windows: 1, sessions: 2, users: 0 });
        assert!(reporters[0].report(reporters[0].reported).is_none(), "nothing changed");
    }
}
