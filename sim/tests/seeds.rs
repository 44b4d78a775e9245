//! Seeds are what they are said to be.

use sim::{Plan, run};

/// Equal seeds give equal runs, threads or not.
#[test]
fn a_seed_is_repeatable() {
    for seed in 0..20 {
        let plan = Plan::of(seed);
        assert_eq!(run(&plan), run(&plan), "seed {seed}");
    }
}

/// Seeds differ, and what they do is not nothing.
#[test]
fn seeds_do_something() {
    let reports: Vec<_> = (0..40).map(|seed| run(&Plan::of(seed)).expect("every promise holds")).collect();
    let mut traces: Vec<_> = reports.iter().map(|report| report.trace).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), reports.len(), "seeds that do the same");
    let sum = |of: fn(&sim::Report) -> u64| reports.iter().map(of).sum::<u64>();
    assert!(sum(|report| report.events) > 2_000, "{reports:?}");
    assert!(sum(|report| report.faults) > 40, "{reports:?}");
    assert!(sum(|report| report.processes) > 80, "{reports:?}");
}
