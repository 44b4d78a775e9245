//! The whole graph of one worker.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use tidegate_model::{Epoch, EventTime, JobStart, Offset, PartitionId};
use timely::dataflow::InputHandle;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::{Concatenate, Input};
use timely::worker::Worker;

use crate::batch::{Batch, RowRules};
use crate::control::Tick;
use crate::feed::Feed;
use crate::fold::HostBuilder;
use crate::frontier::{FrontierParts, frontier};
use crate::gather::gather;
use crate::hash::HashKey;
use crate::job::{self, Building};
use crate::report::EpochResult;
use crate::settings::{JobSettings, TimeSettings};
use crate::snapshot::{Captures, Restored};
use crate::source::{SourceParts, Throttle, source};

/// What every worker's graph is made of. Equal on all workers.
#[derive(Clone, Debug)]
pub struct GraphConfig {
    /// What decides rows.
    pub jobs: JobSettings,
    /// What moves the frontier.
    pub time: TimeSettings,
    /// The deployment's hash key.
    pub hash_key: HashKey,
    /// The epoch in which nothing is read and recovered time is taken over.
    pub first: Epoch,
    /// Where reading starts; partitions that are not named start at 0.
    pub start: BTreeMap<PartitionId, Offset>,
    /// The state at the end of `first`, when it is not empty.
    pub restored: Option<Arc<Restored>>,
    /// The jobs that began, or began anew, after the deployment did.
    pub starts: BTreeMap<String, JobStart>,
    /// Provisional rows an epoch, at most.
    pub provisional_rows_max: usize,
    /// No provisional rows while the frontier is further than this behind the clock.
    pub provisional_lag_max_ms: i64,
}

/// Partitions whose event times are beyond this wait for the others.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) above: Cell<EventTime>,
}

/// Complete epochs, oldest first; filled on worker 0 only.
#[derive(Debug, Default)]
pub struct Results {
    pub(crate) complete: RefCell<VecDeque<EpochResult>>,
}

impl Results {
    /// Takes the oldest complete epoch.
    pub fn pop(&self) -> Option<EpochResult> {
        self.complete.borrow_mut().pop_front()
    }
}

/// The ends of the graph that its driver holds.
pub struct Graph {
    /// Where ticks go in; on worker 0 only.
    pub ticks: Option<Ticks>,
    /// Where complete epochs come out.
    pub results: Rc<Results>,
    /// Where copies of this worker's state come out.
    pub captures: Rc<Captures>,
    /// Where to wake this worker's source.
    pub source_address: Rc<[usize]>,
}

/// The way ticks go in.
pub struct Ticks {
    input: InputHandle<u64, timely::container::CapacityContainerBuilder<Vec<(u64, Tick)>>>,
    workers: u64,
}

impl Ticks {
    /// Ends an epoch on every worker. After a tick without a next epoch there must be no other.
    pub fn send(&mut self, tick: &Tick) {
        for worker in 0..self.workers {
            self.input.send((worker, tick.clone()));
        }
        let after = tick.next.as_ref().map_or(tick.ends.0 + 1, |plan| plan.epoch.0);
        self.input.advance_to(after);
        self.input.flush();
    }
}

/// Builds the graph on this worker. The first tick must end `config.first`, with a journaled frontier.
pub fn build(worker: &mut Worker, config: &GraphConfig, throttle: Throttle, feed: Box<dyn Feed>) -> Graph {
    let results = Rc::new(Results::default());
    let captures = Rc::new(Captures::new(worker.index()));
    let (index, peers) = (worker.index(), worker.peers());
    let (input, source_address) = worker.dataflow_named("tidegate", |scope| {
        let (mut input, ticks) = scope.new_input::<Vec<(u64, Tick)>>();
        input.advance_to(config.first.0);
        let jobs = job::all(&config.jobs);
        let hold = Rc::new(Hold { above: Cell::new(EventTime::MAX) });
        let sourced = source(
            scope,
            ticks.clone(),
            SourceParts {
                feed,
                rules: RowRules {
                    hash_key: config.hash_key,
                    event_types: config.jobs.allowed_event_types.clone().into(),
                },
                throttle,
                future_tolerance_ms: config.jobs.future_tolerance_ms,
                event_time: config.jobs.event_time,
                start: config.start.clone(),
                ledger_jobs: jobs.iter().filter(|job| job.reads_events()).map(|job| job.name()).collect(),
                first: config.first,
                hold: Rc::clone(&hold),
                captures: Rc::clone(&captures),
                restored: config.restored.clone(),
            },
        );
        let frontiers = frontier(
            scope,
            ticks,
            sourced.statements,
            FrontierParts {
                settings: config.time,
                all_closed_at: job::all_closed_at(&config.jobs),
                provisional_lag_max_ms: config.provisional_lag_max_ms,
                hold,
            },
        );
        let by_user = Exchange::new(|(worker, _): &(u64, Arc<Batch>)| *worker);
        let decided = frontiers.decided;
        let mut by_user = HostBuilder::new("Users", scope, sourced.batches.clone(), by_user, decided.clone());
        let mut local = HostBuilder::new("Local", scope, sourced.batches, Pipeline, decided.clone());
        let mut graph = Building {
            scope,
            by_user: &mut by_user,
            local: &mut local,
            decided,
            sessions: None,
            starts: &config.starts,
            captures: &captures,
            restored: config.restored.as_ref(),
            reports: vec![sourced.reports],
        };
        for job in &jobs {
            job.build(&mut graph);
        }
        let mut reports = graph.reports;
        reports.push(by_user.build(Rc::clone(&captures)));
        reports.push(local.build(Rc::clone(&captures)));
        let reports = scope.concatenate(reports);
        gather(scope, reports, frontiers.settled, config.provisional_rows_max, Rc::clone(&results));
        (input, sourced.address)
    });
    // Only worker 0 speaks; the others' inputs end here, or every epoch would wait for them.
    let ticks = (index == 0).then_some(Ticks { input, workers: peers as u64 });
    Graph { ticks, results, captures, source_address }
}
