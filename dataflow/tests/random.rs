//! Random workloads against every system: the rows are the oracle's, and nothing depends on the number of
//! workers, the order of records or a recovery.

mod support;

use std::collections::BTreeMap;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestError, TestRng, TestRunner};
use support::graph::{GraphFactory, Part, SerialisingFactory, SnapshotFactory};
use support::oracle::Oracle;
use support::properties::{
    Property, recovery_does_not_matter, rows_are_those_of_the_oracle, time_is_as_written,
    workers_and_order_do_not_matter,
};
use support::stand_in::{Fault, StandInFactory};
use support::system::SystemFactory;
use support::systems::{factories, reference};
use support::workload::{Drive, Workload, drive, workloads, workloads_with};

/// How many workloads each property sees.
const CASES: u32 = 64;

fn runner(max_shrink_iters: u32) -> TestRunner {
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters, ..Config::default() };
    let algorithm = config.rng_algorithm;
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(algorithm))
}

/// A workload for which the property does not hold, made small in so many steps, and why it does not.
fn counterexample(
    strategy: &impl Strategy<Value = Workload>,
    property: Property,
    factory: &dyn SystemFactory,
    max_shrink_iters: u32,
) -> Option<(Workload, String)> {
    let result = runner(max_shrink_iters).run(strategy, |workload| {
        property(&workload, factory).map_err(proptest::test_runner::TestCaseError::fail)
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(why, workload)) => Some((workload, why.to_string())),
        Err(TestError::Abort(why)) => panic!("proptest gave up: {why}"),
    }
}

fn holds(property: Property) {
    for factory in factories() {
        if let Some((workload, why)) = counterexample(&workloads(), property, factory.as_ref(), 2_000) {
            panic!("{why}\nin {workload:#?}");
        }
    }
}

#[test]
fn the_rows_are_those_of_the_oracle() {
    holds(rows_are_those_of_the_oracle);
}

#[test]
fn the_frontier_moves_as_it_is_written() {
    holds(time_is_as_written);
}

#[test]
fn workers_and_the_order_of_records_make_no_difference() {
    holds(workers_and_order_do_not_matter);
}

#[test]
fn a_recovery_makes_no_difference() {
    holds(recovery_does_not_matter);
}

/// Rows that went through bytes are the same rows.
#[test]
fn workers_that_serialise_make_no_difference() {
    let mut runner = runner(0);
    for _ in 0..CASES / 4 {
        let workload = workloads().new_tree(&mut runner).expect("a workload").current();
        for workers in [2, 4] {
            let how = Drive { recover: Some((3, workers)), ..Drive::workers(workers) };
            let course = |factory: &dyn SystemFactory| {
                let course = drive(&workload, factory, how).expect("it goes on");
                course.into_iter().map(|tick| tick.outcome).collect::<Vec<_>>()
            };
            let (typed, serialised) = (course(&GraphFactory), course(&SerialisingFactory));
            assert_eq!(typed, serialised, "{workers} workers, {workload:#?}");
        }
    }
}

#[test]
fn a_recovery_from_a_snapshot_makes_no_difference() {
    let factory = SnapshotFactory { without: None };
    if let Some((workload, why)) = counterexample(&workloads(), recovery_does_not_matter, &factory, 200) {
        panic!("{why}\nin {workload:#?}");
    }
}

/// Of what a snapshot need not hold the test above would say nothing.
#[test]
fn every_part_of_a_snapshot_is_needed() {
    for part in Part::ALL {
        let factory = SnapshotFactory { without: Some(part) };
        let found = counterexample(&workloads(), recovery_does_not_matter, &factory, 0);
        assert!(found.is_some(), "no workload needs {part:?}");
    }
}

/// Of a fault that no workload provokes the properties would say nothing.
#[test]
fn the_properties_find_faults() {
    let without_lateness = &[0];
    let with_lateness = &[1_000, 5_000];
    for (fault, latenesses, property) in [
        (Fault::RecordByRecord, without_lateness.as_slice(), rows_are_those_of_the_oracle as Property),
        (Fault::RecordByRecord, without_lateness, workers_and_order_do_not_matter),
        (Fault::LatenessOffByOne, with_lateness, rows_are_those_of_the_oracle),
        (Fault::LatenessOffByOne, without_lateness, rows_are_those_of_the_oracle),
        (Fault::ClosesLate, with_lateness, rows_are_those_of_the_oracle),
        (Fault::IdleWithoutLook, with_lateness, time_is_as_written),
        (Fault::FutureMovesTime, with_lateness, time_is_as_written),
        (Fault::WatermarkPerWorker { workers: 1 }, with_lateness, workers_and_order_do_not_matter),
        (Fault::ForgetsActivity, with_lateness, recovery_does_not_matter),
    ] {
        let factory = StandInFactory::new(fault.clone());
        let found = counterexample(&workloads_with(latenesses), property, &factory, 0);
        assert!(found.is_some(), "no workload shows {fault:?}");
    }
}

/// Everything that can happen does happen in these workloads, and not just once.
#[test]
fn the_workloads_are_rich() {
    let mut runner = runner(0);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..CASES {
        let workload = workloads().new_tree(&mut runner).expect("a workload").current();
        let course = drive(&workload, &reference(), Drive::workers(1)).expect("the reference is right");
        let mut oracle = Oracle::new(&workload.jobs, workload.jobs.future_tolerance_ms);
        for tick in course {
            let mut count = |what: String| *seen.entry(what).or_default() += 1;
            let Some(epoch) = tick.epoch else {
                count("not journaled".to_owned());
                continue;
            };
            let output = oracle.epoch(&epoch);
            output.rows.iter().for_each(|row| count(format!("{} {}", row.table, row.op.as_str())));
            for dropped in output.dropped {
                count(format!("{} {}", dropped.job, dropped.reason.as_str()));
            }
        }
    }
    for what in [
        "not journaled",
        "event_metrics final",
        "event_metrics correct",
        "session_metrics final",
        "session_metrics correct",
        "session_metrics retract",
        "performance_metrics final",
        "performance_metrics correct",
        "session_window_metrics final",
        "session_window_metrics correct",
        "session_window_metrics retract",
        "* future",
        "* rejected",
        "EventAggregator expired",
        "SessionTracker expired",
        "PerformanceTracker expired",
        "PerformanceTracker rejected",
    ] {
        let times = seen.get(what).copied().unwrap_or_default();
        assert!(times >= 10, "{what:?} happens {times} times in {CASES} workloads: {seen:#?}");
    }
}
