//! Who is told of commits, as they happen.

use std::time::Duration;

use tidegate_dataflow::report::EpochResult;
use tidegate_dataflow::survey::Appended;
use tidegate_model::{Epoch, EventTime, Op};

/// What one committed epoch consisted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochFacts {
    /// The epoch.
    pub epoch: Epoch,
    /// The clock at its tick.
    pub now: EventTime,
    /// Its frontier.
    pub frontier: EventTime,
    /// Records read in it.
    pub records: u64,
    /// Their append times; `None` when there was none that decodes.
    pub appended: Option<Appended>,
    /// Rows of the tables: final ones and corrections.
    pub rows: usize,
    /// Provisional rows.
    pub provisional: usize,
    /// Records dropped, for each job by itself.
    pub dropped: usize,
    /// Whether a window or a session closed in it.
    pub closed: bool,
}

impl From<&EpochResult> for EpochFacts {
    fn from(result: &EpochResult) -> Self {
        Self {
            epoch: result.epoch,
            now: result.now,
            frontier: result.close_to,
            records: result.survey.records,
            appended: result.survey.appended,
            rows: result.rows.len(),
            provisional: result.provisional.len(),
            dropped: result.dropped.len(),
            closed: result.rows.iter().any(|row| row.op == Op::Final),
        }
    }
}

/// A commit, right after it took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFacts<'a> {
    /// Its epochs, oldest first.
    pub epochs: &'a [EpochFacts],
    /// When it had taken place: from here on readers see its rows.
    pub committed_at: EventTime,
    /// How long it took.
    pub duration: Duration,
}

/// Is told of each commit, on the thread that commits: whatever takes long here holds the next one up.
pub trait Observer: Send + 'static {
    /// A commit took place.
    fn committed(&mut self, commit: &CommitFacts<'_>);
}

/// Nobody looks on.
impl Observer for () {
    fn committed(&mut self, _: &CommitFacts<'_>) {}
}

impl<F: FnMut(&CommitFacts<'_>) + Send + 'static> Observer for F {
    fn committed(&mut self, commit: &CommitFacts<'_>) {
        self(commit);
    }
}
