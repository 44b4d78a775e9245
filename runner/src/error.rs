//! Why a run ended before it should have.

use tidegate_log::journal::JournalError;
use tidegate_log::{CommitError, ReadError};
use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use crate::cluster::{How, MeetingError};
use crate::snapshot::{StoreError, Unusable};

/// Why a run cannot begin, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The log of events cannot be read.
    #[error("the log of events cannot be read")]
    Read(#[from] ReadError),
    /// The settings of a job are not those that its rows were made with.
    #[error(
        "job {job} was run with {setting} = {journaled}, and is now configured with {configured}: its \
         rows would not be those of the windows that are open; set it back, or have it begin \
         anew with the first window after everything read so far: tidegate up --accept-changed-jobs"
    )]
    DefinitionChanged {
        /// The job.
        job: String,
        /// The setting that differs.
        setting: String,
        /// What the journal says.
        journaled: String,
        /// What the configuration says.
        configured: String,
    },
    /// The journal speaks of events that the log does not hold.
    #[error(
        "epoch {epoch} reads partition {partition} up to offset {bound}, but the log holds offsets \
         {start} to {end} (exclusive) of it: the log was cut off or replaced; restore it, or go on without what is \
         gone and with the next whole windows: tidegate up --accept-gap"
    )]
    EventsMissing {
        /// The epoch.
        epoch: Epoch,
        /// The partition.
        partition: PartitionId,
        /// The offset that the journal names.
        bound: Offset,
        /// The oldest offset there is.
        start: Offset,
        /// The end.
        end: Offset,
    },
    /// The log holds another record where the last one was read.
    #[error(
        "epoch {epoch} read partition {partition} up to offset {offset}, to a record that was appended at {read}, but the one \
         there {found}: the log was cut off or replaced, and filled again; restore it, or go on without what is \
         gone and with the next whole windows: tidegate up --accept-gap"
    )]
    EventsReplaced {
        /// The epoch of the last binding.
        epoch: Epoch,
        /// The partition.
        partition: PartitionId,
        /// The offset of the last record that was read of it.
        offset: Offset,
        /// When that one was appended.
        read: EventTime,
        /// When the one was appended that is there now.
        found: Found,
    },
    /// No snapshot can be used, and what came before them is gone.
    #[error("no snapshot can be started from, and what they stood for is gone: {reasons}; {remedy}")]
    SnapshotsUnusable {
        /// The newest ones and why not, and how many others.
        reasons: String,
        /// What helps.
        remedy: Remedy,
    },
    /// The journal says nothing of events that must have been read.
    #[error(
        "the journal has no bindings, but the log holds partition {partition} from offset {start} on only, so it was \
         read before: restore journal.db, or begin anew with the events that are left, beside the rows that are \
         stored: tidegate up --accept-gap"
    )]
    JournalMissing {
        /// The partition.
        partition: PartitionId,
        /// The oldest offset there is.
        start: Offset,
    },
    /// The journal contradicts itself.
    #[error("the journal is damaged: {reason}")]
    JournalDamaged {
        /// What does not fit.
        reason: String,
    },
    /// The commit failed in a way that only a restart can clear up.
    #[error("epoch {epoch} could not be committed")]
    Commit {
        /// The first epoch of the commit.
        epoch: Epoch,
        /// What the log said.
        #[source]
        error: CommitError,
    },
    /// A worker or its log does not get on.
    #[error(
        "epoch {epoch} is not complete {waited_ms} ms after its tick (engine.epoch_timeout): a worker is \
         stuck, or its partitions cannot be read; what is committed is safe, a restart goes on from there"
    )]
    EpochStuck {
        /// The epoch.
        epoch: Epoch,
        /// How long it was waited for.
        waited_ms: i64,
    },
    /// Another process of the dataflow is gone.
    #[error(
        "process {process} of the dataflow, at {host}, is gone: {reason}; all of them end with it, and go on where they \
         were when all are started again"
    )]
    ProcessGone {
        /// That process.
        process: usize,
        /// Where it was.
        host: String,
        /// Why it is thought so.
        reason: String,
    },
    /// Another process of the dataflow has ended it.
    #[error("process {process} of the dataflow, at {host}, has ended it: {reason}")]
    EndedBy {
        /// That process.
        process: usize,
        /// Where it is.
        host: String,
        /// What it said.
        reason: String,
        /// In which way.
        how: How,
    },
    /// The processes do not share a store of snapshots.
    #[error(
        "the snapshots of process 0 are not seen here: {reason}; every process of a dataflow needs the same store of \
         snapshots"
    )]
    SnapshotsNotShared {
        /// What was looked for, and what was found.
        reason: String,
    },
    /// The store of snapshots, which the processes share, cannot be used.
    #[error("the processes cannot share snapshots")]
    SnapshotStore(#[from] StoreError),
    /// The other processes do not come to the start.
    #[error(transparent)]
    Meeting(#[from] MeetingError),
    /// A snapshot that process 0 has read cannot be read here.
    #[error("the snapshot of epoch {epoch}, which process 0 starts from, cannot be read here")]
    SnapshotUnreadable {
        /// Its epoch.
        epoch: Epoch,
        /// Why not.
        #[source]
        error: Unusable,
    },
    /// A worker could not be started.
    #[error("cannot start {workers} workers: {reason}")]
    Workers {
        /// How many.
        workers: usize,
        /// What the system said.
        reason: String,
    },
}

impl RunError {
    /// In which way it ends the processes of a dataflow.
    pub(crate) fn how(&self) -> How {
        match self {
            Self::EndedBy { how, .. } | Self::Meeting(MeetingError::Ended { how, .. }) => *how,
            Self::Commit { error: CommitError::Fenced { .. }, .. } => How::Fenced,
            Self::SnapshotsNotShared { .. } => How::Refused,
            _ => How::Failed,
        }
    }

    /// Whether something is gone for good that a start needs.
    pub(crate) fn is_gap(&self) -> bool {
        matches!(
            self,
            Self::EventsMissing { .. }
                | Self::EventsReplaced { .. }
                | Self::SnapshotsUnusable { remedy: Remedy::Restore | Remedy::RestoreJournal, .. }
        )
    }
}

/// A record that is not the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was appended then.
    Appended(EventTime),
    /// There is none, although there are later ones.
    Nothing,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Appended(at) => write!(f, "now was appended at {at}"),
            Self::Nothing => f.write_str("is gone, while later ones are there"),
        }
    }
}

/// What helps when no snapshot can be started from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// One could not be read.
    Again,
    /// One was written by another version.
    OtherVersion,
    /// All of them are spoilt.
    Restore,
    /// Bindings are gone that any of them would be followed by.
    RestoreJournal,
}

impl std::fmt::Display for Remedy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Again => "see that the storage can be read, and start again",
            Self::OtherVersion => "start the version that wrote them",
            Self::Restore => {
                "restore the folder of snapshots from a copy, or go on without what was open and with the next whole \
                 windows: tidegate up --accept-gap"
            }
            Self::RestoreJournal => {
                "restore journal.db from a copy, or go on without what was open and with the next whole windows: \
                 tidegate up --accept-gap"
            }
        })
    }
}

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
