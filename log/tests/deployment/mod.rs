//! A deployment of its own in the broker that all tests share. What the suite calls `event_metrics` is another
//! topic in each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_log::conformance::Subject;
use tidegate_log::event::Wake;
use tidegate_log::journal::JournalError;
use tidegate_log::kafka::{
    KafkaAppender, KafkaEventReader, KafkaJournal, KafkaLog, KafkaRowReader, Options, TopicNames,
};
use tidegate_log::{Commit, CommitError, Journal, ReadError, Recovered, RowReader, RowRef};
use tidegate_model::{AsOf, Binding, Epoch, Offset, PartitionId};

pub(crate) struct Deployment {
    log: KafkaLog,
    name: String,
}

impl Deployment {
    pub(crate) fn new(bootstrap: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("log-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let topics = TopicNames {
            events: format!("{name}-events"),
            rows: ["event_metrics", "dropped_events"].map(|topic| format!("{name}-{topic}")).into(),
        };
        let options = Options {
            bootstrap: bootstrap.to_owned(),
            topics,
            deployment: name.clone(),
            events_partitions: 2,
            ..Options::default()
        };
        Self { log: KafkaLog::open(options).expect("the broker answers"), name }
    }

    pub(crate) fn log(&self) -> &KafkaLog {
        &self.log
    }

    /// What its committer is called by Kafka.
    pub(crate) fn committer(&self) -> String {
        format!("{}-committer", self.name)
    }

    pub(crate) fn rows_topic(&self) -> String {
        format!("{}-event_metrics", self.name)
    }

    pub(crate) fn events_topic(&self) -> String {
        format!("{}-events", self.name)
    }
}

impl Subject for Deployment {
    type Appender = KafkaAppender;
    type Reader = KafkaEventReader;
    type Journal = Renamed<KafkaJournal>;
    type Rows = Renamed<KafkaRowReader>;

    fn appender(&self) -> KafkaAppender {
        self.log.appender().expect("the broker answers")
    }

    fn reader(&self) -> KafkaEventReader {
        self.log.reader().expect("the settings are right")
    }

    fn journal(&self) -> Renamed<KafkaJournal> {
        Renamed { inner: self.log.journal().expect("the settings are right"), name: self.name.clone() }
    }

    fn rows(&self) -> Renamed<KafkaRowReader> {
        Renamed { inner: self.log.row_reader().expect("the settings are right"), name: self.name.clone() }
    }
}

/// Puts the deployment's name before those of topics of rows.
pub(crate) struct Renamed<T> {
    inner: T,
    name: String,
}

impl<T> Renamed<T> {
    fn topic(&self, topic: &str) -> String {
        format!("{}-{topic}", self.name)
    }
}

impl<J: Journal> Journal for Renamed<J> {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        self.inner.recover()
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        self.inner.read_bindings(after, visit)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let mut commit = commit.clone();
        for row in &mut commit.rows {
            row.topic = Arc::from(self.topic(&row.topic));
        }
        self.inner.commit(&commit)
    }

    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        self.inner.prune(before)
    }
}

impl<R: RowReader> RowReader for Renamed<R> {
    fn partitions(&mut self, topic: &str) -> Result<Vec<PartitionId>, ReadError> {
        self.inner.partitions(&self.topic(topic))
    }

    fn as_of(&mut self) -> Result<Option<AsOf>, ReadError> {
        self.inner.as_of()
    }

    fn read(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<Offset, ReadError> {
        self.inner.read(&self.topic(topic), partition, from, max_rows, visit)
    }

    fn acknowledge(
        &mut self,
        sink: &str,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), ReadError> {
        self.inner.acknowledge(sink, &self.topic(topic), partition, offset)
    }

    fn on_commit(&mut self, wake: Wake) {
        self.inner.on_commit(wake);
    }
}
