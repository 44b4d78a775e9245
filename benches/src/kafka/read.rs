//! Reading everything back, as one source does it.

use std::hint::black_box;

use anyhow::ensure;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset as KafkaOffset, TopicPartitionList};
use tidegate_log::EventReader as _;
use tidegate_log::kafka::KafkaLog;
use tidegate_model::Offset;

use super::Deployment;
use super::append::per_million;
use crate::clock::timed;
use crate::log::{Events, READ_BYTES};
use crate::measure::{By, Done, Group};
use crate::{Scale, Table};

pub(super) fn run(
    deployment: &Deployment,
    log: &KafkaLog,
    events: &Events,
    scale: Scale,
) -> anyhow::Result<Table> {
    Group::new("Reading from Kafka, one thread", By::Wall, "events", events.count(), events.bytes())
        .ceiling("a bare consumer, message by message", || bare(deployment, log, events))
        .case("a reader", || ours(log, events))
        .measure(scale)
}

pub(super) fn ours(log: &KafkaLog, events: &Events) -> anyhow::Result<Done> {
    let mut reader = log.reader()?;
    let (mut count, mut bytes) = (0, 0);
    let (read, took) = timed(|| -> anyhow::Result<()> {
        let mut open: Vec<_> = reader.partitions()?.into_iter().map(|id| (id, Offset::ZERO)).collect();
        while count < events.count() {
            for (partition, next) in &mut open {
                *next = reader.read(*partition, *next, READ_BYTES, &mut |record| {
                    count += 1;
                    bytes += black_box(record.value).len();
                })?;
            }
        }
        Ok(())
    });
    read?;
    ensure!((count, bytes) == (events.count(), events.bytes()), "{count} events of {bytes} bytes");
    Ok(Done { took, note: per_million(took.cpu, count) })
}

/// A bare consumer with one more setting, and all partitions from their beginning, for it to be assigned.
pub(super) fn consumer(
    deployment: &Deployment,
    log: &KafkaLog,
    (name, value): (&str, &str),
) -> anyhow::Result<(BaseConsumer, TopicPartitionList)> {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", &deployment.bootstrap)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set(name, value)
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in log.reader()?.partitions()? {
        let number = i32::try_from(partition.0)?;
        assignment.add_partition_offset(&deployment.events, number, KafkaOffset::Beginning)?;
    }
    Ok((consumer, assignment))
}

/// All partitions through the one queue of a consumer.
pub(super) fn bare(deployment: &Deployment, log: &KafkaLog, events: &Events) -> anyhow::Result<Done> {
    let (consumer, assignment) = consumer(deployment, log, ("fetch.queue.backoff.ms", "2"))?;
    let (mut count, mut bytes) = (0, 0);
    let (read, took) = timed(|| -> anyhow::Result<()> {
        consumer.assign(&assignment)?;
        while count < events.count() {
            let Some(message) = consumer.poll(std::time::Duration::from_secs(10)) else { continue };
            count += 1;
            bytes += black_box(message?.payload()).map_or(0, <[u8]>::len);
        }
        Ok(())
    });
    read?;
    ensure!((count, bytes) == (events.count(), events.bytes()), "{count} events of {bytes} bytes");
    Ok(Done { took, note: per_million(took.cpu, count) })
}
