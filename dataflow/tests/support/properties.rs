//! What must hold for every workload, as functions that say where it does not.

use tidegate_model::Epoch;

use super::oracle::Oracle;
use super::record::complete;
use super::system::{EpochOutcome, SystemFactory};
use super::systems::{WORKERS, reference};
use super::workload::{Course, Drive, Workload, drive};

/// A property of a system.
pub type Property = fn(&Workload, &dyn SystemFactory) -> Result<(), String>;

/// The rows, drops and the ledger of every epoch are those of the oracle, given the records and the
/// frontiers that the system itself journaled.
pub fn rows_are_those_of_the_oracle(workload: &Workload, factory: &dyn SystemFactory) -> Result<(), String> {
    for workers in WORKERS {
        let mut oracle = Oracle::new(&workload.jobs, workload.jobs.future_tolerance_ms);
        for (tick, Course { mut outcome, epoch }) in
            drive(workload, factory, Drive::workers(workers))?.into_iter().enumerate()
        {
            let Some(epoch) = epoch else { continue };
            let expected = oracle.epoch(&epoch);
            outcome.rows.sort();
            let place = format!("tick {tick}, {workers} worker(s), {}", factory.name());
            same(&place, "rows", &expected.rows, &outcome.rows)?;
            same(&place, "dropped", &expected.dropped, &outcome.dropped)?;
            let ledger = complete(expected.ledger);
            if ledger != outcome.ledger {
                return Err(format!(
                    "{place}: the ledger\n  expected {ledger:?}\n  actual   {:?}",
                    outcome.ledger
                ));
            }
        }
    }
    Ok(())
}

/// The frontier, and which epochs are journaled, are those of `decide` as it is written.
pub fn time_is_as_written(workload: &Workload, factory: &dyn SystemFactory) -> Result<(), String> {
    let expected = drive(workload, &reference(), Drive::workers(1))?;
    for workers in WORKERS {
        let actual = drive(workload, factory, Drive::workers(workers))?;
        for (tick, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
            let time = |course: &Course| (course.outcome.journaled, course.outcome.frontier);
            if time(expected) != time(actual) {
                let (expected, actual) = (time(expected), time(actual));
                return Err(format!(
                    "tick {tick}, {workers} worker(s), {}: (journaled, frontier)\n  \
                     expected {expected:?}\n  actual   {actual:?}",
                    factory.name()
                ));
            }
        }
    }
    Ok(())
}

/// Byte for byte the same in every epoch: for every number of workers, for every order of the records of
/// an epoch.
pub fn workers_and_order_do_not_matter(
    workload: &Workload,
    factory: &dyn SystemFactory,
) -> Result<(), String> {
    let base = drive(workload, factory, Drive::workers(1))?;
    for workers in WORKERS {
        let plain = Drive::workers(workers);
        for how in [
            plain,
            Drive { partition_by_partition: true, ..plain },
            Drive { permute: Some(1), ..plain },
            Drive { permute: Some(2), partition_by_partition: true, ..plain },
        ] {
            same_course(factory, how, &base, &drive(workload, factory, how)?)?;
        }
    }
    Ok(())
}

/// After a recovery by another number of workers, at any tick, the further epochs are the same.
pub fn recovery_does_not_matter(workload: &Workload, factory: &dyn SystemFactory) -> Result<(), String> {
    let base = drive(workload, factory, Drive::workers(1))?;
    let ticks = base.len();
    for (at, (before, after)) in [(ticks / 4, (1, 2)), (ticks / 2, (4, 1)), (ticks - 2, (2, 4))] {
        let how = Drive { recover: Some((at, after)), ..Drive::workers(before) };
        same_course(factory, how, &base, &drive(workload, factory, how)?)?;
    }
    Ok(())
}

fn same_course(
    factory: &dyn SystemFactory,
    how: Drive,
    expected: &[Course],
    actual: &[Course],
) -> Result<(), String> {
    // Neither the numbers of epochs nor provisional rows are promised.
    let promised =
        |course: &Course| EpochOutcome { epoch: Epoch(0), provisional: Vec::new(), ..course.outcome.clone() };
    for (tick, (expected, actual)) in expected.iter().zip(actual).enumerate() {
        let (expected, actual) = (promised(expected), promised(actual));
        if expected != actual {
            let place = format!("tick {tick}, {}, {how:?} against 1 worker", factory.name());
            same(&place, "rows", &expected.rows, &actual.rows)?;
            return Err(format!("{place}\n  expected {expected:?}\n  actual   {actual:?}"));
        }
    }
    Ok(())
}

fn same<T: std::fmt::Debug + PartialEq>(
    place: &str,
    what: &str,
    expected: &[T],
    actual: &[T],
) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    let missing = expected.iter().filter(|one| !actual.contains(one)).map(|one| format!("expected {one:?}"));
    let surplus = actual.iter().filter(|one| !expected.contains(one)).map(|one| format!("actual   {one:?}"));
    let mut lines: Vec<String> = missing.chain(surplus).collect();
    if lines.is_empty() {
        lines = vec![format!("the same, in another order or number: {actual:?}")];
    }
    Err(format!("{place}: {what}\n  {}", lines.join("\n  ")))
}
