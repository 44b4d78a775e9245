//! What somebody else does to topics.

use std::future::Future;

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

/// Whoever runs the brokers.
pub(crate) struct Admin {
    client: AdminClient<DefaultClientContext>,
    options: AdminOptions,
}

impl Admin {
    pub(crate) fn new(bootstrap: &str) -> Self {
        let client = ClientConfig::new().set("bootstrap.servers", bootstrap).create();
        Self { client: client.expect("the settings are right"), options: AdminOptions::new() }
    }

    /// Makes a topic in a way of its own.
    pub(crate) fn make(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
        done(self.client.create_topics([&topic], &self.options));
        // It is there before everybody is told of it.
        crate::common::wait_for("the topic to be seen", || {
            let seen =
                self.client.inner().fetch_metadata(Some(topic.name), std::time::Duration::from_secs(30));
            let seen = seen.expect("the broker answers");
            let is_seen = |seen: &MetadataTopic| seen.error().is_none() && !seen.partitions().is_empty();
            seen.topics().first().is_some_and(is_seen).then_some(())
        });
    }

    /// Sets a topic's settings; those that are not named are back at their defaults.
    pub(crate) fn set(&self, topic: &str, settings: &[(&str, &str)]) {
        let altered = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let altered = settings.iter().fold(altered, |altered, (name, value)| altered.set(name, value));
        for altered in wait(self.client.alter_configs([&altered], &self.options)).expect("the broker answers")
        {
            altered.expect("it is altered");
        }
    }

    /// Gives a topic more partitions.
    pub(crate) fn add_partitions(&self, topic: &str, count: usize) {
        let more = [NewPartitions::new(topic, count)];
        done(self.client.create_partitions(&more, &self.options));
    }

    /// Removes the first record of each partition of a topic that has one, as retention does, and says how many
    /// these are.
    pub(crate) fn remove_first(&self, topic: &str, partitions: i32) -> usize {
        let mut records = TopicPartitionList::new();
        for partition in 0..partitions {
            records.add_partition_offset(topic, partition, Offset::Offset(1)).expect("an offset");
        }
        let removed = wait(self.client.delete_records(&records, &self.options)).expect("the broker answers");
        removed.elements().iter().filter(|element| element.error().is_ok()).count()
    }

    /// Removes every record of a topic, as retention does.
    pub(crate) fn remove_all(&self, topic: &str, partitions: i32) {
        let mut records = TopicPartitionList::new();
        for partition in 0..partitions {
            records.add_partition_offset(topic, partition, Offset::End).expect("an offset");
        }
        let removed = wait(self.client.delete_records(&records, &self.options)).expect("the broker answers");
        for element in removed.elements() {
            element.error().expect("they are removed");
        }
    }

    /// Removes a topic of events and makes it anew: empty, and otherwise as it was.
    pub(crate) fn make_anew(&self, topic: &str, partitions: i32) {
        done(self.client.delete_topics(&[topic], &self.options));
        let again = NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        // The name is free a little later.
        crate::common::wait_for("the topic to be made anew", || {
            let created =
                wait(self.client.create_topics([&again], &self.options)).expect("the broker answers");
            created.into_iter().all(|created| created.is_ok()).then_some(())
        });
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(future)
}

fn done<E: std::fmt::Debug>(
    future: impl Future<Output = rdkafka::error::KafkaResult<Vec<Result<String, E>>>>,
) {
    for done in wait(future).expect("the broker answers") {
        done.expect("it is done");
    }
}
