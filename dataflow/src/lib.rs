//! The timely dataflow: events in, rows of metrics out; a function of its input.
//!
//! There is no clock, no randomness, no environment, no thread and no socket in this crate. Records
//! come in through a [`feed::Feed`], time through a [`control::Tick`]; what leaves is a
//! [`report::EpochResult`] for each epoch, and a [`snapshot::Captured`] of each worker where a tick asks for it.

pub mod batch;
pub mod control;
pub mod decide;
mod epochs;
pub mod feed;
pub mod fold;
mod frontier;
mod gather;
pub mod graph;
pub mod hash;
pub mod job;
pub mod jobs;
pub mod open;
pub mod report;
pub mod settings;
pub mod snapshot;
pub mod source;
pub mod survey;
pub mod view;

pub use graph::{Graph, GraphConfig, build};
