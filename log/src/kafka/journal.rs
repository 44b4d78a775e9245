//! The journal on Kafka: each commit is a transaction over the topics of rows and that of bindings.
//!
//! A deployment has one transactional id. Whoever begins to use it fences who used it before, aborts what that one
//! left open, and notes a generation of its own, before it reads where the deployment stands.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset as KafkaOffset, TopicPartitionList};
use tidegate_model::{Epoch, Generation, PartitionId};

use super::bindings::{BINDING_KEY, EpochsTopic, GENERATION_KEY, PARTITION};
use super::client::{self, Context};
use super::options::Options;
use super::rows::Partitions;
use crate::block_on::block_on;
use crate::journal::{Commit, CommitError, Journal, JournalError, Recovered, RowRecord, check_order};
use crate::partitioner;

/// How long a producer is polled at once: what waits for a delivery waits that much too long at most.
const POLL: Duration = Duration::from_millis(1);

/// How long an abort may take before it is listened once more.
const ABORT_STEP: Duration = Duration::from_millis(100);

/// How long whoever fenced us may take to note its generation.
const TAKEOVER_DEADLINE: Duration = Duration::from_secs(3);

/// How long it rests between two looks for it.
const TAKEOVER_REST: Duration = Duration::from_millis(50);

/// After so long without an answer to a commit its outcome is unknown. Kafka gives a transaction up after a
/// minute (`transaction.timeout.ms`).
const COMMIT_DEADLINE: Duration = Duration::from_secs(55);

/// Keeps the first error of a transaction's messages.
#[derive(Clone, Default)]
struct Outcome(Arc<Mutex<Option<KafkaError>>>);

impl Outcome {
    fn take(&self) -> Option<KafkaError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Outcome {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }
}

impl ProducerContext for Outcome {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

/// The journal of a deployment on Kafka.
pub struct KafkaJournal {
    options: Arc<Options>,
    epochs: EpochsTopic,
    partitions: Partitions,
    /// For removing bindings, from the first time on.
    admin: Option<AdminClient<Context>>,
    /// There is one from the recovery on.
    writer: Option<Writer>,
}

struct Writer {
    producer: BaseProducer<Outcome>,
    outcome: Outcome,
    generation: Generation,
    last: Option<Epoch>,
}

impl KafkaJournal {
    pub(super) fn new(options: Arc<Options>) -> Result<Self, KafkaError> {
        let epochs = EpochsTopic::new(&options)?;
        let partitions = Partitions::new(client::consumer(&options)?, options.request_timeout);
        Ok(Self { options, epochs, partitions, admin: None, writer: None })
    }

