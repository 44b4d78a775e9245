//! The simulator: the whole system in one process, under a virtual clock, with everything that can go
//! wrong going wrong, from a seed.
//!
//! The runner, the graph, the committer, the sinks and the cache are those of the product; the log, the
//! store, the clock and the schedule are the simulator's. A [`plan`] says what happens, the [`director`]
//! lets one actor run at a time, and [`check`](director::run) compares what came of it with the oracle,
//! with an undisturbed run, and with itself. Equal seeds give equal runs, so a seed that finds something
//! is the whole report.

mod check;
pub mod crew;
pub mod director;
pub mod plan;
pub mod process;
pub mod shrink;
pub mod world;

pub use director::{Report, Violation, run};
pub use plan::Plan;
