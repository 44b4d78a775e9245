//! The frontier, against what the processes could know.

use tidegate_model::{Binding, EventTime, PartitionState};

use crate::director::{Violation, violated};
use crate::plan::{Plan, Step};
use crate::world::State;

const PROMISE: &str = "the frontier passes no partition that is not idle";

/// The frontier moves beyond the watermark of a partition only when that was silent for the idle timeout
/// and somebody looked at its end, with success, when the epoch ended.
pub(super) fn the_frontier_waits_for_who_is_not_idle(plan: &Plan, state: &State) -> Result<(), Violation> {
    // The look is taken by a clock that may have been set back meanwhile, and the journaled one is not.
    let set_back_ms: i64 = plan.steps.iter().map(|(_, step)| set_back_ms(step)).sum();
    let mut before: Option<&Binding> = None;
    for binding in &state.bindings {
        let frontier = before.map_or(EventTime::MIN, |before| before.close_to);
        let passed = |bound: &PartitionState| {
            binding.close_to > frontier && binding.close_to > bound.largest.minus_ms(plan.setup.time.bound_ms)
        };
        for (partition, bound) in binding.partitions.iter().filter(|(_, bound)| passed(bound)) {
            let silent_ms = binding.now.since_ms(bound.active_at);
            let looked = state.events[partition.0 as usize].looks.get(&bound.end);
            let is_recent = |looked: &EventTime| *looked >= binding.now.minus_ms(set_back_ms);
            if silent_ms < plan.setup.time.idle_timeout_ms || !looked.is_some_and(is_recent) {
                let seen = format!(
                    "epoch {} at {}: partition {partition} ended at {}, was silent for {silent_ms} ms, and looked at {looked:?}; the frontier went from {frontier} to {}",
                    binding.epoch, binding.now, bound.end, binding.close_to
                );
                return violated(PROMISE, seen);
            }
        }
        before = Some(binding);
    }
    Ok(())
}

fn set_back_ms(step: &Step) -> i64 {
    match step {
        Step::Clock { by_ms } => -by_ms.min(&0),
        _ => 0,
    }
}
