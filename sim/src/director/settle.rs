//! The end of every run: everything heals, everybody gets their turns, time goes on until nothing is open.

use rand::{Rng, RngExt as _};
use tidegate_dataflow::open::OpenCounts;
use tidegate_model::PartitionId;

use super::{Director, Violation, violated};
use crate::process::Runner;
use crate::world::events::EventPartition;

/// Milliseconds from one look to the next.
const PAUSE_MS: i64 = 2_000;

/// Looks until everything must be closed: longer than any window, gap, lateness, and client of the future.
const LOOKS_MAX: u32 = 400;

impl Director<'_> {
    pub(super) fn settle(&mut self, rng: &mut impl Rng) -> Result<(), Violation> {
        {
            let mut state = self.world.lock();
            state.faults.heal();
            for partition in 0..u32::try_from(state.events.len()).expect("few") {
                state.replicate(PartitionId(partition));
            }
            state.now = state.now.max(state.append_time);
        }
        self.zombies.iter_mut().for_each(|zombie| zombie.paused = false);
        let mut looks = 0;
        while !self.is_settled() {
            looks += 1;
            if looks > LOOKS_MAX {
                let status = self.runner.as_ref().map(|runner| runner.handle.status().progress());
                return violated(
                    "everything is read, closed and committed in the end",
                    format!("{status:#?}"),
                );
            }
            {
                let mut state = self.world.lock();
                state.now = state.now.plus_ms(PAUSE_MS);
            }
            let turns = u32::try_from(12 * self.actors()).expect("few");
            self.run(turns, None, rng)?;
        }
        self.zombies.clear();
        self.stop(true, rng)?;
        self.catch_up()?;
        if rng.random_ratio(1, 4) {
            // Nothing new comes any more, and still it must be noticed.
            self.world.lock().restore_cache();
            self.catch_up()?;
        }
        Ok(())
    }

    /// Whether everything is committed, and nothing is open.
    fn is_settled(&self) -> bool {
        let state = self.world.lock();
        let Some(last) = state.bindings.last() else {
            return state.events.iter().all(|partition| partition.high == 0);
        };
        let is_read = |(id, partition): (u32, &EventPartition)| {
            let bound = last.partitions.get(&PartitionId(id));
            bound.map_or(0, |bound| bound.end.0) == partition.high
        };
        let newest = state.events.iter().flat_map(|log| &log.records).map(|stored| stored.record.time).max();
        // Events that are further ahead than a minute are dropped.
        let passed =
            newest.is_none_or(|newest| last.close_to >= newest.min(state.append_time).plus_ms(60_000));
        let is_closed = |runner: &Runner| {
            let newest = runner.handle.status().progress().newest;
            newest.is_some_and(|newest| {
                newest.open.total() == OpenCounts::default() && newest.epoch >= last.epoch
            })
        };
        (0..).zip(&state.events).all(is_read) && passed && self.runner.as_ref().is_some_and(is_closed)
    }

    /// Steps the sinks until they have everything.
    fn catch_up(&mut self) -> Result<(), Violation> {
        let mut caught_up = [false; 2];
        for _ in 0..10_000 {
            self.start_sinks();
            let sinks = self.sinks.as_mut().expect("just started");
            let stepped = sinks.step_metrics().and_then(|metrics| Ok([metrics, sinks.step_cache()?]));
            caught_up = match stepped {
                Ok(caught_up) => caught_up,
                Err(seen) => return violated("sinks go on", seen),
            };
            if caught_up == [true; 2] {
                return Ok(());
            }
        }
        violated("sinks catch up", format!("metric sink, cache sink: {caught_up:?}"))
    }
}
