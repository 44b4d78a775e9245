//! The settings of a run.

use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _};
use tidegate_dataflow::settings::{JobSettings, SessionEnd, TimeSettings};
use tidegate_runner::SnapshotLimits;

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What decides rows.
    pub jobs: JobSettings,
    /// What moves the frontier.
    pub time: TimeSettings,
    /// Partitions of events, at first.
    pub partitions: u32,
    /// Workers of the first process.
    pub workers: usize,
    /// How long a live epoch lasts.
    pub tick_ms: i64,
    /// Bytes that a worker may have in flight.
    pub in_flight_bytes_max: usize,
    /// Epochs that may wait for their commit before live epochs get longer.
    pub uncommitted_epochs_max: usize,
    /// Rows that a sink reads at a time, at first.
    pub sink_rows_max: usize,
    /// When snapshots are made.
    pub snapshots: SnapshotLimits,
}

/// Numbers of workers that runs have.
pub(super) const WORKERS: [usize; 4] = [1, 2, 2, 4];

/// One of several.
pub(super) fn one<T: Copy>(rng: &mut impl Rng, of: &[T]) -> T {
    *of.choose(rng).expect("there is one")
}

pub(super) fn draw(rng: &mut impl Rng) -> Setup {
    let windows = [5_000, 10_000, 30_000];
    Setup {
        jobs: JobSettings {
            event_window_ms: one(rng, &windows),
            performance_window_ms: one(rng, &windows),
            session_window_ms: one(rng, &windows),
            session_gap_ms: one(rng, &[2_000, 5_000, 10_000]),
            allowed_lateness_ms: one(rng, &[0, 0, 20_000, 60_000]),
            session_end: one(rng, &[SessionEnd::LastEvent, SessionEnd::LastEvent, SessionEnd::WindowEnd]),
            ..JobSettings::default()
        },
        time: TimeSettings {
            bound_ms: one(rng, &[0, 2_000, 10_000]),
            idle_timeout_ms: one(rng, &[1_000, 5_000]),
            ..TimeSettings::default()
        },
        partitions: one(rng, &[1, 2, 3, 5]),
        workers: one(rng, &WORKERS),
        tick_ms: one(rng, &[100, 100, 500]),
        in_flight_bytes_max: one(rng, &[2_000, 64 << 20]),
        uncommitted_epochs_max: one(rng, &[2, 64]),
        sink_rows_max: rng.random_range(1..50),
        snapshots: SnapshotLimits {
            records: one(rng, &[1, 10, 50]),
            every_ms: one(rng, &[100, 1_000, 5_000]),
            last_wait_ms: one(rng, &[0, 3_000]),
            history_epochs: one(rng, &[0, 0, 5, 50]),
        },
    }
}
