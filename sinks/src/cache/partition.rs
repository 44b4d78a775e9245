//! A step's work on one partition: compare, read, hand on, acknowledge.

use std::ops::Range;
use std::sync::Arc;

use tidegate_cache::{Batch, CacheWriter, Gap, LastRow, Position, Row};
use tidegate_log::{ReadError, RowReader, RowRef};
use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use super::{CacheProgress, CacheSink, CacheSinkError, SeedSource, Source, TopicPartition};
use crate::batch::{Content, Table, UnreadableRow};
use crate::continuity::{self, Continuity, as_stored};
use crate::decode::decode;

/// Rows as they were read.
#[derive(Debug, Default)]
struct Read {
    rows: Vec<Row>,
    count: u64,
    bytes: usize,
    /// Provisional rows of windows that have closed: they are not handed on.
    over: u64,
    last: Option<LastRow>,
    end: Offset,
    /// Whether there may have been more.
    cut_off: bool,
}

impl<R: RowReader, C: CacheWriter, S: SeedSource> CacheSink<R, C, S> {
    pub(super) fn step_partition(
        &mut self,
        source: &Source,
        partition: PartitionId,
        rows_max: usize,
        now: EventTime,
        progress: &mut CacheProgress,
    ) -> Result<(), CacheSinkError> {
        let place = (Arc::clone(source.name()), partition);
        if !self.compared.contains(&place) {
            if !self.compare(&place, progress)? {
                return Ok(());
            }
            self.compared.insert(place.clone());
        }
        let position = self.position(&place);
        let from = self.read_from.get(&place).copied().unwrap_or(position.next);
        let read = match self.read(source, partition, from, rows_max, progress) {
            Ok(read) => read,
            Err(ReadError::OutOfRange { available, .. }) => {
                return self.out_of_range(source, &place, from, &available, now, progress);
            }
            Err(error) => {
                // Whatever it was: another log may be there when this one answers again.
                self.compared.remove(&place);
                return Err(cannot_read(&place, from, error));
            }
        };
        progress.complete &= !read.cut_off;
        if read.count > 0 {
            let (topic, range) = (Arc::clone(&place.0), position.next..read.end);
            let batch = Batch { topic, partition, range, last: read.last, rows: read.rows };
            self.pending.batches.push(batch);
            self.pending.rows += read.count;
            self.pending.bytes += read.bytes;
            self.pending.over += read.over;
            self.set_position(&place, Position { next: read.end, last: read.last });
            if self.pending.bytes >= self.config.batch_bytes_max {
                self.advance(false, now, progress)?;
            }
        }
        self.read_from.insert(place, read.end);
        Ok(())
    }

    /// Reads and decodes rows, within the limits of a batch.
    fn read(
        &mut self,
        source: &Source,
        partition: PartitionId,
        from: Offset,
        rows_max: usize,
        progress: &mut CacheProgress,
    ) -> Result<Read, ReadError> {
        let bytes_max = self.config.batch_bytes_max;
        let (mut read, mut left_out) = (Read::default(), false);
        let frontier = self.as_of.map_or(EventTime::MIN, |as_of| as_of.frontier);
        let totals = &mut self.totals;
        let end = self.reader.read(source.name(), partition, from, rows_max, &mut |row| {
            left_out |= read.bytes >= bytes_max;
            if left_out {
                return;
            }
            read.bytes += row.value.len();
            read.count += 1;
            read.last = Some(LastRow { offset: row.offset, epoch: as_stored(row.epoch) });
            match project(source, &row) {
                // A cache that is filled anew would show it until the frontier is told, and has nothing of it then.
                Ok(row) if row.provisional && row.window.end <= frontier => read.over += 1,
                Ok(row) => read.rows.push(row),
                Err(reason) => {
                    let (topic, offset) = (Arc::clone(source.name()), row.offset);
                    progress.unreadable += 1;
                    totals.unreadable += 1;
                    progress.first_unreadable.get_or_insert(UnreadableRow {
                        topic,
                        partition,
                        offset,
                        reason,
                    });
                }
            }
        })?;
        // What was left out is read again by the next step.
        read.cut_off = left_out || read.count >= rows_max as u64;
        read.end = if left_out { read.last.map_or(from, |last| last.offset.plus(1)) } else { end };
        Ok(read)
    }

    /// Whether the row that the cache took in last is the one that the log has there; reading on would otherwise mix
    /// two histories. Returns whether there may be something to read.
    fn compare(
        &mut self,
        place: &TopicPartition,
        progress: &mut CacheProgress,
    ) -> Result<bool, CacheSinkError> {
        let Some(last) = self.position(place).last else { return Ok(true) };
        let continuity = continuity::compare(&mut self.reader, place, (last.offset, last.epoch))
            .map_err(|error| cannot_read(place, last.offset, error))?;
        self.go_on(place, last, continuity, progress)
    }

    /// Begins anew with a log that has taken the place of the old one. Returns whether there may be something to read.
    fn go_on(
        &mut self,
        place: &TopicPartition,
        last: LastRow,
        continuity: Continuity,
        progress: &mut CacheProgress,
    ) -> Result<bool, CacheSinkError> {
        let start = match continuity {
            Continuity::Same => return Ok(true),
            Continuity::Empty => return Ok(false),
            Continuity::Newer { start, .. } => start,
            Continuity::Other(found) => return Err(replaced(place, last, found)),
        };
        self.cache.adopt(place, start)?;
        self.set_position(place, Position { next: start, last: None });
        self.read_from.remove(place);
        self.acknowledged.remove(place);
        progress.adopted += 1;
        Ok(true)
    }

