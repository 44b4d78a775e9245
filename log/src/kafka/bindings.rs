//! The topic of bindings: one partition, a record for each binding, and one for each process that took it over.
//!
//! Epochs increase with offsets. So a binding is found from the end backwards, in steps that grow, and nobody
//! reads what it does not need.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tidegate_model::{Binding, Epoch, Generation, Offset, PartitionId};

use super::client::{Context, storage};
use super::ends::Ends;
use super::options::Options;
use super::stream::{Client, Message, Nothing, Stream};
use crate::event::ReadError;
use crate::journal::{JournalError, parse_binding};

/// The key of a record that says which generation took over.
pub(super) const GENERATION_KEY: &str = "generation";

/// The key of a binding.
pub(super) const BINDING_KEY: &str = "binding";

/// The only partition.
pub(super) const PARTITION: i32 = 0;

/// So many offsets from the end is looked first.
const FIRST_STEP: u64 = 64;

/// How much further each next time.
const STEP_GROWS: u64 = 8;

/// How long is waited for one message before it is looked at the clock.
const WAIT: Duration = Duration::from_millis(100);

/// What a record says.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// A generation took over.
    Generation(Generation),
    /// An epoch is bound.
    Binding(Box<Binding>),
}

/// The newest of everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest {
    pub(super) binding: Option<Binding>,
    /// The greatest one that took over.
    pub(super) generation: Generation,
    /// Whether something was removed.
    pub(super) is_pruned: bool,
}

/// Reads the topic.
pub(super) struct EpochsTopic {
    consumer: Arc<Client>,
    topic: Arc<str>,
    timeout: Duration,
}

impl EpochsTopic {
    pub(super) fn new(options: &Options) -> Result<Self, KafkaError> {
        Ok(Self {
            consumer: Arc::new(Client::new(options.looking().create_with_context(Context)?)),
            topic: options.epochs_topic().into(),
            timeout: options.request_timeout,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.topic
    }

    /// The newest binding, and the greatest generation.
    pub(super) fn newest(&self) -> Result<Newest, JournalError> {
        let mut newest = Newest::default();
        self.backwards(&mut |entries| {
            newest = Newest::default();
            for (_, entry) in entries {
                match entry {
                    Entry::Generation(generation) => newest.generation = newest.generation.max(generation),
                    Entry::Binding(binding) => {
                        newest.generation = newest.generation.max(binding.generation);
                        newest.binding = Some(*binding);
                    }
                }
            }
            newest.binding.is_some()
        })?;
        newest.is_pruned = self.bounds()?.start > Offset::ZERO;
        Ok(newest)
    }

    /// The offset of the newest binding of `before` or an earlier epoch.
    pub(super) fn find(&self, before: Epoch) -> Result<Option<Offset>, JournalError> {
        let mut found = None;
        self.backwards(&mut |entries| {
            let is_bound = |(_, entry): &(Offset, Entry)| match entry {
                Entry::Binding(binding) => binding.epoch <= before,
                Entry::Generation(_) => false,
            };
            found = entries.iter().rev().find(|entry| is_bound(entry)).map(|(offset, _)| *offset);
            found.is_some()
        })?;
        Ok(found)
    }

    /// Shows the bindings after `after`, oldest first.
    pub(super) fn read_after(
        &self,
        after: Option<Epoch>,
        visit: &mut dyn FnMut(Binding),
    ) -> Result<(), JournalError> {
        let from = match after {
            Some(after) => self.find(after)?,
            None => None,
        };
        let bounds = self.bounds()?;
        self.read(from.unwrap_or(bounds.start), bounds.end, &mut |_, entry| {
            if let Entry::Binding(binding) = entry
                && Some(binding.epoch) > after
            {
                visit(*binding);
            }
        })
    }

    /// Reads longer and longer parts of the topic, each to its end, until `enough` says that it is.
    fn backwards(&self, enough: &mut dyn FnMut(Vec<(Offset, Entry)>) -> bool) -> Result<(), JournalError> {
        let bounds = self.bounds()?;
        let mut step = FIRST_STEP;
        loop {
            let start = bounds.start.max(Offset(bounds.end.0.saturating_sub(step)));
            let mut entries = Vec::new();
            self.read(start, bounds.end, &mut |offset, entry| entries.push((offset, entry)))?;
            if enough(entries) || start == bounds.start {
                return Ok(());
            }
            step = step.saturating_mul(STEP_GROWS);
        }
    }

    fn bounds(&self) -> Result<std::ops::Range<Offset>, JournalError> {
        let place = (Arc::clone(&self.topic), PartitionId(0));
        Ends::default().look(&self.consumer, &place, self.timeout).map_err(|error| self.failed(&error))
    }

    /// Shows what lies between two offsets.
    fn read(
        &self,
        from: Offset,
        end: Offset,
        visit: &mut dyn FnMut(Offset, Entry),
    ) -> Result<(), JournalError> {
        if from >= end {
            return Ok(());
        }
        let mut stream = Stream::start(&self.consumer, &self.topic, PARTITION, from, None)
            .map_err(|error| self.failed(&storage(&self.topic, &error)))?;
        let mut arrived_at = Instant::now();
        while stream.position() < end {
            match stream.next(WAIT) {
                Ok(message) => {
                    let offset = message.offset();
                    if offset >= end {
                        break;
                    }
                    visit(offset, entry(message, &self.topic)?);
                    stream.pass();
                    arrived_at = Instant::now();
                }
                Err(Nothing::Yet | Nothing::End) if arrived_at.elapsed() < self.timeout => {}
                Err(Nothing::Yet | Nothing::End) => {
                    let at = stream.position();
                    return Err(
                        self.failed(&storage(&self.topic, &format!("nothing arrives from offset {at} on")))
                    );
                }
                Err(Nothing::Refused(error)) => return Err(self.failed(&storage(&self.topic, &error))),
            }
            stream.go_to(stream.position());
        }
        Ok(())
    }

    fn failed(&self, error: &ReadError) -> JournalError {
        let reason = match error {
            ReadError::Storage { reason, .. } => reason.clone(),
            ReadError::UnknownPartition(_) => {
                "there is no such topic: has the deployment (setting deployment) never run on these brokers?"
                    .to_owned()
            }
            other => other.to_string(),
        };
        JournalError::Storage { what: format!("topic {}", self.topic), reason }
    }
}

/// The binding that a record holds; `None` when it holds another thing, or cannot be understood.
pub(super) fn binding_of(message: &Message) -> Option<Binding> {
    match entry(message, "") {
        Ok(Entry::Binding(binding)) => Some(*binding),
        Ok(Entry::Generation(_)) | Err(_) => None,
    }
}

fn entry(message: &Message, topic: &str) -> Result<Entry, JournalError> {
    let what = || format!("offset {} of topic {topic}", message.offset());
    let damaged = |reason: String| JournalError::Damaged { what: what(), reason };
    let text = std::str::from_utf8(message.value()).map_err(|error| damaged(error.to_string()))?;
    match std::str::from_utf8(message.key()) {
        Ok(GENERATION_KEY) => {
            let number = text.parse().map_err(|_| damaged(format!("{text:?} is no generation")))?;
            Ok(Entry::Generation(Generation(number)))
        }
        Ok(BINDING_KEY) => Ok(Entry::Binding(Box::new(parse_binding(text, &what)?))),
        _ => Err(damaged(
            "it is neither a binding nor a generation: somebody else writes the topic".to_owned(),
        )),
    }
}
