//! Reading committed rows from Kafka.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset as KafkaOffset, TopicPartitionList};
use tidegate_model::{AsOf, Epoch, Generation, Offset, Op, PartitionId};

use super::bindings::{EpochsTopic, PARTITION};
use super::client::{self, Consumer, Context, number, storage};
use super::ends::{Ends, Place};
use super::events::partitions;
use super::newest::{Newest, Open, Watch};
use super::options::Options;
use super::stream::{Client, Message, Nothing, Stream};
use crate::event::{ReadError, Wake};
use crate::rows::{RowReader, RowRef};

/// How long it is believed that a topic has the partitions that it had.
const PARTITIONS_AGE_MAX: Duration = Duration::from_secs(5);

/// How long the marks of a transaction may take to be in all partitions before it is looked anew.
const MARKS_DEADLINE: Duration = Duration::from_secs(1);

/// How long it rests between two looks for them.
const MARKS_REST: Duration = Duration::from_millis(2);

/// How many partitions the topics of rows have.
pub(super) struct Partitions {
    consumer: Consumer,
    timeout: Duration,
    known: Mutex<BTreeMap<String, (Instant, Vec<PartitionId>)>>,
}

impl Partitions {
    pub(super) fn new(consumer: Consumer, timeout: Duration) -> Self {
        Self { consumer, timeout, known: Mutex::default() }
    }

    pub(super) fn of(&self, topic: &str) -> Result<Vec<PartitionId>, ReadError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, partitions)) = known.get(topic).filter(|(at, _)| at.elapsed() < PARTITIONS_AGE_MAX) {
            return Ok(partitions.clone());
        }
        let found = partitions(&self.consumer, topic, self.timeout)?;
        known.insert(topic.to_owned(), (Instant::now(), found.clone()));
        Ok(found)
    }

    pub(super) fn count(&self, topic: &str) -> Result<u32, ReadError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = known.get(topic).filter(|(at, _)| at.elapsed() < PARTITIONS_AGE_MAX);
        let count = fresh.map(|(_, partitions)| partitions.len());
        drop(known);
        let count = count.map_or_else(|| self.of(topic).map(|partitions| partitions.len()), Ok)?;
        u32::try_from(count)
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| storage(topic, &"it has no partition"))
    }
}

/// Reads committed rows.
pub struct KafkaRowReader {
    consumer: Arc<Client>,
    /// Asks what can be answered at once; see the reader of events.
    looker: Consumer,
    /// Sees what is not committed, too: whether a transaction is still open somewhere.
    all: Consumer,
    epochs: EpochsTopic,
    topics: Vec<Arc<str>>,
    partitions: Partitions,
    /// Where what is committed ends.
    ends: Ends,
    /// Where everything ends.
    appended: Ends,
    streams: BTreeMap<Place, Stream>,
    newest: Newest,
    timeout: Duration,
    acknowledging: ClientConfig,
    deployment: String,
    sinks: BTreeMap<String, Consumer>,
    watch: Option<Watch>,
}

impl KafkaRowReader {
    pub(super) fn new(options: &Options) -> Result<Self, KafkaError> {
        let mut all = options.consumer();
        all.set("isolation.level", "read_uncommitted");
        Ok(Self {
            consumer: Arc::new(Client::new(options.following().create_with_context(Context)?)),
            looker: client::consumer(options)?,
            all: all.create_with_context(Context)?,
            epochs: EpochsTopic::new(options)?,
            topics: options.topics.rows.iter().map(|topic| Arc::from(topic.as_str())).collect(),
            partitions: Partitions::new(client::consumer(options)?, options.request_timeout),
            ends: Ends::default(),
            appended: Ends::default(),
            streams: BTreeMap::new(),
            newest: Newest::default(),
            timeout: options.request_timeout,
            acknowledging: options.consumer(),
            deployment: options.deployment.clone(),
            sinks: BTreeMap::new(),
            watch: None,
        })
    }

    /// A binding that is newer than the one that is known. The marks that end its transaction are written to one
    /// partition after the other: it may be seen before some of its rows.
    fn newer(&mut self) -> Result<Option<Open>, ReadError> {
        let newer = match self.newest.told() {
            Some(told) => Some(told),
            None if self.newest.is_known(self.watch.as_ref().is_some_and(Watch::is_listening)) => None,
            None => {
                let newest = self.epochs.newest().map_err(|error| storage(self.epochs.name(), &error))?;
                let newest = newest.binding.map(|binding| binding.as_of());
                if newest.is_none() || newest == self.newest.as_of {
                    self.newest.is(newest);
                    None
                } else {
                    newest
                }
            }
        };
        let Some(as_of) = newer else { return Ok(None) };
        let mut places = Vec::new();
        for topic in &self.topics {
            places.extend(
                self.partitions.of(topic)?.into_iter().map(|partition| (Arc::clone(topic), partition)),
            );
        }
        let until = self.appended.look_anew(&self.all, &places, self.timeout)?;
        Ok(Some(Open { as_of, until, since: Instant::now(), is_awaited: false }))
    }