    fn shown(&self) -> String {
        format!("topic {} at {}", self.epochs.name(), self.options.bootstrap)
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> JournalError {
        JournalError::Storage { what: self.shown(), reason: error.to_string() }
    }

    /// What surely did not take place; it may be sent again.
    fn storage(&self, error: &dyn std::fmt::Display) -> CommitError {
        CommitError::Storage { path: self.shown(), reason: error.to_string() }
    }

    fn indefinite(&self, error: &dyn std::fmt::Display) -> CommitError {
        CommitError::Indefinite { path: self.shown(), reason: error.to_string() }
    }

    /// The producer can do nothing any more: somebody has taken over, or Kafka has given the transaction up.
    fn ended(&self, own: Generation, error: &dyn std::fmt::Display) -> CommitError {
        let began = Instant::now();
        loop {
            match self.epochs.newest() {
                Ok(newest) if newest.generation > own => {
                    return CommitError::Fenced { own, other: newest.generation };
                }
                // It fences first, and notes its generation then.
                Ok(_) if began.elapsed() < TAKEOVER_DEADLINE => std::thread::park_timeout(TAKEOVER_REST),
                _ => return self.indefinite(error),
            }
        }
    }

    /// What an error of a step of a transaction means, whose commit was not asked for yet.
    fn before_commit(&self, writer: &Writer, error: &KafkaError) -> CommitError {
        if is_fatal(error) || writer.producer.client().fatal_error().is_some() {
            return self.ended(writer.generation, error);
        }
        match abort(writer) {
            Ok(()) => self.storage(error),
            Err(abort) => self.ended(writer.generation, &format!("{error}; and then {abort}")),
        }
    }

    fn send_all(&self, writer: &Writer, commit: &Commit) -> Result<(), CommitError> {
        let error = |error: KafkaError| self.before_commit(writer, &error);
        // What an aborted transaction left is not this one's.
        writer.producer.poll(Duration::ZERO);
        drop(writer.outcome.take());
        writer.producer.begin_transaction().map_err(|begin| {
            if is_fatal(&begin) { self.ended(writer.generation, &begin) } else { self.storage(&begin) }
        })?;
        for row in &commit.rows {
            let count = self.partitions.count(&row.topic).map_err(|failed| {
                let ended = |error: KafkaError| self.ended(writer.generation, &error);
                abort(writer).map_or_else(ended, |()| self.storage(&failed))
            })?;
            send_row(writer, row, count).map_err(error)?;
        }
        for binding in &commit.bindings {
            let body = serde_json::to_vec(binding).expect("a binding is plain JSON");
            let headers = header(OwnedHeaders::new_with_capacity(1), "epoch", &binding.epoch.to_string());
            send(writer, self.epochs.name(), PARTITION, BINDING_KEY.as_bytes(), &body, headers)
                .map_err(error)?;
        }
        delivered(writer).map_err(error)
    }

    /// Commits what was sent. From here on the outcome may be unknown.
    fn commit_sent(&self, writer: &Writer) -> Result<(), CommitError> {
        let commit = || writer.producer.commit_transaction(self.options.request_timeout);
        retried(COMMIT_DEADLINE, commit).map_err(|error| match &error {
            KafkaError::Transaction(failed) if failed.txn_requires_abort() => {
                self.before_commit(writer, &error)
            }
            error if is_fatal(error) => self.ended(writer.generation, error),
            error => self.indefinite(error),
        })
    }

    /// Takes over: fences whoever was there, and notes the next generation.
    fn take_over(&mut self) -> Result<Recovered, JournalError> {
        let outcome = Outcome::default();
        let config = self.options.committer();
        let producer: BaseProducer<Outcome> =
            config.create_with_context(outcome.clone()).map_err(|error| self.unreadable(&error))?;
        let timeout = self.options.request_timeout;
        retried(COMMIT_DEADLINE, || producer.init_transactions(timeout))
            .map_err(|error| self.unreadable(&error))?;
        let newest = self.epochs.newest()?;
        if newest.binding.is_none() && newest.is_pruned {
            let reason = "it has no binding, but had some: bring the topic back, or name another deployment \
                          (deployment)";
            return Err(JournalError::Damaged { what: self.shown(), reason: reason.to_owned() });
        }
        let generation = Generation(newest.generation.0 + 1);
        let last = newest.binding;
        let writer = Writer { producer, outcome, generation, last: last.as_ref().map(|last| last.epoch) };
        let noted = writer.producer.begin_transaction().and_then(|()| {
            let number = generation.to_string();
            let headers = OwnedHeaders::new();
            let key = GENERATION_KEY.as_bytes();
            send(&writer, self.epochs.name(), PARTITION, key, number.as_bytes(), headers)?;
            delivered(&writer)?;
            retried(COMMIT_DEADLINE, || writer.producer.commit_transaction(timeout))
        });
        noted.map_err(|error| self.unreadable(&error))?;
        self.writer = Some(writer);
        Ok(Recovered { generation, last })
    }
}

impl Journal for KafkaJournal {
    fn recover(&mut self) -> Result<Recovered, JournalError> {
        // The one before it would be fenced by it.
        self.writer = None;
        self.take_over()
    }

    fn read_bindings(
        &mut self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(tidegate_model::Binding),
    ) -> Result<(), JournalError> {
        self.epochs.read_after(after, visit)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), CommitError> {
        let writer = self.writer.as_ref().ok_or_else(|| CommitError::Invalid {
            reason: "the journal is recovered before it is written".to_owned(),
        })?;
        check_order(commit, writer.last).map_err(|reason| CommitError::Invalid { reason })?;
        let Some(last) = commit.bindings.last() else { return Ok(()) };
        self.send_all(writer, commit)?;
        self.commit_sent(writer)?;
        self.writer.as_mut().expect("it was there").last = Some(last.epoch);
        Ok(())
    }

    fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        let own = self.writer.as_ref().map(|writer| writer.generation).unwrap_or_default();
        let newest = self.epochs.newest().map_err(|error| self.storage(&error))?;
        if newest.generation > own {
            return Err(CommitError::Fenced { own, other: newest.generation });
        }
        let found = self.epochs.find(before).map_err(|error| self.storage(&error))?;
        let Some(offset) = found else { return Ok(false) };
        let mut records = TopicPartitionList::new();
        let offset = i64::try_from(offset.0).expect("Kafka's offsets are such");
        records
            .add_partition_offset(self.epochs.name(), PARTITION, KafkaOffset::Offset(offset))
            .map_err(|error| self.storage(&error))?;
        if self.admin.is_none() {
            let admin = self.options.admin().create_with_context(Context);
            self.admin = Some(admin.map_err(|error| self.storage(&error))?);
        }
        let admin = self.admin.as_ref().expect("it was just made");
        let options = AdminOptions::new().operation_timeout(Some(self.options.request_timeout));
        let deleted =
            block_on(admin.delete_records(&records, &options)).map_err(|error| self.storage(&error))?;
        for element in deleted.elements() {
            element.error().map_err(|error| self.storage(&error))?;
        }
        Ok(false)
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_fatal(),
        error => matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced)
        ),
    }
}

/// Does it again for as long as librdkafka says that that may help.
fn retried(
    deadline: Duration,
    mut attempt: impl FnMut() -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(KafkaError::Transaction(error)) if may_be_retried(&error) && began.elapsed() < deadline => {
                std::thread::park_timeout(POLL);
            }
            outcome => return outcome,
        }
    }
}

fn may_be_retried(error: &RDKafkaError) -> bool {
    error.is_retriable() && !error.is_fatal() && !error.txn_requires_abort()
}

/// Takes a transaction back. What was sent of it is told of meanwhile: somebody has to listen.
fn abort(writer: &Writer) -> Result<(), KafkaError> {
    retried(COMMIT_DEADLINE, || {
        writer.producer.poll(Duration::ZERO);
        writer.producer.abort_transaction(ABORT_STEP)
    })
}

/// Waits until everything sent is in the log.
fn delivered(writer: &Writer) -> Result<(), KafkaError> {
    while writer.producer.in_flight_count() > 0 {
        listen(writer);
    }
    writer.outcome.take().map_or(Ok(()), Err)
}

/// Hears what became of what was sent, or rests where nothing is new. The producer itself would not rest: within the
/// last millisecond of a timeout, `poll` asks again and again.
fn listen(writer: &Writer) {
    let in_flight = writer.producer.in_flight_count();
    writer.producer.poll(Duration::ZERO);
    if writer.producer.in_flight_count() == in_flight {
        std::thread::park_timeout(POLL);
    }
}

fn header(headers: OwnedHeaders, key: &str, value: &str) -> OwnedHeaders {
    headers.insert(Header { key, value: Some(value.as_bytes()) })
}

fn send_row(writer: &Writer, row: &RowRecord, partitions: u32) -> Result<(), KafkaError> {
    let mut headers = OwnedHeaders::new_with_capacity(3 + row.headers.len());
    headers = header(headers, "epoch", &row.epoch.to_string());
    headers = header(headers, "op", row.op.as_str());
    headers = header(headers, "generation", &writer.generation.to_string());
    for (name, value) in &row.headers {
        headers = header(headers, name, value);
    }
    let PartitionId(partition) = partitioner::partition_of(&row.key, partitions);
    let partition = i32::try_from(partition).expect("Kafka numbers partitions so");
    send(writer, &row.topic, partition, &row.key, &row.value, headers)
}

/// Hands a message over, and makes room for it where there is none.
fn send(
    writer: &Writer,
    topic: &str,
    partition: i32,
    key: &[u8],
    value: &[u8],
    headers: OwnedHeaders,
) -> Result<(), KafkaError> {
    let mut record = BaseRecord::to(topic).partition(partition).key(key).payload(value).headers(headers);
    loop {
        match writer.producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                listen(writer);
                record = back;
            }
            Err((error, _)) => return Err(error),
        }
    }
}