    /// The log does not have `from`. Provisional rows that are gone are passed. For final ones the cache
    /// begins anew with what the metric store has of their kind, once in a step; where that is not enough, the kind
    /// is forgotten, and the gap is told.
    fn out_of_range(
        &mut self,
        source: &Source,
        place: &TopicPartition,
        from: Offset,
        available: &Range<Offset>,
        now: EventTime,
        progress: &mut CacheProgress,
    ) -> Result<(), CacheSinkError> {
        if available.start <= from {
            // While it is empty, the new log may grow past `from` unseen.
            self.compared.remove(place);
            let last = LastRow { offset: from, epoch: Epoch::default() };
            let taken = self.position(place).last;
            let (newest, last) = (taken.map(|last| last.epoch), taken.unwrap_or(last));
            let found = continuity::ends_at(available);
            let continuity = continuity::judge(&mut self.reader, (&place.0, place.1), newest, found)
                .map_err(|error| cannot_read(place, from, error))?;
            // A partition that is empty has nothing that the cache could wait for.
            if self.go_on(place, last, continuity, progress)? {
                progress.caught_up = false;
                progress.complete = false;
            }
            return Ok(());
        }
        // What comes now takes the place of windows, and of positions.
        self.advance(false, now, progress)?;
        // The next step reads what there is.
        progress.caught_up = false;
        progress.complete = false;
        let view = match source {
            Source::Live(..) => None,
            Source::Final(topic, _) => {
                if !self.seeded.contains(&topic.name) {
                    self.seed(std::slice::from_ref(topic), now, progress)?;
                }
                topic.schema.cache.as_ref()
            }
        };
        let next = self.position(place).next;
        if next >= available.start {
            return Ok(());
        }
        let (topic, partition) = place.clone();
        let gap = Gap { topic, partition, missing: next..available.start, view };
        self.cache.skip(&gap)?;
        self.set_position(place, Position { next: available.start, last: None });
        self.read_from.insert(place.clone(), available.start);
        if view.is_some() {
            self.totals.gaps += 1;
            progress.gaps.push(gap);
        } else {
            self.totals.live_skipped += available.start.since(next);
            progress.live_skipped += available.start.since(next);
        }
        Ok(())
    }

    /// Tells the log what is in the cache, once in a while: every time costs a write.
    pub(super) fn acknowledge_if_due(&mut self, now: EventTime) -> Result<(), CacheSinkError> {
        let due = self.acknowledged_at.is_none_or(|last| {
            let passed_ms = now.since_ms(last);
            // A clock that was set back must not put it off.
            passed_ms >= self.config.acknowledge_every_ms || passed_ms < 0
        });
        if !due {
            return Ok(());
        }
        let positions = self.positions.as_ref().expect("a step begins by asking the cache");
        for (place, position) in positions {
            let (topic, partition) = place;
            let is_read = self.config.topic_names().any(|read| read == topic);
            if !is_read
                || position.next == Offset::ZERO
                || self.acknowledged.get(place) == Some(&position.next)
            {
                continue;
            }
            let offset = position.next;
            self.reader.acknowledge(&self.config.name, topic, *partition, offset).map_err(|source| {
                let (topic, partition) = place.clone();
                CacheSinkError::Acknowledge { topic, partition, offset, source }
            })?;
            self.acknowledged.insert(place.clone(), offset);
            self.acknowledged_at = Some(now);
            self.totals.acknowledgements += 1;
        }
        self.totals.unacknowledged = 0;
        Ok(())
    }

    fn position(&self, place: &TopicPartition) -> Position {
        let positions = self.positions.as_ref().expect("a step begins by asking the cache");
        positions.get(place).copied().unwrap_or_default()
    }

    fn set_position(&mut self, place: &TopicPartition, position: Position) {
        let positions = self.positions.as_mut().expect("a step begins by asking the cache");
        positions.insert(place.clone(), position);
    }
}

/// The row for the cache, or why there is none.
fn project(source: &Source, row: &RowRef<'_>) -> Result<Row, String> {
    let (projection, provisional) = match source {
        Source::Final(_, projection) => (projection, false),
        Source::Live(_, jobs) => {
            let header = row.headers.iter().find(|(name, _)| name == "job");
            let (_, job) = header.ok_or("header job is missing")?;
            let known = jobs.iter().find(|(name, _)| **name == **job);
            let unknown = || format!("header job is {job:?}, which is no job that is cached");
            (&known.ok_or_else(unknown)?.1, true)
        }
    };
    let decoded = decode(Table::Metrics(projection.schema), row);
    if let Content::Unreadable(unreadable) = decoded.content {
        return Err(unreadable.reason);
    }
    Ok(projection.row(&decoded, provisional).expect("it fits its table"))
}

fn cannot_read((topic, partition): &TopicPartition, from: Offset, source: ReadError) -> CacheSinkError {
    CacheSinkError::Read { topic: Arc::clone(topic), partition: *partition, from, source }
}

fn replaced((topic, partition): &TopicPartition, last: LastRow, found: String) -> CacheSinkError {
    CacheSinkError::LogReplaced {
        topic: Arc::clone(topic),
        partition: *partition,
        offset: last.offset,
        epoch: last.epoch,
        found,
    }
}
