//! The timely dataflow: events in, rows of metrics out; a function of its input.
//!
//! There is no clock, no randomness, no environment, no thread and no socket in this crate.

pub mod settings;
