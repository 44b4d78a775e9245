//! Rows that waited in Kafka while ClickHouse was away: how fast the sink catches up.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use tidegate_log::RowReader as _;
use tidegate_log::kafka::KafkaLog;
use tidegate_model::row::MetricRow as _;
use tidegate_model::{EventTime, Offset};
use tidegate_sinks::{Config, Sink};

use super::Server;
use super::insert::{bare, open};
use crate::clock::timed;
use crate::kafka::{Deployment, per_million};
use crate::measure::{By, Done, Group};
use crate::workload::session;
use crate::{Scale, Table};

const ROWS: usize = 10_000_000;

/// Rows of a step: the largest insert.
const STEP: usize = 100_000;

/// What does not come within so long is not going to.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn run(server: &Server, bootstrap: &str, scale: Scale) -> anyhow::Result<Table> {
    let rows = scale.of(ROWS);
    let deployment = Deployment::new(bootstrap);
    let log = deployment.open()?;
    let bytes = fill(&deployment, rows)?;
    Group::new("A backlog of rows in Kafka, into ClickHouse", By::Wall, "rows", rows, bytes)
        .rounds(1)
        .ceiling("reading the rows, and nothing else", || read(&log, &deployment, rows))
        .ceiling("a bare insert of as many rows", || bare(&server.database(), rows, STEP))
        .case("the sink, from Kafka", || {
            let database = server.database();
            let config = Config { rows_per_topic_max: STEP, ..Config::default() };
            let config = config.with_topic("session_metrics", &deployment.topic("session_metrics"));
            let topics = config.topics.iter().filter(|topic| topic.table.name() == "session_metrics");
            let config = Config { topics: topics.cloned().collect(), ..config };
            let mut sink = Sink::new(log.row_reader()?, open(&database)?, config);
            let (caught_up, took) = timed(|| -> anyhow::Result<()> {
                let mut stored = 0;
                let mut last = Instant::now();
                while stored < rows as u64 {
                    let progress = sink.step(EventTime::MIN)?;
                    if progress.applied.rows() > 0 {
                        (stored, last) = (stored + progress.applied.rows(), Instant::now());
                    }
                    ensure!(last.elapsed() < PATIENCE, "{stored} of {rows} rows are stored");
                }
                Ok(())
            });
            caught_up?;
            database.check(rows)?;
            Ok(Done { took, note: per_million(took.cpu, rows) })
        })
        .measure(scale)
}

/// Puts rows into their topic, of one epoch, and says how many bytes they are.
fn fill(deployment: &Deployment, rows: usize) -> anyhow::Result<usize> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &deployment.bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .create()?;
    let topic = deployment.topic("session_metrics");
    let headers = [("epoch", "1"), ("op", "final"), ("generation", "1")];
    let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    let mut bytes = 0;
    for number in 0..rows {
        let row = session(number);
        let (key, value) = (row.message_key(), serde_json::to_vec(&row)?);
        bytes += value.len();
        let mut record = BaseRecord::to(&topic).key(&key).payload(&value).headers(headers.clone());
        while let Err((error, back)) = producer.send(record) {
            ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
            std::thread::park_timeout(Duration::from_millis(1));
            record = back;
        }
    }
    producer.flush(PATIENCE)?;
    Ok(bytes)
}

fn read(log: &KafkaLog, deployment: &Deployment, rows: usize) -> anyhow::Result<Done> {
    let (topic, mut reader) = (deployment.topic("session_metrics"), log.row_reader()?);
    let mut positions: Vec<_> =
        reader.partitions(&topic)?.into_iter().map(|partition| (partition, Offset::ZERO)).collect();
    let (read, took) = timed(|| -> anyhow::Result<()> {
        let mut count = 0;
        while count < rows {
            for (partition, next) in &mut positions {
                *next = reader.read(&topic, *partition, *next, STEP, &mut |_| count += 1)?;
            }
        }
        ensure!(count == rows, "{count} rows, expected {rows}");
        Ok(())
    });
    read?;
    Ok(Done { took, note: per_million(took.cpu, rows) })
}
