//! A binding: what one epoch consisted of, journaled together with the rows that it produced.
//!
//! The rows of an epoch are a function of the bindings up to it and of the log; replaying bound epochs
//! therefore reproduces every row. Bindings are stored as JSON, so that fields may be added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Generation, Offset, PartitionId};
use crate::ledger::Ledger;
use crate::time::{EventTime, millis};

/// The version of the JSON form of [`Binding`]; a reader refuses a newer one by name.
///
/// Version 2 may name a snapshot, and what is older than a snapshot may be gone: whoever knows version 1
/// only would take what is left for everything there ever was.
pub const BINDING_VERSION: u32 = 2;

/// One journaled epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// [`BINDING_VERSION`] at the time of writing.
    pub version: u32,
    /// The epoch that is bound.
    pub epoch: Epoch,
    /// The process that committed it.
    pub generation: Generation,
    /// Per job, what decides its rows.
    pub definitions: BTreeMap<String, Definition>,
    /// The clock, never before the `now` of the binding before.
    #[serde(with = "millis")]
    pub now: EventTime,
    /// The frontier `F(epoch)`: every window that ends at or before it is closed.
    #[serde(with = "millis")]
    pub close_to: EventTime,
    /// Where each partition stood when the epoch ended.
    pub partitions: BTreeMap<PartitionId, PartitionState>,
    /// Totals since the deployment began, this epoch included.
    pub ledger: Ledger,
    /// The jobs that began, or began anew, after the deployment did.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub starts: BTreeMap<String, JobStart>,
    /// In the first binding of a deployment only: how it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// A snapshot that was whole when this was committed, of this epoch or an earlier one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Manifest>,
    /// The last record read of each partition that gave one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub last_records: BTreeMap<PartitionId, LastRecord>,
    /// In the first binding of a run that went on without what was gone: where reading jumped. What came
    /// before cannot be replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<BTreeMap<PartitionId, Gap>>,
}

impl Binding {
    /// What whoever has all the rows up to this binding is as of.
    pub fn as_of(&self) -> AsOf {
        AsOf { epoch: self.epoch, frontier: self.close_to }
    }
}

/// How far rows have been taken in: all those of epochs up to this one, so that every window that ends at
/// or before the frontier is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The epoch.
    pub epoch: Epoch,
    /// Its frontier; `MIN` when it has not moved yet.
    #[serde(with = "millis")]
    pub frontier: EventTime,
}

/// Where one partition stood at the end of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// The offset after the last record read.
    pub end: Offset,
    /// The largest min(event time, append time) seen, before the bound is taken off; `MIN` without one.
    #[serde(with = "millis")]
    pub largest: EventTime,
    /// The `now` of the epoch that brought the last record, or of the epoch that first saw the partition.
    #[serde(with = "millis")]
    pub active_at: EventTime,
}

/// A record that was read. Where the log holds another one at its offset, it is not the log that was read: it was cut off or
/// replaced, and filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRecord {
    /// Its offset.
    pub offset: Offset,
    /// When the log took it in.
    #[serde(with = "millis")]
    pub appended: EventTime,
}

/// When a job began: its first window is the first one that begins after everything that had been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStart {
    /// The first epoch that it takes part in.
    pub epoch: Epoch,
    /// Its windows begin after this; events of windows that do not are none of its business.
    #[serde(with = "millis")]
    pub after: EventTime,
}

impl JobStart {
    /// The start of a job that was there from the beginning.
    pub const ORIGIN: Self = Self { epoch: Epoch(0), after: EventTime::MIN };
}

/// A snapshot: what it is of, and the objects that hold it. It counts from the commit of its binding on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The epoch at whose end it was made.
    pub epoch: Epoch,
    /// The clock then.
    #[serde(with = "millis")]
    pub now: EventTime,
    /// The frontier of that epoch.
    #[serde(with = "millis")]
    pub close_to: EventTime,
    /// Where each partition stood.
    pub partitions: BTreeMap<PartitionId, PartitionState>,
    /// How the deployment began: the binding that said so first may be gone.
    pub origin: Origin,
    /// One object of each worker.
    pub objects: Vec<SnapshotObject>,
}

/// Where reading of a partition jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The offset up to which was read before.
    pub bound: Offset,
    /// Where reading went on: a later offset when events are gone, an earlier one when the log was cut off.
    pub resumed: Offset,
}

/// An object of a snapshot. It is what it is to be when length and checksum are right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotObject {
    /// Its name in the store of snapshots.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The CRC-32 of all of it.
    pub crc32: u32,
}

/// What decides the rows of a job. Two definitions are the same when their settings are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition {
    /// Setting to value, in words that the configuration uses.
    pub settings: BTreeMap<String, String>,
}

/// How a deployment began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The key under which users and sessions are hashed; secret, for as long as the deployment lives.
    pub hash_key: (u64, u64),
}
