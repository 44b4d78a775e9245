//! Makes a plan that violates a promise smaller: it leaves out steps for as long as the same promise is
//! still broken.

use crate::director::{Violation, run};
use crate::plan::Plan;

/// Runs that shrinking may take.
const RUNS_MAX: usize = 400;

/// A smaller plan that breaks the same promise, and what it shows.
pub fn shrink(plan: &Plan, violation: &Violation) -> (Plan, Violation) {
    let (mut smallest, mut shown) = (plan.clone(), violation.clone());
    let mut runs = 0;
    let mut size = smallest.steps.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        let mut shrunk = false;
        while from < smallest.steps.len() && runs < RUNS_MAX {
            let until = (from + size).min(smallest.steps.len());
            let mut candidate = smallest.clone();
            candidate.steps.drain(from..until);
            runs += 1;
            match run(&candidate) {
                Err(violation) if violation.promise == shown.promise => {
                    (smallest, shown) = (candidate, violation);
                    shrunk = true;
                }
                _ => from = until,
            }
        }
        if !shrunk {
            size /= 2;
        }
    }
    (smallest, shown)
}
