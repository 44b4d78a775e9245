//! Reading events from Kafka.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tidegate_model::{Offset, PartitionId};

use super::client::{self, Consumer, is_unknown, number, storage};
use super::ends::Ends;
use super::options::Options;
use super::stream::{Client, Nothing, Stream};
use crate::event::{EventReader, ReadError, RecordRef, Wake};

/// How long a reader believes that a topic has the partitions that it had: less than those who send do, so that nothing lies in
/// a new one for long before it is read.
const PARTITIONS_AGE_MAX: Duration = Duration::from_secs(1);

/// How much longer it is believed when Kafka does not answer: whoever asks waits for it.
const AWAY_REST: Duration = Duration::from_secs(4);

/// So many records are rather read and passed than a partition is begun anew, which throws away what has arrived and asks the
/// broker again: some milliseconds, against one for a thousand records.
const SKIP_MAX: u64 = 10_000;

/// How long a look may take. A worker waits for it, so it is short; Kafka that takes longer counts as away.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads events. What has not arrived yet is not waited for: the wake-up call tells of it.
pub struct KafkaEventReader {
    consumer: Arc<Client>,
    /// Asks what can be answered at once. A broker answers a connection's requests in turn, and one for more
    /// records is answered when there are some.
    looker: Consumer,
    topic: Arc<str>,
    timeout: Duration,
    ends: Ends,
    /// Whether Kafka has answered a look.
    has_looked: bool,
    partitions: Option<(Instant, Vec<PartitionId>)>,
    /// The partitions that are read. They go before their client does.
    streams: BTreeMap<PartitionId, Stream>,
    wake: Option<Wake>,
}

impl KafkaEventReader {
    pub(super) fn new(options: &Options) -> Result<Self, KafkaError> {
        Ok(Self {
            consumer: Arc::new(Client::new(client::consumer(options)?)),
            looker: client::consumer(options)?,
            topic: options.topics.events.as_str().into(),
            timeout: options.request_timeout,
            ends: Ends::default(),
            has_looked: false,
            partitions: None,
            streams: BTreeMap::new(),
            wake: None,
        })
    }

    /// The stream of `partition`, at `from`, or on the way there.
    fn stream(&mut self, partition: PartitionId, from: Offset) -> Result<&mut Stream, ReadError> {
        let goes_on = match self.streams.get_mut(&partition) {
            Some(stream) if is_near(stream.position(), from) => {
                if let Err(error) = stream.skip_to(from) {
                    let at = stream.position();
                    return Err(self.refused(partition, at, error));
                }
                true
            }
            Some(stream) => stream.go_to(from),
            None => false,
        };
        if !goes_on {
            let available = self.bounds(partition)?;
            if from < available.start || from > available.end {
                return Err(ReadError::OutOfRange { partition, asked: from, available });
            }
            // One partition is read once at a time.
            self.streams.remove(&partition);
            let (number, wake) = (number(partition)?, self.wake.clone());
            let stream = Stream::start(&self.consumer, &self.topic, number, from, wake)
                .map_err(|error| storage(&self.topic, &error))?;
            self.streams.insert(partition, stream);
        }
        Ok(self.streams.get_mut(&partition).expect("it was there or was put there"))
    }

    /// Why Kafka refused to read on at `asked`.
    fn refused(&mut self, partition: PartitionId, asked: Offset, error: RDKafkaErrorCode) -> ReadError {
        // It is to begin anew.
        self.streams.remove(&partition);
        match error {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                match self.bounds(partition) {
                    Ok(available) => ReadError::OutOfRange { partition, asked, available },
                    Err(error) => error,
                }
            }
            // One that was added a moment ago is not known everywhere.
            error if is_unknown(error) => match partitions(&self.looker, &self.topic, LOOK_TIMEOUT) {
                Ok(all) if !all.contains(&partition) => ReadError::UnknownPartition(partition),
                _ => storage(&self.topic, &error),
            },
            error => storage(&self.topic, &error),
        }
    }
}

impl EventReader for KafkaEventReader {
    fn partitions(&mut self) -> Result<Vec<PartitionId>, ReadError> {
        if let Some((_, partitions)) =
            self.partitions.as_ref().filter(|(at, _)| at.elapsed() < PARTITIONS_AGE_MAX)
        {
            return Ok(partitions.clone());
        }
        // Messages come by queues of their own: here are only notices, which have been logged.
        drop((self.consumer.poll(Duration::ZERO), self.looker.poll(Duration::ZERO)));
        // The first time there is nothing else to be done.
        let timeout = if self.partitions.is_some() { LOOK_TIMEOUT } else { self.timeout };
        let (found, rest) = match (partitions(&self.looker, &self.topic, timeout), self.partitions.take()) {
            (Ok(found), _) => (found, Duration::ZERO),
            // None is ever removed: while Kafka is away there are those that there were.
            (Err(_), Some((_, known))) => (known, AWAY_REST),
            (Err(error), None) => return Err(error),
        };
        self.partitions = Some((Instant::now() + rest, found.clone()));
        Ok(found)
    }

    fn bounds(&mut self, partition: PartitionId) -> Result<Range<Offset>, ReadError> {
        // The first time there is nothing else to be done.
        let timeout = if self.has_looked { LOOK_TIMEOUT } else { self.timeout };
        let bounds = self.ends.look(&self.looker, &(Arc::clone(&self.topic), partition), timeout)?;
        self.has_looked = true;
        Ok(bounds)
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        max_bytes: usize,
        visit: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Offset, ReadError> {
        let stream = self.stream(partition, from)?;
        if stream.position() < from {
            return Ok(from);
        }
        let (mut bytes, mut any) = (0, false);
        loop {
            match stream.next(Duration::ZERO) {
                Ok(_) if any && bytes >= max_bytes => break,
                Ok(message) => {
                    let (offset, value) = (message.offset(), message.value());
                    visit(RecordRef { offset, append_time: message.time(), value });
                    (bytes, any) = (bytes + value.len(), true);
                    stream.pass();
                }
                Err(Nothing::Yet | Nothing::End) => break,
                Err(Nothing::Refused(error)) => {
                    let at = stream.position();
                    return Err(self.refused(partition, at, error));
                }
            }
        }
        Ok(stream.position())
    }

    fn on_append(&mut self, wake: Wake) {
        self.streams.values_mut().for_each(|stream| stream.on_arrival(Arc::clone(&wake)));
        self.wake = Some(wake);
    }
}

/// Whether `from` is so little ahead that what lies before it is read and passed.
fn is_near(position: Offset, from: Offset) -> bool {
    position < from && from.since(position) <= SKIP_MAX
}

/// The partitions of a topic, as Kafka says now.
pub(super) fn partitions(
    consumer: &Consumer,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<PartitionId>, ReadError> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout).map_err(|error| storage(topic, &error))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| storage(topic, &"Kafka says nothing of the topic"))?;
    if let Some(error) = found.error() {
        return Err(storage(topic, &RDKafkaErrorCode::from(error)));
    }
    let mut partitions: Vec<_> =
        found.partitions().iter().map(|partition| client::id(partition.id())).collect();
    partitions.sort_unstable();
    Ok(partitions)
}
