//! Synthetic traffic: what visitors of a web site do, sent as HTTP requests at a rate of its own.
//!
//! [`Traffic`] decides what is sent: a function of its seed, whatever the rate, the machine and the answers.
//! [`run`] decides when, and measures. The load is *open*: a request is due at a time that no answer can delay, and
//! its latency counts from then, so that a server that stalls is charged for every request that it kept waiting.

pub mod act;
mod json;
mod latency;
mod pacer;
pub mod random;
mod rate;
pub mod report;
mod run;
mod stats;
pub mod traffic;
mod truth;
pub mod visitors;

pub use act::Act;
pub use latency::Latency;
pub use rate::{Rate, RateError};
pub use report::Totals;
pub use run::{LoadConfig, PATH, run};
pub use stats::{LastSecond, LoadStats, Snapshot};
pub use traffic::{Planned, Traffic, TrafficConfig};
pub use truth::TruthRow;
pub use visitors::Visitors;
