//! Looks at the ends of partitions: all those of a reader with one request, each answer used once.
//!
//! Whoever goes round its partitions asks for one after the other. The first one that has no answer left has
//! Kafka asked for all of them again, so that a round costs one request, and no answer is older than a round.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};
use tidegate_model::{Offset, PartitionId};

use super::client::{self, Consumer, is_changing, is_unknown, number, offset, storage};
use super::events::partitions;
use crate::event::ReadError;

/// An answer that is older is none.
const AGE_MAX: Duration = Duration::from_millis(50);

/// How long it is believed that partitions begin where they began.
const STARTS_AGE_MAX: Duration = Duration::from_secs(2);

/// How long nobody asks again after Kafka did not answer: the caller is a worker that has other things to do.
const REST: Duration = Duration::from_millis(500);

/// The shortest time that Kafka is given for an answer.
const LEAST_TIMEOUT: Duration = Duration::from_millis(50);

/// How long it rests while a partition gets its leader.
const CHANGING_REST: Duration = Duration::from_millis(10);

/// A partition of a topic.
pub(super) type Place = (Arc<str>, PartitionId);

/// What is known of the ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    known: BTreeMap<Place, Option<Range<Offset>>>,
    /// Where the partitions begin, and when that was asked: it changes when retention removes something.
    starts: Option<(Instant, BTreeMap<Place, Offset>)>,
    asked_at: Option<Instant>,
    failed: Option<(Instant, String)>,
}

impl Ends {
    /// Somebody is going to ask for these.
    pub(super) fn expect(&mut self, places: &[Place]) {
        self.known.extend(places.iter().map(|place| (place.clone(), None)));
    }

    /// The offsets of `place` that can be read now. Only what is committed counts.
    pub(super) fn look(
        &mut self,
        consumer: &Consumer,
        place: &Place,
        timeout: Duration,
    ) -> Result<Range<Offset>, ReadError> {
        let is_fresh = self.asked_at.is_some_and(|at| at.elapsed() < AGE_MAX);
        if let Some(answer) = self.known.get_mut(place).filter(|_| is_fresh).and_then(Option::take) {
            return Ok(answer);
        }
        self.known.entry(place.clone()).or_default();
        self.ask_for(consumer, place, timeout)?;
        let answer = self.known.get_mut(place).and_then(Option::take);
        if answer.is_none() {
            self.known.remove(place);
        }
        answer.ok_or(ReadError::UnknownPartition(place.1))
    }

    /// Where `places` end now, whatever was known. The looks that follow use the same answer, once. Those that do not exist are
    /// left out.
    pub(super) fn look_anew(
        &mut self,
        consumer: &Consumer,
        places: &[Place],
        timeout: Duration,
    ) -> Result<BTreeMap<Place, Offset>, ReadError> {
        self.expect(places);
        if let Some(first) = places.first() {
            self.ask_for(consumer, first, timeout)?;
        }
        let ends = places.iter().filter_map(|place| {
            let bounds = self.known.get(place)?.as_ref()?;
            Some((place.clone(), bounds.end))
        });
        Ok(ends.collect())
    }

    /// Asks for everything that is expected, because of `place`.
    fn ask_for(&mut self, consumer: &Consumer, place: &Place, timeout: Duration) -> Result<(), ReadError> {
        if let Some((_, reason)) = self.failed.as_ref().filter(|(at, _)| at.elapsed() < REST) {
            return Err(storage(&place.0, reason));
        }
        match self.ask_until(consumer, Instant::now() + timeout) {
            Ok(()) => self.failed = None,
            Err(KafkaError::MetadataFetch(code)) if is_unknown(code) => {
                // One that does not exist spoils the answer for all.
                let (topic, partition) = place;
                if partitions(consumer, topic, timeout)?.contains(partition) {
                    // Whoever still needs the others asks for them again.
                    self.known.retain(|known, _| known == place);
                    return Err(storage(topic, &code));
                }
                self.known.remove(place);
                return Err(ReadError::UnknownPartition(*partition));
            }
            Err(error) => {
                self.failed = Some((Instant::now(), error.to_string()));
                return Err(storage(&place.0, &error));
            }
        }
        Ok(())
    }

    /// Asks, and once more where a partition is just getting its leader, until it is too late.
    fn ask_until(&mut self, consumer: &Consumer, until: Instant) -> Result<(), KafkaError> {
        loop {
            let asked =
                self.ask(consumer, until.saturating_duration_since(Instant::now()).max(LEAST_TIMEOUT));
            match asked {
                Err(KafkaError::MetadataFetch(code) | KafkaError::OffsetFetch(code))
                    if is_changing(code) && Instant::now() < until =>
                {
                    std::thread::park_timeout(CHANGING_REST);
                    // Otherwise the one that it was thought to be is asked again.
                    let topics: BTreeSet<&str> = self.known.keys().map(|(topic, _)| &**topic).collect();
                    for topic in topics {
                        drop(consumer.fetch_metadata(Some(topic), LEAST_TIMEOUT));
                    }
                }
                asked => return asked,
            }
        }
    }

    /// Asks for the ends of all partitions that somebody asked for before.
    fn ask(&mut self, consumer: &Consumer, timeout: Duration) -> Result<(), KafkaError> {
        // Before the answer: it may be older than it arrives.
        self.asked_at = Some(Instant::now());
        let places: Vec<Place> = self.known.keys().cloned().collect();
        let is_fresh = |(at, starts): &(Instant, BTreeMap<Place, Offset>)| {
            at.elapsed() < STARTS_AGE_MAX && places.iter().all(|place| starts.contains_key(place))
        };
        if !self.starts.as_ref().is_some_and(is_fresh) {
            let starts = offsets(consumer, &places, KafkaOffset::Beginning, timeout)?;
            self.starts = Some((Instant::now(), starts));
        }
        let starts = self.starts.as_ref().map(|(_, starts)| starts);
        let left = timeout.saturating_sub(self.asked_at.map_or(Duration::ZERO, |at| at.elapsed()));
        let ends = offsets(consumer, &places, KafkaOffset::End, left.max(LEAST_TIMEOUT))?;
        for (place, known) in &mut self.known {
            let bounds = starts.and_then(|starts| starts.get(place)).zip(ends.get(place));
            *known = bounds.map(|(start, end)| *start..*end.max(start));
        }
        Ok(())
    }
}

/// The offsets at one end of the partitions. Those that do not exist are left out.
fn offsets(
    consumer: &Consumer,
    places: &[Place],
    end: KafkaOffset,
    timeout: Duration,
) -> Result<BTreeMap<Place, Offset>, KafkaError> {
    let mut asked = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        let Ok(partition) = number(*partition) else { continue };
        // In a question for times, these two stand for the ends.
        asked.add_partition_offset(topic, partition, end)?;
    }
    let answer = consumer.offsets_for_times(asked, timeout)?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        match element.error() {
            Ok(()) => {}
            Err(KafkaError::OffsetFetch(code)) if is_unknown(code) => continue,
            Err(error) => return Err(error),
        }
        let KafkaOffset::Offset(at) = element.offset() else {
            return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::Unknown));
        };
        found.insert((Arc::from(element.topic()), client::id(element.partition())), offset(at));
    }
    Ok(found)
}
