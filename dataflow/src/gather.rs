//! Gathers everything that the workers report of an epoch on worker 0, and hands complete epochs on.

use std::collections::BTreeMap;
use std::rc::Rc;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, operators::Capability};

use crate::frontier::Settled;
use crate::graph::Results;
use crate::open::OpenState;
use crate::report::{EpochResult, Report};

/// Puts complete epochs, in order, into `results`.
pub(crate) fn gather<'s>(
    scope: Scope<'s, u64>,
    reports: StreamVec<'s, u64, Report>,
    settled: StreamVec<'s, u64, Settled>,
    provisional_rows_max: usize,
    results: Rc<Results>,
) {
    let mut builder = OperatorBuilder::new("Gather".to_owned(), scope);
    let mut reports = builder.new_input(reports, Exchange::new(|_: &Report| 0));
    let mut settled = builder.new_input(settled, Pipeline);
    builder.build(move |capabilities: Vec<Capability<u64>>| {
        drop(capabilities);
        let mut pending: BTreeMap<u64, Vec<Report>> = BTreeMap::new();
        let mut complete: BTreeMap<u64, Settled> = BTreeMap::new();
        let mut open = OpenState::default();
        move |frontiers| {
            reports.for_each(|time, reports| {
                let epoch = *time.least().expect("a message has a time");
                pending.entry(epoch).or_default().append(reports);
            });
            settled.for_each(|_, settled| {
                complete.extend(settled.drain(..).map(|settled| (settled.epoch.0, settled)));
            });
            while let Some(entry) = complete.first_entry() {
                if frontiers[0].less_equal(entry.key()) {
                    break;
                }
                let (epoch, settled) = entry.remove_entry();
                let reports = pending.remove(&epoch).unwrap_or_default();
                let result = result(settled, reports, &mut open, provisional_rows_max);
                results.complete.borrow_mut().push_back(result);
            }
        }
    });
}

/// Puts one epoch together. Sorting makes its bytes the same for any number of workers.
fn result(
    settled: Settled,
    reports: Vec<Report>,
    open: &mut OpenState,
    provisional_rows_max: usize,
) -> EpochResult {
    let mut result = EpochResult {
        epoch: settled.epoch,
        commit: settled.commit,
        snapshot: settled.snapshot,
        now: settled.state.now,
        close_to: settled.state.frontier,
        partitions: settled.state.partitions,
        last_records: settled.last_records,
        ledger: tidegate_model::Ledger::default(),
        rows: Vec::new(),
        provisional: Vec::new(),
        dropped: Vec::new(),
        survey: settled.survey,
        open: OpenState::default(),
    };
    for report in reports {
        match report {
            Report::Rows(mut rows) => result.rows.append(&mut rows),
            Report::Provisional(mut rows) => result.provisional.append(&mut rows),
            Report::Tally(ledger, mut dropped) => {
                result.ledger.merge(&ledger);
                result.dropped.append(&mut dropped);
            }
            Report::Open(job, change) => open.change(job, change),
        }
    }
    // Each worker's rows came sorted, so this merges runs.
    result.rows.sort();
    result.provisional.sort();
    result.provisional.truncate(provisional_rows_max);
    result.dropped.sort();
    result.open = open.clone();
    result
}