    /// Whether every row of `open` can be read. The first look does not wait for that.
    fn is_whole(&mut self, open: &mut Open) -> Result<bool, ReadError> {
        loop {
            // Reads that begin from now on use these answers.
            let places: Vec<Place> = open.until.keys().cloned().collect();
            let committed = self.ends.look_anew(&self.looker, &places, self.timeout)?;
            open.until.retain(|place, until| committed.get(place).is_none_or(|end| end < until));
            let is_over = open.since.elapsed() > MARKS_DEADLINE;
            if open.until.is_empty() || is_over || !std::mem::replace(&mut open.is_awaited, true) {
                return Ok(open.until.is_empty());
            }
            std::thread::park_timeout(MARKS_REST);
        }
    }

    /// The next reads look at the log anew: another one may be there when this one answers again, in which a stream
    /// would go on at the offset where it was.
    fn forget(&mut self) {
        self.streams.clear();
        self.newest.forget();
        if let Some(watch) = &mut self.watch {
            watch.forget();
        }
    }

    /// Takes in which bindings the watch has seen.
    fn hear(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        watch.hear(&mut self.newest, |wake| {
            let place = (Arc::from(self.epochs.name()), PartitionId(0));
            let end = self.ends.look(&self.looker, &place, self.timeout).map(|bounds| bounds.end);
            let started = end.and_then(|end| {
                let stream = Stream::start(&self.consumer, &place.0, PARTITION, end, Some(wake));
                stream.map_err(|error| storage(&place.0, &error))
            });
            started.inspect_err(|error| tracing::debug!(%error, "commits are noticed late")).ok()
        });
    }

    /// The newest binding of which every row can be read.
    fn newest_whole(&mut self) -> Result<Option<AsOf>, ReadError> {
        self.hear();
        loop {
            let open = match self.newest.open.take() {
                Some(open) => Some(open),
                None => self.newer()?,
            };
            let Some(mut open) = open else { return Ok(self.newest.as_of) };
            if !open.is_awaited && self.watch.is_none() {
                // Nobody would come again for it soon.
                open.is_awaited = true;
            }
            if self.is_whole(&mut open)? {
                self.newest.is(Some(open.as_of));
                continue;
            }
            if open.since.elapsed() <= MARKS_DEADLINE {
                // The rows that can be read are, and then the others are waited for.
                self.newest.open = Some(open);
                if let Some(watch) = &self.watch {
                    (watch.wake)();
                }
            }
            return Ok(self.newest.as_of);
        }
    }

    /// Fails, once, after Kafka was away. It may have come back, as another log, before any question was given up.
    fn heed_outages(&mut self) -> Result<(), ReadError> {
        let mut outage = Ok(());
        // Messages come by queues of their own: here are only notices, which have been logged.
        while let Some(notice) = self.consumer.poll(Duration::ZERO) {
            if let Err(error) = notice
                && error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown)
            {
                outage = Err(storage(self.epochs.name(), &error));
            }
        }
        outage.inspect_err(|_| self.forget())
    }

    /// Where `place` can be read. That it ends before `from` is believed when it is asked for that: an answer that
    /// was given to another question may be older than the rows up to `from`.
    fn look(&mut self, place: &Place, from: Offset) -> Result<Range<Offset>, ReadError> {
        let mut found = self.ends.look(&self.looker, place, self.timeout);
        if found.as_ref().is_ok_and(|found| found.end < from) {
            // Each answer is used once.
            found = self.ends.look(&self.looker, place, self.timeout);
        }
        let found = found.inspect_err(|_| self.forget())?;
        self.heed_outages()?;
        Ok(found)
    }

    fn stream(&mut self, place: &Place, from: Offset) -> Result<&mut Stream, ReadError> {
        let goes_on = self.streams.get_mut(place).is_some_and(|stream| stream.go_to(from));
        if !goes_on {
            let available = self.look(place, from)?;
            if from < available.start || from > available.end {
                return Err(ReadError::OutOfRange { partition: place.1, asked: from, available });
            }
            // One partition is read once at a time.
            self.streams.remove(place);
            let stream = Stream::start(&self.consumer, &place.0, number(place.1)?, from, None)
                .map_err(|error| storage(&place.0, &error))?;
            self.streams.insert(place.clone(), stream);
        }
        Ok(self.streams.get_mut(place).expect("it was there or was put there"))
    }
}

