//! What must hold after every run, whatever went wrong in it.

mod cache;
mod oracle;
mod replay;
mod tables;
mod time;

use tidegate_model::{Counts, Ledger, PartitionId};

use crate::director::{Violation, violated};
use crate::plan::Plan;
use crate::world::State;

/// What a single read may add to the bytes in flight, beyond the limit: 40 records, dropped ones at a flat
/// kilobyte, with what was read before the limit was looked at.
const READ_BYTES_MAX: usize = 128 * 1024;

/// Epochs that may be under way when no more are begun.
const UNDER_WAY_MAX: usize = 16;

/// Checks everything.
pub(crate) fn all(plan: &Plan, state: &State) -> Result<(), Violation> {
    oracle::rows_are_those_of_the_oracle(state)?;
    time::the_frontier_waits_for_who_is_not_idle(plan, state)?;
    everything_is_accounted_for(state)?;
    replay::an_undisturbed_run_makes_the_same_rows(plan, state)?;
    tables::tables_are_what_the_log_says(state)?;
    cache::the_cache_is_what_the_log_says(state)?;
    nothing_grew(plan, state)
}

/// Every acknowledged event was read, once, and the ledger says what became of it.
fn everything_is_accounted_for(state: &State) -> Result<(), Violation> {
    const PROMISE: &str = "every acknowledged event is accounted for";
    let Some(last) = state.bindings.last() else { return Ok(()) };
    let (mut accepted, mut gone) = (0, 0);
    let gaps: Vec<_> = state.bindings.iter().filter_map(|binding| binding.gap.as_ref()).collect();
    for (id, partition) in (0..).zip(&state.events) {
        let bound = last.partitions.get(&PartitionId(id)).map_or(0, |bound| bound.end.0);
        if bound != partition.high {
            return violated(PROMISE, format!("partition {id}: {} events, {bound} bound", partition.high));
        }
        let missing =
            gaps.iter().filter_map(|gap| gap.get(&PartitionId(id))).map(oracle::missing).sum::<u64>();
        accepted += partition.high - missing;
        gone += missing;
    }
    let ledger: &Ledger = &last.ledger;
    let is_wrong = |counts: &Counts| counts.accepted != accepted || counts.missing != gone;
    if !ledger.adds_up() || ledger.jobs.values().any(is_wrong) {
        return violated(PROMISE, format!("{accepted} events, {gone} gone, {ledger:?}"));
    }
    Ok(())
}

/// What has a limit kept it.
fn nothing_grew(plan: &Plan, state: &State) -> Result<(), Violation> {
    const PROMISE: &str = "nothing grows beyond its limit";
    let limit = plan.setup.in_flight_bytes_max + READ_BYTES_MAX;
    if state.in_flight_bytes_max > limit {
        return violated(PROMISE, format!("{} bytes in flight of {limit}", state.in_flight_bytes_max));
    }
    let limit = plan.setup.uncommitted_epochs_max + UNDER_WAY_MAX;
    if state.epochs_per_commit_max > limit {
        return violated(PROMISE, format!("{} epochs in a commit, of {limit}", state.epochs_per_commit_max));
    }
    Ok(())
}
