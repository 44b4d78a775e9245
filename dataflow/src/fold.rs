//! The host: one operator that runs the folds of several jobs over the same batches.
//!
//! A fold may take rows in as soon as the frontier of the epoch before is known; rows of later epochs
//! are stashed. When the epoch is complete and its own frontier is known, every fold finishes it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Counts, Epoch, EventTime, Ledger};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, StreamVec};

use crate::batch::{Batch, Position};
use crate::control::Decided;
use crate::epochs::Change;
use crate::job::Batches;
use crate::open::{OpenCounts, OpenReporter};
use crate::report::{DropReason, Dropped, Report};
use crate::snapshot::{Captured, Captures};

/// The part of a job that sees events. It keeps state per key of this worker.
pub trait Fold: 'static {
    /// What changes.
    type Data: Clone + 'static;
    /// How much it changes.
    type Diff: Clone + 'static;

    /// Takes rows of the current epoch in. What ended at or before `close_before` is late.
    fn rows(&mut self, batch: &Batch, close_before: EventTime, tally: &mut Tally);

    /// Ends the epoch; the changes that it made go to `out`.
    fn finish(&mut self, decided: &Decided, tally: &mut Tally, out: &mut Vec<(Self::Data, Self::Diff)>);

    /// What it holds open, asked once an epoch, after its end.
    fn open(&self) -> OpenCounts {
        OpenCounts::default()
    }

    /// Copies what it keeps from epoch to epoch; called after the end of one, before anything of the next.
    fn capture(&self, _captured: &mut Captured) {}
}

/// What became of the events of an epoch, for one job.
#[derive(Debug)]
pub struct Tally {
    job: &'static str,
    /// The counts; `accepted` stays 0, for that is the source's to count.
    pub counts: Counts,
    dropped: Vec<Dropped>,
}

impl Tally {
    fn new(job: &'static str) -> Self {
        Self { job, counts: Counts::default(), dropped: Vec::new() }
    }

    /// A record is too late.
    pub fn expire(&mut self, at: Position) {
        self.counts.expired += 1;
        self.drop(at, DropReason::Expired);
    }

    /// A record's value is outside the job's range.
    pub fn reject(&mut self, at: Position) {
        self.counts.rejected += 1;
        self.drop(at, DropReason::Rejected);
    }

    fn drop(&mut self, at: Position, reason: DropReason) {
        self.dropped.push(Dropped { at, job: self.job.to_owned(), reason });
    }

    fn take(&mut self) -> Option<Report> {
        if self.counts == Counts::default() {
            return None;
        }
        let mut ledger = Ledger::default();
        ledger.add(self.job, std::mem::take(&mut self.counts));
        Some(Report::Tally(ledger, std::mem::take(&mut self.dropped)))
    }
}

/// A fold with the output that it owns.
trait Hosted {
    /// The first epoch that it takes part in.
    fn first(&self) -> Epoch;
    fn rows(&mut self, batch: &Batch, close_before: EventTime);
    fn finish(&mut self, decided: &Decided, capability: &Capability<u64>) -> [Option<Report>; 2];
    fn capture(&self, captured: &mut Captured);
}

/// The output of a fold.
type Output<F> =
    OutputBuilder<u64, CapacityContainerBuilder<Vec<Change<<F as Fold>::Data, <F as Fold>::Diff>>>>;

struct WithOutput<F: Fold> {
    fold: F,
    first: Epoch,
    tally: Tally,
    changes: Vec<(F::Data, F::Diff)>,
    open: OpenReporter,
    output: Output<F>,
}

impl<F: Fold> Hosted for WithOutput<F> {
    fn first(&self) -> Epoch {
        self.first
    }

    fn rows(&mut self, batch: &Batch, close_before: EventTime) {
        self.fold.rows(batch, close_before, &mut self.tally);
    }

    fn finish(&mut self, decided: &Decided, capability: &Capability<u64>) -> [Option<Report>; 2] {
        self.fold.finish(decided, &mut self.tally, &mut self.changes);
        if !self.changes.is_empty() {
            let changes = self.changes.drain(..).map(|(data, diff)| (data, decided.epoch.0, diff));
            self.output.activate().session(capability).give_iterator(changes);
        }
        [self.tally.take(), self.open.report(self.fold.open())]
    }

    fn capture(&self, captured: &mut Captured) {
        self.fold.capture(captured);
    }
}

/// Shows a callback everything that waits at an input, with its epoch.
type Drain = Box<dyn FnMut(&mut dyn FnMut(u64, Arc<Batch>))>;

/// Builds a host. Jobs are added one by one; each gets a stream of its changes.
pub struct HostBuilder<'s> {
    builder: OperatorBuilder<'s, u64>,
    drain_batches: Drain,
    decided: DecidedInput,
    folds: Vec<Box<dyn Hosted>>,
}

