//! The log on Kafka: appending events, reading them, the whole way from events to rows, and how long one event takes for it, beside the least that
//! a client of Kafka has to do.
//!
//! A broker that `TIDEGATE_TEST_KAFKA` names is used, in topics of its own; otherwise one is started.

mod append;
mod commit;
pub(crate) mod latency;
mod pipeline;
mod read;

use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use append::per_million;
use tidegate_log::kafka::{KafkaLog, Options, TopicNames};
use tidegate_model::Schema;
use tidegate_services::{Kafka, kafka};

use crate::log::Events;
use crate::{Scale, Table, scratch};

const EVENTS: usize = 400_000;

/// Measures appends, reads, and the way from events to rows.
///
/// # Errors
/// When there is no broker, or it fails.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let folder = scratch::folder()?;
    let started = if kafka::named().is_none() { Some(Kafka::start(folder.path())?) } else { None };
    let own = || started.as_ref().map(|kafka| kafka.address().to_owned());
    let bootstrap = kafka::named().or_else(own).expect("one of them is there");
    let events = Events::new(scale.of(EVENTS));
    let read = Deployment::new(&bootstrap);
    let log = read.open()?;
    append::fill(&log, &events)?;
    Ok(vec![
        append::run(&bootstrap, &events, scale)?,
        read::run(&read, &log, &events, scale)?,
        pipeline::run(&read, &events, scale)?,
        commit::run(&bootstrap, scale)?,
        latency::run(&bootstrap, scale)?,
    ])
}

/// Topics of its own.
pub(crate) struct Deployment {
    pub(crate) bootstrap: String,
    pub(crate) name: String,
    pub(crate) events: String,
}

impl Deployment {
    pub(crate) fn new(bootstrap: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bench-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { bootstrap: bootstrap.to_owned(), events: format!("{name}-events"), name }
    }

    /// Another one that reads the same events.
    fn beside(&self) -> Self {
        Self { events: self.events.clone(), ..Self::new(&self.bootstrap) }
    }

    pub(crate) fn topic(&self, table: &str) -> String {
        format!("{}-{table}", self.name)
    }

    pub(crate) fn open(&self) -> anyhow::Result<KafkaLog> {
        let tables = Schema::ALL.iter().map(|schema| schema.table).chain(["live_metrics", "dropped_events"]);
        Ok(KafkaLog::open(Options {
            bootstrap: self.bootstrap.clone(),
            deployment: self.name.clone(),
            topics: TopicNames {
                events: self.events.clone(),
                rows: tables.map(|table| self.topic(table)).collect(),
            },
            ..Options::default()
        })?)
    }
}
