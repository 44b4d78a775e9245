//! The metric sink: rows of the log into a [`MetricStore`], one step at a time.
//!
//! A step reads from where the store says it is, decodes, lets the store apply, and only then tells the
//! log that the rows may go. It may be cut short anywhere: the next one begins from what the store
//! holds. It knows no thread and no clock; whoever drives it hands over the time.

mod config;
mod error;
mod partition;
mod progress;

use std::collections::{BTreeMap, BTreeSet};

use tidegate_log::RowReader;
use tidegate_log::event::Wake;
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{EventTime, Offset};

use crate::store::{Applied, Expiry, MetricStore, Positions, TopicPartition};

pub use config::{Config, Topic};
pub use error::SinkError;
pub use progress::Progress;

/// Brings a metric store up to date with the log.
#[derive(Debug)]
pub struct Sink<R, S> {
    reader: R,
    store: S,
    config: Config,
    /// The store's positions; unknown at first and after every error of the store's.
    positions: Option<Positions>,
    /// Where reading goes on: at the position, or after it where the log has offsets without rows.
    read_from: BTreeMap<TopicPartition, Offset>,
    /// Partitions whose position was compared with what the log holds there.
    compared: BTreeSet<TopicPartition>,
    /// What the log was told.
    acknowledged: BTreeMap<TopicPartition, Offset>,
    /// When old rows were last forgotten to the last one.
    expired_at: Option<EventTime>,
    /// Counts steps, so that the partitions of a topic take turns at being first.
    turn: usize,
    totals: Applied,
}

impl<R: RowReader, S: MetricStore> Sink<R, S> {
    /// A sink that has read nothing yet; nothing is touched before the first step.
    pub fn new(reader: R, store: S, config: Config) -> Self {
        Self {
            reader,
            store,
            config,
            positions: None,
            read_from: BTreeMap::new(),
            compared: BTreeSet::new(),
            acknowledged: BTreeMap::new(),
            expired_at: None,
            turn: 0,
            totals: Applied::default(),
        }
    }

    /// Reads and stores up to [`Config::rows_per_topic_max`] rows of every topic, and forgets old ones
    /// when that is due. `now` is used for nothing but retention.
    ///
    /// # Errors
    /// Every error leaves the sink and the store such that the next step goes on correctly; whether to
    /// take it, and when, is the caller's choice. An error of the store's ends the step. One of the
    /// log's leaves out that partition; the step goes on with the others and returns the first error.
    pub fn step(&mut self, now: EventTime) -> Result<Progress, SinkError> {
        let stepped = self.step_once(now);
        if matches!(stepped, Err(SinkError::Store(_))) && !is_planted(Bug::SinkTrustsItself) {
            // What is stored is known again when the store has been asked.
            self.positions = None;
            self.read_from.clear();
        }
        stepped
    }

    fn step_once(&mut self, now: EventTime) -> Result<Progress, SinkError> {
        if self.positions.is_none() {
            self.positions = Some(self.store.positions()?);
        }
        self.turn = self.turn.wrapping_add(1);
        let mut progress = Progress { caught_up: true, ..Progress::default() };
        let mut failed = None;
        for topic in self.config.topics.clone() {
            let stepped = self.step_topic(&topic, &mut progress, &mut failed);
            note(stepped, &mut failed)?;
        }
        progress.expired = self.expire_if_due(now)?;
        match failed {
            None => Ok(progress),
            Some(error) => Err(error),
        }
    }

    fn step_topic(
        &mut self,
        topic: &Topic,
        progress: &mut Progress,
        failed: &mut Option<SinkError>,
    ) -> Result<(), SinkError> {
        let mut partitions = match self.reader.partitions(&topic.name) {
            Ok(partitions) => partitions,
            Err(source) => {
                // Another log may be there when this one answers again.
                self.compared.clear();
                return Err(SinkError::Partitions { topic: topic.name.clone(), source });
            }
        };
        if !partitions.is_empty() {
            let first = self.turn % partitions.len();
            partitions.rotate_left(first);
        }
        let mut rows_left = self.config.rows_per_topic_max;
        for partition in partitions {
            if rows_left == 0 {
                progress.caught_up = false;
                break;
            }
            match self.step_partition(topic, partition, rows_left, progress) {
                Ok(rows) => rows_left = rows_left.saturating_sub(rows),
                Err(error) => {
                    if matches!(error, SinkError::Read { .. }) {
                        // Another log may be there when this one answers again, in the other partitions, too.
                        self.compared.clear();
                    }
                    note(Err(error), failed)?;
                }
            }
        }
        Ok(())
    }

    fn expire_if_due(&mut self, now: EventTime) -> Result<u64, SinkError> {
        let Some(keep_ms) = self.config.retention_ms else { return Ok(0) };
        let due = self.expired_at.is_none_or(|last| {
            let passed_ms = now.since_ms(last);
            // A clock that was set back must not put it off.
            passed_ms >= self.config.retention_every_ms || passed_ms < 0
        });
        if !due {
            return Ok(0);
        }
        let rows_max = self.config.retention_rows_max;
        let removed = self.store.expire(Expiry { keep_ms, now, rows_max })?;
        if removed < rows_max as u64 {
            self.expired_at = Some(now);
        }
        Ok(removed)
    }

    /// What was done since the sink was made, failed steps included.
    pub fn totals(&self) -> &Applied {
        &self.totals
    }

    /// Has `wake` called after every commit to the log, until the sink is dropped.
    pub fn on_commit(&mut self, wake: Wake) {
        self.reader.on_commit(wake);
    }

    /// The store, to look at.
    pub fn store(&mut self) -> &mut S {
        &mut self.store
    }

    /// The reader and the store; a sink made of them anew goes on where this one was.
    pub fn into_parts(self) -> (R, S) {
        (self.reader, self.store)
    }
}

/// Keeps the first error of the log's for the end of the step; one of the store's ends it now.
fn note(stepped: Result<(), SinkError>, failed: &mut Option<SinkError>) -> Result<(), SinkError> {
    match stepped {
        Ok(()) => {}
        Err(error @ SinkError::Store(_)) => return Err(error),
        Err(error) => {
            failed.get_or_insert(error);
        }
    }
    Ok(())
}