type DecidedInput = timely::dataflow::operators::generic::InputHandleCore<
    u64,
    Vec<Decided>,
    <Pipeline as ParallelizationContract<u64, Vec<Decided>>>::Puller,
>;

impl<'s> HostBuilder<'s> {
    /// A host of `batches`, distributed by `pact`.
    pub fn new<P>(
        name: &str,
        scope: Scope<'s, u64>,
        batches: Batches<'s>,
        pact: P,
        decided: StreamVec<'s, u64, Decided>,
    ) -> Self
    where
        P: ParallelizationContract<u64, Vec<(u64, Arc<Batch>)>>,
        P::Puller: 'static,
    {
        let mut builder = OperatorBuilder::new(name.to_owned(), scope);
        let mut batches = builder.new_input(batches, pact);
        let decided = builder.new_input(decided, Pipeline);
        let drain_batches: Drain = Box::new(move |show| {
            batches.for_each(|time, batches| {
                let epoch = *time.least().expect("a message has a time");
                batches.drain(..).for_each(|(_, batch)| show(epoch, batch));
            });
        });
        Self { builder, drain_batches, decided, folds: Vec::new() }
    }

    /// Adds the fold of `job`, which takes part from epoch `first` on.
    pub fn fold<F: Fold>(
        &mut self,
        job: &'static str,
        first: Epoch,
        fold: F,
    ) -> StreamVec<'s, u64, Change<F::Data, F::Diff>> {
        let (output, stream) = self.builder.new_output();
        self.folds.push(Box::new(WithOutput {
            fold,
            first,
            tally: Tally::new(job),
            changes: Vec::new(),
            open: OpenReporter::new(job),
            output: OutputBuilder::from(output),
        }));
        stream
    }

    /// Builds the operator; the stream reports what became of the events.
    pub fn build(mut self, captures: Rc<Captures>) -> StreamVec<'s, u64, Report> {
        captures.register();
        let (reports_out, reports) = self.builder.new_output::<Vec<Report>>();
        let mut reports_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(reports_out);
        let reports_port = self.folds.len();
        let (mut drain_batches, mut decided, mut folds) = (self.drain_batches, self.decided, self.folds);
        self.builder.build(move |capabilities| {
            drop(capabilities);
            let mut stash: BTreeMap<u64, Vec<Arc<Batch>>> = BTreeMap::new();
            let mut frontiers: BTreeMap<u64, (Decided, Vec<Capability<u64>>)> = BTreeMap::new();
            let mut close_before = EventTime::MIN;
            let capture = move |epoch, folds: &[Box<dyn Hosted>]| {
                captures.add(epoch, |captured| folds.iter().for_each(|fold| fold.capture(captured)));
            };
            let mut too_late: Option<Epoch> = None;
            move |inputs| {
                drain_batches(&mut |epoch, batch| stash.entry(epoch).or_default().push(batch));
                decided.for_each(|time, decided| {
                    for decided in decided.drain(..) {
                        let retain = |port| time.retain_least(port).expect("a message has a time");
                        frontiers
                            .insert(decided.epoch.0, (decided, (0..=reports_port).map(retain).collect()));
                    }
                });
                loop {
                    let next = stash.keys().next().into_iter().chain(frontiers.keys().next()).min();
                    let Some(&epoch) = next else { break };
                    // While an earlier frontier may still come, what is late is not known.
                    if inputs[1].less_than(&epoch) && !is_planted(Bug::EpochsMixed) {
                        break;
                    }
                    if let Some(batches) = stash.get_mut(&epoch) {
                        for batch in batches.drain(..) {
                            for fold in folds.iter_mut().filter(|fold| fold.first().0 <= epoch) {
                                fold.rows(&batch, close_before);
                            }
                        }
                    }
                    if let Some(before) = too_late.take_if(|before| before.0 < epoch) {
                        capture(before, &folds);
                    }
                    if inputs[0].less_equal(&epoch) || !frontiers.contains_key(&epoch) {
                        break;
                    }
                    stash.remove(&epoch);
                    let (decided, capabilities) = frontiers.remove(&epoch).expect("looked up above");
                    debug_assert_eq!(decided.close_before, close_before, "frontiers come in order");
                    let mut reports: Vec<_> = folds
                        .iter_mut()
                        .zip(&capabilities)
                        .filter(|(fold, _)| fold.first().0 <= epoch)
                        .flat_map(|(fold, capability)| fold.finish(&decided, capability))
                        .flatten()
                        .collect();
                    let capability = &capabilities[reports_port];
                    reports_out.activate().session(capability).give_iterator(reports.drain(..));
                    close_before = decided.close_to;
                    if decided.snapshot && is_planted(Bug::SnapshotAfterStash) {
                        too_late = Some(decided.epoch);
                    } else if decided.snapshot {
                        capture(decided.epoch, &folds);
                    }
                }
            }
        });
        reports
    }
}
