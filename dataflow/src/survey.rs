//! The survey of an epoch: where the partitions stood when it ended, and what held the frontier.
//!
//! It is for whoever looks on. Nothing is decided by it and it is not journaled, so it may say what a
//! replay could not repeat: whether a look succeeded, say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::time::millis;
use tidegate_model::{EventTime, Offset, PartitionId, PartitionState};

use crate::control::Statement;
use crate::settings::TimeSettings;

/// The append times of the records of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// The oldest.
    #[serde(with = "millis")]
    pub oldest: EventTime,
    /// The newest.
    #[serde(with = "millis")]
    pub newest: EventTime,
}

impl Appended {
    /// The append times of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { oldest: self.oldest.min(other.oldest), newest: self.newest.max(other.newest) }
    }
}

/// Where one partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partition.
    pub partition: PartitionId,
    /// The offset after the last record read.
    pub position: Offset,
    /// Its end, where the look at it succeeded.
    pub look: Option<Offset>,
    /// The largest min(event time, append time) seen; `MIN` without a record.
    pub largest: EventTime,
    /// That, minus the bound.
    pub watermark: EventTime,
    /// Whether it is idle, and so does not hold the frontier.
    pub idle: bool,
}

impl Standing {
    /// Records between the position and the end, as far as that is known.
    pub fn lag_records(&self) -> Option<u64> {
        self.look.map(|end| end.0.saturating_sub(self.position.0))
    }

    /// Why the partition holds the frontier, given that it does.
    fn reason(&self) -> HoldReason {
        match self.look {
            None => HoldReason::LookFailed,
            Some(end) if end > self.position => HoldReason::Backlog,
            Some(_) if self.largest == EventTime::MIN => HoldReason::NoRecord,
            Some(_) => HoldReason::LowestWatermark,
        }
    }
}

/// Why a partition holds the frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// It is read to its end, and its watermark is the lowest.
    LowestWatermark,
    /// It is not read to its end; its watermark is the lowest so far.
    Backlog,
    /// It is read to its end, gave no record yet, and has not been silent for the idle timeout.
    NoRecord,
    /// The look at its end failed, so it cannot count as idle.
    LookFailed,
}

impl HoldReason {
    /// Its name, for documents and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LowestWatermark => "lowest_watermark",
            Self::Backlog => "backlog",
            Self::NoRecord => "no_record",
            Self::LookFailed => "look_failed",
        }
    }
}

/// What holds the frontier where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Holder {
    /// There is no partition yet.
    #[default]
    NoPartition,
    /// These partitions: none that is not idle has a lower watermark.
    Partitions(BTreeMap<PartitionId, HoldReason>),
    /// Nothing: all partitions are idle, and the frontier goes on at the clock's rate.
    Clock,
    /// Nothing: the input has ended, and everything closes.
    EndOfInput,
    /// The journal: the epoch is replayed, and its frontier was decided before.
    Journal,
}

impl Holder {
    /// Its name, for documents and labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoPartition => "no_partition",
            Self::Partitions(_) => "partitions",
            Self::Clock => "clock",
            Self::EndOfInput => "end_of_input",
            Self::Journal => "journal",
        }
    }

    /// What holds the frontier, judging by where the partitions stand.
    pub fn of(standings: &[Standing]) -> Self {
        if standings.is_empty() {
            return Self::NoPartition;
        }
        let waited_for = || standings.iter().filter(|standing| !standing.idle);
        let Some(lowest) = waited_for().map(|standing| standing.watermark).min() else {
            return Self::Clock;
        };
        let holding = waited_for().filter(|standing| standing.watermark == lowest);
        Self::Partitions(holding.map(|standing| (standing.partition, standing.reason())).collect())
    }
}

/// How things stood at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// The clock at its tick; unlike the journaled one it also goes on when nothing happens.
    pub now: EventTime,
    /// Records read in the epoch.
    pub records: u64,
    /// Their append times; those of records that do not decode are not known.
    pub appended: Option<Appended>,
    /// The partitions, by number.
    pub standings: Vec<Standing>,
    /// What holds the frontier.
    pub holder: Holder,
}

impl Survey {
    /// The survey of an epoch that ended at `now`, from what the sources stated.
    pub(crate) fn new(
        now: EventTime,
        statements: &[Statement],
        standings: Vec<Standing>,
        holder: Holder,
    ) -> Self {
        Self {
            now,
            records: statements.iter().map(|statement| statement.records).sum(),
            appended: statements.iter().filter_map(|statement| statement.appended).reduce(Appended::and),
            standings,
            holder,
        }
    }
}

/// Where the partitions stand, as of `now`; of `statements` only the looks count.
pub fn standings(
    settings: &TimeSettings,
    partitions: &BTreeMap<PartitionId, PartitionState>,
    statements: &[Statement],
    now: EventTime,
) -> Vec<Standing> {
    let looks: BTreeMap<_, _> =
        statements.iter().map(|statement| (statement.partition, statement.look)).collect();
    let standing = |(partition, state): (&PartitionId, &PartitionState)| {
        let look = looks.get(partition).copied().flatten();
        // Without a successful look at its end we do not know that there is nothing to wait for: the
        // broker may be down, or we have not got to it.
        let at_end = look == Some(state.end) || (look.is_none() && is_planted(Bug::IdleWithoutALook));
        Standing {
            partition: *partition,
            position: state.end,
            look,
            largest: state.largest,
            watermark: state.largest.minus_ms(settings.bound_ms),
            idle: at_end && now.since_ms(state.active_at) >= settings.idle_timeout_ms,
        }
    };
    partitions.iter().map(standing).collect()
}
