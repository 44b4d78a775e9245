//! Drives the dataflow: what it reads, when its epochs end, and how their rows are committed.
//!
//! Everything that decides is a step-driven state machine with its I/O, clock and randomness behind
//! traits: [`recovery`] reads a journal, [`pace`] makes ticks, [`committer`] makes commits, [`snapshot`]
//! stores state. Threads are started in [`run`] and [`cluster`] only. What a run says of itself is its [`status`]; [`web`] and [`metrics`] show it.

pub mod again;
pub mod clock;
pub mod cluster;
pub mod committer;
pub mod config;
pub mod error;
pub mod feed;
pub mod metrics;
pub mod observer;
pub mod pace;
pub mod recovery;
pub mod run;
pub mod snapshot;
pub mod status;
pub mod web;

pub use clock::{Clock, Entropy};
pub use cluster::{Cluster, ClusterConfig, MeetingError};
pub use config::{RunnerConfig, Topics};
pub use error::{Remedy, RunError};
pub use observer::{CommitFacts, EpochFacts, Observer};
pub use pace::{Cut, Cuts, Script, Stop};
pub use recovery::{Accept, BeginsAt, Recovery, recover};
pub use run::{
    Assembled, DrainLimits, Drained, OtherParts, Parts, Running, assemble, start, start_first, start_other,
};
pub use snapshot::{ObjectSnapshots, SnapshotLimits, SnapshotStore};
pub use status::Status;
