//! The vocabulary: a record that goes in, rows and dropped records that come out.

use std::collections::BTreeMap;

use tidegate_model::binding::Binding;
use tidegate_model::names;
use tidegate_model::row::{MetricRow, Op};
use tidegate_model::{Counts, DeviceCategory, EventTime, Ledger, Offset, PartitionId};

/// A record of the log, as far as the jobs care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRecord {
    /// Where it lies.
    pub partition: PartitionId,
    /// The harness counts it up per partition.
    pub offset: Offset,
    /// The log's clock when it was appended.
    pub append_time: EventTime,
    /// When the event happened, by the client's clock.
    pub time: EventTime,
    /// Its type.
    pub event_type: String,
    /// Its user.
    pub user_id: String,
    /// Its session.
    pub session_id: String,
    /// The device category.
    pub device: DeviceCategory,
    /// Load time in milliseconds, as it came.
    pub load_time: Option<i64>,
    /// The bytes are no event: every field but the first three means nothing.
    pub undecodable: bool,
}

/// A row of a table together with what it does to the table.
///
/// The order of the fields is the order in which the oracle returns them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutRow {
    /// The table, by name.
    pub table: &'static str,
    /// The message key, see [`MetricRow::message_key`].
    pub key: String,
    /// The row as JSON.
    pub json: String,
    /// What it does.
    pub op: Op,
}

impl OutRow {
    /// Serialises a row.
    pub fn new<R: MetricRow>(op: Op, row: &R) -> Self {
        let json = serde_json::to_string(row).expect("a row serialises");
        Self { table: R::SCHEMA.table, key: row.message_key(), json, op }
    }

    /// The same row with another `op`.
    #[must_use]
    pub fn with(&self, op: Op) -> Self {
        Self { op, ..self.clone() }
    }
}

/// What one epoch does to a table of which `old` are the rows that change or go, and `new` those
/// that change or come, both by the key of the table.
pub fn changes<K: Ord>(old: &BTreeMap<K, OutRow>, new: &BTreeMap<K, OutRow>) -> Vec<OutRow> {
    let gone = old.iter().filter(|(key, _)| !new.contains_key(key)).map(|(_, row)| row.with(Op::Retract));
    let come = new.iter().filter_map(|(key, row)| match old.get(key) {
        None => Some(row.with(Op::Final)),
        Some(before) if before.json != row.json => Some(row.with(Op::Correct)),
        Some(_) => None,
    });
    gone.chain(come).collect()
}

/// Why a record went to `dropped_events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Too late, beyond the allowed lateness.
    Expired,
    /// Its event time is too far ahead of its append time.
    Future,
    /// It does not decode, or a value is outside the job's range.
    Rejected,
}

impl Reason {
    /// The value of the header `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Future => "future",
            Self::Rejected => "rejected",
        }
    }
}

/// A record that no window of a job counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dropped {
    /// The job's name; `*` when no job could judge it.
    pub job: String,
    /// Where the record lies.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: Offset,
    /// Why.
    pub reason: Reason,
}

impl Dropped {
    /// `record`, dropped by `job`.
    pub fn new(job: &str, record: &TestRecord, reason: Reason) -> Self {
        Self { job: job.to_owned(), partition: record.partition, offset: record.offset, reason }
    }
}

/// The jobs that read events, and so have an entry in the ledger.
pub const EVENT_JOBS: [&str; 3] =
    [names::EVENT_AGGREGATOR, names::SESSION_TRACKER, names::PERFORMANCE_TRACKER];

/// `ledger` with an entry for every job, so that ledgers of systems that leave out zeros compare equal.
pub fn complete(mut ledger: Ledger) -> Ledger {
    for job in EVENT_JOBS {
        ledger.add(job, Counts::default());
    }
    ledger
}

/// The offset up to which each partition was read in `binding`.
pub fn ends(binding: &Binding) -> BTreeMap<PartitionId, Offset> {
    binding.partitions.iter().map(|(partition, state)| (*partition, state.end)).collect()
}
