//! Appends, acknowledged by all replicas, of which there is one here.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use tidegate_log::kafka::{KafkaAppender, KafkaLog};
use tidegate_log::{EventAppender as _, NewEvent};

use super::Deployment;
use crate::clock::timed;
use crate::log::Events;
use crate::measure::{By, Done, Group};
use crate::{Scale, Table};

/// Events of an append.
const APPEND_EVENTS: usize = 1_000;
/// Appends under way at once.
const APPENDERS: usize = 8;

pub(super) fn run(bootstrap: &str, events: &Events, scale: Scale) -> anyhow::Result<Table> {
    let deployment = Deployment::new(bootstrap);
    let log = deployment.open()?;
    let appender = log.appender()?;
    Group::new("Appending to Kafka", By::Wall, "events", events.count(), events.bytes())
        .ceiling("a bare producer, acks=all, lz4", || {
            let lines: Vec<&[u8]> = events.lines.lines().collect();
            let keys = events.users.iter().map(String::as_str);
            bare(bootstrap, &deployment.events, keys.zip(lines))
        })
        .case("an appender, 8 times 1,000 under way", || append(&appender, events))
        .measure(scale)
}

/// Appends all of them, once.
pub(super) fn fill(log: &KafkaLog, events: &Events) -> anyhow::Result<()> {
    append(&log.appender()?, events)?;
    Ok(())
}

fn append(appender: &KafkaAppender, events: &Events) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    let event = |(line, user): (&[u8], &String)| NewEvent {
        partition: appender.partition_of(user),
        key: user.clone(),
        value: line.to_vec(),
    };
    let mut all: Vec<Vec<Vec<NewEvent>>> = vec![Vec::new(); APPENDERS];
    let lines: Vec<_> = events.lines.lines().zip(&events.users).collect();
    for (number, batch) in lines.chunks(APPEND_EVENTS).enumerate() {
        all[number % APPENDERS].push(batch.iter().copied().map(event).collect());
    }
    let (counted, took) = timed(|| {
        let tasks: Vec<_> = all
            .into_iter()
            .map(|batches| {
                let appender = appender.clone();
                runtime.spawn(async move {
                    let mut count = 0;
                    for batch in batches {
                        count += appender.append(batch).await?.len();
                    }
                    anyhow::Ok(count)
                })
            })
            .collect();
        tasks.into_iter().map(|task| runtime.block_on(task)?).sum::<anyhow::Result<usize>>()
    });
    assert_eq!(counted?, events.count());
    Ok(Done { took, note: per_million(took.cpu, events.count()) })
}

/// The least that has to be done: all of them into one topic, keyed.
pub(super) fn bare<'a>(
    bootstrap: &str,
    topic: &str,
    records: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
) -> anyhow::Result<Done> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "0")
        .create()?;
    let count = records.len();
    let (sent, took) = timed(|| -> anyhow::Result<()> {
        for (key, value) in records {
            let mut record = BaseRecord::to(topic).key(key).payload(value);
            while let Err((error, back)) = producer.send(record) {
                anyhow::ensure!(error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull), "{error}");
                std::thread::yield_now();
                record = back;
            }
        }
        producer.flush(std::time::Duration::from_mins(1))?;
        Ok(())
    });
    sent?;
    Ok(Done { took, note: per_million(took.cpu, count) })
}

/// Processor time, for a million of them.
pub(crate) fn per_million(cpu: std::time::Duration, events: usize) -> String {
    format!("{:.2} CPU s per million", cpu.as_secs_f64() * 1e6 / events as f64)
}