impl RowReader for KafkaRowReader {
    fn partitions(&mut self, topic: &str) -> Result<Vec<PartitionId>, ReadError> {
        let found = self.partitions.of(topic).inspect_err(|_| self.forget())?;
        self.heed_outages()?;
        Ok(found)
    }

    fn as_of(&mut self) -> Result<Option<AsOf>, ReadError> {
        let newest = self.newest_whole().inspect_err(|_| self.forget())?;
        self.heed_outages()?;
        Ok(newest)
    }

    fn read(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<Offset, ReadError> {
        self.heed_outages()?;
        self.hear();
        let place: Place = (Arc::from(topic), partition);
        let timeout = self.timeout;
        self.stream(&place, from)?;
        let (mut rows, mut end) = (0, None);
        let began = Instant::now();
        loop {
            let stream = self.streams.get_mut(&place).expect("it was just made");
            let wait = if end.is_some() { Duration::from_millis(20) } else { Duration::ZERO };
            match stream.next(wait) {
                Ok(_) if rows >= max_rows => break,
                Ok(message) => {
                    self.newest.saw_row(show(message, visit));
                    rows += 1;
                    stream.pass();
                }
                Err(Nothing::Yet | Nothing::End) => {
                    let position = stream.position();
                    if end.is_some_and(|end| position >= end) {
                        break;
                    }
                    if end.is_none() {
                        let available = self.look(&place, position)?;
                        if available.end < position {
                            // It was wiped, and nothing would come before it is as long as it was.
                            self.streams.remove(&place);
                            return Err(ReadError::OutOfRange { partition, asked: position, available });
                        }
                        if available.end == position {
                            break;
                        }
                        // What is there is shown, however long it is on its way.
                        end = Some(available.end);
                    } else if began.elapsed() > timeout {
                        self.forget();
                        return Err(storage(topic, &format!("nothing arrives from offset {position} on")));
                    }
                }
                Err(Nothing::Refused(error)) => {
                    let asked = stream.position();
                    self.streams.remove(&place);
                    let is_gone = matches!(
                        error,
                        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange
                    );
                    if !is_gone {
                        return Err(storage(topic, &error));
                    }
                    let available = self.ends.look(&self.looker, &place, timeout)?;
                    return Err(ReadError::OutOfRange { partition, asked, available });
                }
            }
        }
        Ok(self.streams[&place].position())
    }

    /// For tools that look at the lag of groups: the deployment goes by what the stores say. Each sink is a
    /// group of its own.
    fn acknowledge(
        &mut self,
        sink: &str,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), ReadError> {
        if !self.sinks.contains_key(sink) {
            let mut config = self.acknowledging.clone();
            config.set("group.id", format!("{}-{sink}", self.deployment));
            let consumer = config.create_with_context(Context).map_err(|error| storage(topic, &error))?;
            self.sinks.insert(sink.to_owned(), consumer);
        }
        let offset = i64::try_from(offset.0).unwrap_or(i64::MAX);
        let mut offsets = TopicPartitionList::new();
        let committed = offsets
            .add_partition_offset(topic, number(partition)?, KafkaOffset::Offset(offset))
            .and_then(|()| self.sinks[sink].commit(&offsets, CommitMode::Async));
        committed.map_err(|error| storage(topic, &error))
    }

    fn on_commit(&mut self, wake: Wake) {
        self.watch = Some(Watch::new(wake));
        self.hear();
    }
}

/// Shows a message as the row that it is, and says of which epoch.
fn show(message: &Message, visit: &mut dyn FnMut(RowRef<'_>)) -> Epoch {
    let (mut epoch, mut op, mut generation) = (Epoch::default(), Op::Final, Generation::default());
    let mut headers = Vec::new();
    message.headers(&mut |name, value| {
        let value = String::from_utf8_lossy(value);
        match name {
            "epoch" => epoch = value.parse().map_or(epoch, Epoch),
            "op" => op = Op::parse(&value).unwrap_or(op),
            "generation" => generation = value.parse().map_or(generation, Generation),
            _ => headers.push((name.to_owned(), value.into_owned())),
        }
    });
    let (offset, key, value) = (message.offset(), message.key(), message.value());
    visit(RowRef { offset, key, value, epoch, op, generation, headers: &headers });
    epoch
}
