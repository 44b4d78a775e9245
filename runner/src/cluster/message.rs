//! What processes say to each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_dataflow::settings::JobSettings;
use tidegate_model::binding::{Manifest, SnapshotObject};
use tidegate_model::{Epoch, Generation, JobStart, Offset, PartitionId};

/// The first thing that is said on a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Greeting {
    /// It is the link to process 0.
    Link(Hello),
    /// It is one of timely's.
    Data {
        /// Who opened it.
        process: usize,
        /// The meeting that it belongs to.
        meeting: u64,
    },
}

/// What process 0 wants to know of another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) process: usize,
    pub(super) processes: usize,
    pub(super) workers: usize,
    pub(super) version: String,
    /// Which events it reads.
    pub(super) log: String,
    pub(super) jobs: JobSettings,
}

/// What is said on a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// By process 0: all are there.
    Welcome {
        /// What this meeting is told from others by.
        meeting: u64,
    },
    /// By process 0: it does not want the other one.
    Refused {
        /// Why.
        reason: String,
        /// Whether it may want it later.
        for_now: bool,
    },
    /// To process 0: it is connected with every other one.
    Connected,
    /// By process 0: what the run starts from.
    Start(Box<Plan>),
    /// To process 0: it holds what the run starts from.
    Ready,
    /// By process 0: nothing waits for this epoch any more.
    Released(Epoch),
    /// To process 0: a worker's objects of the snapshot of an epoch, or why there are not all of them.
    Snapshot { epoch: Epoch, objects: Vec<SnapshotObject>, failed: Option<String> },
    /// To process 0: it was told to end.
    Stop,
    /// It has done its part of a run that ended in order. Process 0 says so after the last commit.
    Over,
    /// It is still there.
    Beat,
    /// It ends.
    Ended {
        /// Why.
        reason: String,
        /// In which way.
        how: How,
    },
}

/// In which way a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It was told to end when there was nothing to be ended in order yet.
    Told,
    /// Starting again is the remedy.
    Failed,
    /// Going on would give wrong rows.
    Refused,
    /// Another one has taken over.
    Fenced,
}

/// What a run starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) generation: Generation,
    pub(crate) hash_key: (u64, u64),
    /// The epoch in which nothing is read.
    pub(crate) first: Epoch,
    /// The last epoch that is not new.
    pub(crate) replayed_to: Epoch,
    /// Where reading begins.
    pub(crate) start: BTreeMap<PartitionId, Offset>,
    pub(crate) starts: BTreeMap<String, JobStart>,
    pub(crate) snapshot: Option<Manifest>,
    /// An object that every process must see in the store of snapshots.
    pub(crate) probe: Option<SnapshotObject>,
}
