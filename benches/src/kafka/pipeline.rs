//! From events in Kafka to rows in Kafka: the whole dataflow, its commits included.

use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::ensure;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::Schema;
use tidegate_runner::clock::SystemClock;
use tidegate_runner::observer::CommitFacts;
use tidegate_runner::{
    Accept, BeginsAt, Entropy, Observer, Parts, RunnerConfig, Running, Script, Topics, recover, start,
};

use super::append::per_million;
use super::{Deployment, read};
use crate::clock::timed;
use crate::log::Events;
use crate::measure::{By, Done, Group};
use crate::{Scale, Table};

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(1);

struct Fixed;

impl Entropy for Fixed {
    fn secret(&mut self) -> (u64, u64) {
        (11, 7)
    }
}

struct Nobody;

impl Observer for Nobody {
    fn committed(&mut self, _: &CommitFacts<'_>) {}
}

pub(super) fn run(deployment: &Deployment, events: &Events, scale: Scale) -> anyhow::Result<Table> {
    let log = deployment.open()?;
    Group::new("From events in Kafka to rows in Kafka", By::Wall, "events", events.count(), events.bytes())
        .ceiling("a bare consumer, message by message", || read::bare(deployment, &log, events))
        .ceiling("a consumer of batches: the reader alone", || read::ours(&log, events))
        .case("the dataflow, 1 worker", || computed(deployment, events, 1))
        .case("the dataflow, 2 workers", || computed(deployment, events, 2))
        .measure(scale)
}

/// A new deployment that reads everything, and commits it.
fn computed(events_of: &Deployment, events: &Events, workers: usize) -> anyhow::Result<Done> {
    let own = events_of.beside();
    let (ran, took) = timed(|| -> anyhow::Result<_> {
        let running = started(&own, JobSettings::default(), TimeSettings::default(), workers)?;
        let accepted = || {
            let ledger = running.status().progress().ledger;
            ledger.jobs.get("EventAggregator").map_or(0, |counts| counts.accepted)
        };
        while accepted() < events.count() as u64 && !running.is_over() {
            park_timeout(LOOK);
        }
        Ok(running)
    });
    let running = ran?;
    let ledger = running.status().progress().ledger;
    ensure!(ledger.adds_up(), "every event is accounted for");
    running.handle().abort();
    running.join()?;
    Ok(Done { took, note: per_million(took.cpu, events.count()) })
}

/// A new deployment at work.
pub(super) fn started(
    own: &Deployment,
    jobs: JobSettings,
    time: TimeSettings,
    workers: usize,
) -> anyhow::Result<Running> {
    let log = own.open()?;
    let (mut journal, mut reader) = (log.journal()?, log.reader()?);
    let accept = Accept { begins_at: BeginsAt::Oldest, ..Accept::default() };
    let recovery = recover(&mut journal, &jobs, accept, &mut reader, None, &SystemClock, &mut Fixed)?;
    let rows = Schema::ALL.map(|schema| (schema.table.to_owned(), Arc::from(own.topic(schema.table))));
    let topics = Topics {
        rows: rows.into(),
        live: own.topic("live_metrics").into(),
        dropped: own.topic("dropped_events").into(),
    };
    let config = RunnerConfig { workers, jobs, time, topics, ..RunnerConfig::default() };
    Ok(start(Parts {
        config,
        recovery,
        journal,
        open_reader: || log.reader().expect("it was opened before"),
        script: Script::Live,
        clock: Arc::new(SystemClock),
        snapshots: None,
        observer: Box::new(Nobody),
    })?)
}
