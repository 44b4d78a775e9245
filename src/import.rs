//! The readers of `tidegate import`: files of lines into canonical events, without the engine.
//!
//! [`InputSet::open`] looks at every file before anything is done; [`LineEvents`] then walks through
//! their lines in order. What it yields is a function of the files' contents and the options that are
//! part of the [`Fingerprint`], so that a resumed import meets exactly the same events again, with the
//! same ids at the same places.

pub mod access_log;
pub(crate) mod engine;
mod event_json;
pub mod fingerprint;
pub mod input;
pub mod json_lines;
mod line_events;
mod line_reader;
pub mod progress;
pub(crate) mod remote;
pub mod report;

pub use fingerprint::Fingerprint;
pub use input::{InputFile, InputSet, OpenError, Options};
pub use line_events::{Item, LineEvent, LineEvents, Malformed, ReadError, Reason, SkipReason};
pub use line_reader::LINE_BYTES_MAX;
pub use report::Report;
