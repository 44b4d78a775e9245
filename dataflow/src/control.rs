//! The control stream: what worker 0 tells every worker, and what the sources tell worker 0.
//!
//! The timely timestamp is the epoch. A [`Tick`] ends an epoch and says how the next one is read; when
//! every source has said in a [`Statement`] where it stands, the frontier of the epoch is decided once,
//! on worker 0, and sent to everyone as a [`Decided`]. In replay the frontier comes from the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_model::binding::LastRecord;
use tidegate_model::time::millis;
use tidegate_model::{Epoch, EventTime, Offset, PartitionId, PartitionState};

use crate::survey::Appended;

/// Ends an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The epoch that ends.
    pub ends: Epoch,
    /// The clock.
    #[serde(with = "millis")]
    pub now: EventTime,
    /// Where the frontier of the ending epoch comes from.
    pub close: Close,
    /// What comes next; `None` when nothing does.
    pub next: Option<Plan>,
    /// Whether every worker captures its state at the end of the epoch. The last epoch of a run is then
    /// journaled even when nothing happened in it, so that there is a binding to name the snapshot.
    pub snapshot: bool,
}

/// Where the frontier of an epoch comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Close {
    /// It is decided.
    Decide,
    /// It is decided, and the input ends here: everything that is open closes.
    DecideAndCloseAll,
    /// It was decided before: this is what the journal says.
    Journaled(Journaled),
    /// The same; but the rows are wanted once more, to compare them with those that were committed.
    Again(Journaled),
}

/// What a binding says of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journaled {
    /// `F` of the epoch.
    #[serde(with = "millis")]
    pub close_to: EventTime,
    /// Where the partitions stood.
    pub partitions: BTreeMap<PartitionId, PartitionState>,
}

/// An epoch that begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The epoch; greater than the one before, not always by one.
    pub epoch: Epoch,
    /// What the sources read in it.
    pub reading: Reading,
}

/// What the sources read in an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reading {
    /// Whatever there is, until its tick comes.
    Live,
    /// Exactly up to these offsets (exclusive), of exactly these partitions.
    UpTo(BTreeMap<PartitionId, Offset>),
    /// The same, of an input whose end this is for now: a look at a partition's end finds the offset
    /// given here, however much further the log goes. So what follows does not depend on how far its
    /// writer happens to be ahead.
    Input(BTreeMap<PartitionId, Offset>),
}

/// Where one partition stands at the end of an epoch, as its source saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The partition.
    pub partition: PartitionId,
    /// The offset after the last record read.
    pub position: Offset,
    /// The largest min(event time, append time) of the epoch's records; `MIN` without one. Events of the
    /// future do not count.
    #[serde(with = "millis")]
    pub largest: EventTime,
    /// The largest event time of all records read since the first; `MIN` without one. Events of the
    /// future do not count.
    #[serde(with = "millis")]
    pub latest: EventTime,
    /// The partition's end, where a look at it succeeded when the epoch ended.
    pub look: Option<Offset>,
    /// Records read in the epoch.
    pub records: u64,
    /// Their append times.
    pub appended: Option<Appended>,
    /// The last of them.
    pub last: Option<LastRecord>,
}

/// The frontier of an epoch, as every worker hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// The epoch.
    pub epoch: Epoch,
    /// `F` of the epoch before: what ended at or before it is late.
    #[serde(with = "millis")]
    pub close_before: EventTime,
    /// `F` of the epoch: what ends at or before it closes.
    #[serde(with = "millis")]
    pub close_to: EventTime,
    /// Whether rows are wanted: not so in replay, where they were committed before.
    pub emit: bool,
    /// Whether provisional rows are wanted as well.
    pub provisional: bool,
    /// Partitions whose watermark is beyond this wait for the others. A hint for the sources only.
    #[serde(with = "millis")]
    pub hold_above: EventTime,
    /// Whether the state at the end of the epoch is captured.
    pub snapshot: bool,
}
