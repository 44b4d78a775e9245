//! What a log on Kafka is opened with, and what its clients are configured by.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::topics::OpenError;

/// Topics of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    /// Events.
    pub events: String,
    /// Every topic of rows.
    pub rows: Vec<String>,
}

/// Settings of librdkafka that nobody else may make.
const OURS: [&str; 13] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "metadata.broker.list",
    "request.required.acks",
    "transactional.id",
];

/// What a log on Kafka is opened with. Some of it is secret: it is not shown.
#[derive(Clone)]
pub struct Options {
    /// Some of the brokers: `host:port`, separated by commas.
    pub bootstrap: String,
    /// The deployment. The topic of its bindings and its ids are named after it.
    pub deployment: String,
    /// Its topics.
    pub topics: TopicNames,
    /// Partitions of the topic of events, when it is created.
    pub events_partitions: u32,
    /// Partitions of a topic of rows, when it is created.
    pub rows_partitions: u32,
    /// Replicas of a topic that is created; the brokers' own default when `None`.
    pub replicas: Option<u32>,
    /// Bytes of events that wait to be sent, at most.
    pub queue_bytes_max: usize,
    /// How long Kafka may take for one answer.
    pub request_timeout: Duration,
    /// Settings of librdkafka, for every client; they take the place of ours.
    pub client: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bootstrap: "localhost:9092".to_owned(),
            deployment: "tidegate".to_owned(),
            topics: TopicNames { events: "analytics_events".to_owned(), rows: Vec::new() },
            events_partitions: 6,
            rows_partitions: 3,
            replicas: None,
            queue_bytes_max: 64 << 20,
            request_timeout: Duration::from_secs(10),
            client: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Refuses settings of clients that what is promised rests on.
    pub(super) fn refuse_ours(&self) -> Result<(), OpenError> {
        let Some(name) = OURS.iter().find(|name| self.client.contains_key(**name)) else { return Ok(()) };
        let reason = format!("kafka.{name} cannot be set: what is promised rests on the value that it has");
        Err(OpenError::Client { reason })
    }

    /// The topic of bindings.
    pub(super) fn epochs_topic(&self) -> String {
        format!("{}_epochs", self.deployment)
    }

    /// What every client has in common.
    pub(super) fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", format!("tidegate-{}", self.deployment))
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            // Within that time a new partition is found.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("allow.auto.create.topics", "false");
        config
    }

    /// Lets the user's settings take the place of ours.
    fn theirs(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.client {
            config.set(name, value);
        }
        config
    }

    /// For looking around.
    pub(super) fn admin(&self) -> ClientConfig {
        self.theirs(self.common())
    }

    /// For reading something to its end now and then. A request that waits for more delays the next one.
    pub(super) fn looking(&self) -> ClientConfig {
        let mut config = self.consumer();
        config.set("fetch.wait.max.ms", "5");
        config
    }

    /// For reading rows as soon as they are there. What marks the end of a transaction is no message: that a partition was
    /// read to its end is known when the next request for more is answered.
    pub(super) fn following(&self) -> ClientConfig {
        let mut config = self.consumer();
        config.set("fetch.wait.max.ms", "10");
        config
    }

    /// For reading. Only what is committed is seen, and reading never jumps.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("group.id", format!("{}-reader", self.deployment))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            // A backlog is read at a third of the speed with the default of a second.
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.message.max.bytes", "4194304");
        self.theirs(config)
    }

    /// For events: acknowledged by all replicas, each once and in order.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", (self.queue_bytes_max >> 10).max(1).to_string())
            .set("message.timeout.ms", "30000");
        self.theirs(config)
    }

    /// For rows and bindings, in transactions. One deployment has one id: who begins fences who was there.
    pub(super) fn committer(&self) -> ClientConfig {
        let mut config = self.common();
        config
            .set("transactional.id", format!("{}-committer", self.deployment))
            .set("transaction.timeout.ms", "60000")
            .set("compression.type", "lz4")
            .set("linger.ms", "0")
            .set("batch.size", "1000000")
            .set("retry.backoff.ms", "2")
            // A record that was dropped comes back with headers: how large it may be is for the broker to say.
            .set("message.max.bytes", "8388608")
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "2097151");
        self.theirs(config)
    }
}
