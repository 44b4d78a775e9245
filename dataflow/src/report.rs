//! What the operators report of an epoch to worker 0, and what comes out of the graph there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_model::binding::LastRecord;
use tidegate_model::{Epoch, EventTime, Ledger, MetricRow, Op, PartitionId, PartitionState};

use crate::batch::Position;
use crate::open::{OpenCounts, OpenState};
use crate::survey::Survey;

/// A serialised row on its way to the log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OutRow {
    /// The table, by name.
    pub table: Cow<'static, str>,
    /// The message's key.
    pub key: String,
    /// The row as JSON.
    pub value: String,
    /// What it does.
    pub op: Op,
}

impl OutRow {
    /// Serialises a row.
    pub fn new<R: MetricRow>(row: &R, op: Op) -> Self {
        Self {
            table: Cow::Borrowed(R::SCHEMA.table),
            key: row.message_key(),
            value: serde_json::to_string(row).expect("rows are strings and numbers, which JSON can say"),
            op,
        }
    }
}

/// Why a record was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DropReason {
    /// Too late, beyond the allowed lateness.
    Expired,
    /// Its event time is too far ahead of its append time.
    Future,
    /// It does not decode, or a value is outside the job's range.
    Rejected,
}

impl DropReason {
    /// The value of the header `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Future => "future",
            Self::Rejected => "rejected",
        }
    }
}

/// The `job` of a record that was dropped for every job.
pub const EVERY_JOB: &str = "*";

/// A record that a job does not count although it is its business.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dropped {
    /// Where it lies.
    pub at: Position,
    /// The job, or [`EVERY_JOB`].
    pub job: String,
    /// Why.
    pub reason: DropReason,
}

/// What one operator reports of one epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// Rows to commit.
    Rows(Vec<OutRow>),
    /// Provisional rows: where windows that are still open stand.
    Provisional(Vec<OutRow>),
    /// What became of events, and the records dropped.
    Tally(Ledger, Vec<Dropped>),
    /// How what a job holds open changed.
    Open(Cow<'static, str>, OpenCounts),
}

/// A complete epoch, as it leaves the graph on worker 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochResult {
    /// The epoch.
    pub epoch: Epoch,
    /// Whether it is to be committed. Not so when nothing happened, nor in replay.
    pub commit: bool,
    /// Whether every worker captured its state at its end.
    pub snapshot: bool,
    /// The clock at its end.
    pub now: EventTime,
    /// Its frontier.
    pub close_to: EventTime,
    /// Where the partitions stood.
    pub partitions: BTreeMap<PartitionId, PartitionState>,
    /// The last record read in it of each partition that gave one.
    pub last_records: BTreeMap<PartitionId, LastRecord>,
    /// What became of its events.
    pub ledger: Ledger,
    /// Its rows, sorted: the same bytes for any number of workers.
    pub rows: Vec<OutRow>,
    /// Provisional rows, sorted; at most the configured number.
    pub provisional: Vec<OutRow>,
    /// Records dropped, sorted by position.
    pub dropped: Vec<Dropped>,
    /// How things stood at its end. Not journaled.
    pub survey: Survey,
    /// What the jobs hold open after it. Not journaled.
    pub open: OpenState,
}
