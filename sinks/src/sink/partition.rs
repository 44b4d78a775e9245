//! A step's work on one partition: compare, read, store, acknowledge.

use std::ops::Range;

use tidegate_log::{ReadError, RowReader};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Epoch, Offset, PartitionId};

use super::{Progress, Sink, SinkError, Topic};
use crate::batch::{Batch, Row};
use crate::decode::decode;
use crate::store::{Gap, LastRow, MetricStore, NewLog, Position, TopicPartition};

impl<R: RowReader, S: MetricStore> Sink<R, S> {
    /// Returns the number of rows read.
    pub(super) fn step_partition(
        &mut self,
        topic: &Topic,
        partition: PartitionId,
        rows_max: usize,
        progress: &mut Progress,
    ) -> Result<usize, SinkError> {
        let source = (topic.name.clone(), partition);
        if !self.compared.contains(&source) {
            if !self.compare(&source, progress)? {
                return Ok(0);
            }
            self.compared.insert(source.clone());
        }
        let position = self.position(&source);
        let from = self.read_from.get(&source).copied().unwrap_or(position.next);
        let (rows, end) = match self.read(topic, partition, from, rows_max) {
            Ok(read) => read,
            Err(ReadError::OutOfRange { available, .. }) => {
                self.out_of_range(&source, from, &available, progress)?;
                return Ok(0);
            }
            Err(error) => {
                // Whatever it was: another log may be there when this one answers again.
                self.compared.remove(&source);
                return Err(cannot_read(&source, from, error));
            }
        };
        let count = rows.len();
        if let Some(last) = rows.last() {
            let last = LastRow { offset: last.offset, epoch: last.epoch };
            let topic_name = topic.name.clone();
            let range = position.next..end;
            let batch = Batch { table: topic.table, topic: topic_name, partition, range, rows };
            if is_planted(Bug::SinkTrustsItself) {
                self.set_position(&source, Position { next: end, last: Some(last) });
                self.read_from.insert(source.clone(), end);
            }
            let applied = self.store.apply(&batch)?;
            self.set_position(&source, Position { next: end, last: Some(last) });
            self.totals.add(&applied);
            progress.applied.add(&applied);
            progress.caught_up = false;
        }
        self.read_from.insert(source.clone(), end);
        self.acknowledge(&source)?;
        Ok(count)
    }

    /// Reads and decodes rows, within the limits of a batch, and says up to where they go.
    fn read(
        &mut self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        rows_max: usize,
    ) -> Result<(Vec<Row>, Offset), ReadError> {
        let bytes_max = self.config.batch_bytes_max;
        let (mut rows, mut bytes, mut left_out) = (Vec::new(), 0, false);
        let end = self.reader.read(&topic.name, partition, from, rows_max, &mut |row| {
            left_out |= bytes >= bytes_max;
            if !left_out {
                bytes += row.value.len();
                rows.push(decode(topic.table, &row));
            }
        })?;
        // What was left out is read again by the next step.
        let after_last = rows.last().map_or(from, |row: &Row| row.offset.plus(1));
        Ok((rows, if left_out { after_last } else { end }))
    }

    /// Whether the row that the store saw last is the one that the log has there. It may have been
    /// removed from the log since; but if the log holds another one, or ends before it, then reading on
    /// would leave out rows or mix those of two histories.
    ///
    /// Returns whether there is something to read; an empty partition says nothing.
    fn compare(&mut self, source: &TopicPartition, progress: &mut Progress) -> Result<bool, SinkError> {
        let (topic, partition) = source;
        let Some(last) = self.position(source).last else { return Ok(true) };
        let mut found: Option<(Offset, Epoch)> = None;
        let read = self.reader.read(topic, *partition, last.offset, 1, &mut |row| {
            found.get_or_insert((row.offset, stored(row.epoch)));
        });
        let found = match (read, found) {
            (Ok(_), Some((offset, epoch))) if offset == last.offset && epoch == last.epoch => {
                return Ok(true);
            }
            (Ok(_), Some((offset, epoch))) => format!("the log has offset {offset} of epoch {epoch} there"),
            (Ok(_), None) => "the log ends before it".to_owned(),
            (Err(ReadError::OutOfRange { available, .. }), _) if available.start > last.offset => {
                return Ok(true);
            }
            (Err(ReadError::OutOfRange { available, .. }), _) if available.is_empty() => return Ok(false),
            (Err(ReadError::OutOfRange { available, .. }), _) => ends_at(&available),
            (Err(error), _) => return Err(cannot_read(source, last.offset, error)),
        };
        self.adopt(source, last, found, progress)
    }

    /// Another log is there, as `found` says. One whose rows are all newer than those of the store has taken the
    /// place of the one that they came from: storing begins anew with it. Anything else is refused.
    fn adopt(
        &mut self,
        source: &TopicPartition,
        last: LastRow,
        found: String,
        progress: &mut Progress,
    ) -> Result<bool, SinkError> {
        let Some((start, since)) = self.first_row(source)? else { return Ok(false) };
        let positions = self.positions.as_ref().expect("a step begins by asking the store");
        let of_topic = positions.iter().filter(|((topic, _), _)| *topic == source.0);
        let newest = of_topic.filter_map(|(_, position)| Some(position.last?.epoch)).max();
        if newest.is_some_and(|newest| since <= newest) {
            return Err(replaced(source, last, found));
        }
        let (topic, partition) = source.clone();
        self.store.adopt(&NewLog { topic, partition, start, since })?;
        self.set_position(source, Position { next: start, last: None });
        self.read_from.remove(source);
        self.acknowledged.remove(source);
        progress.adopted += 1;
        Ok(true)
    }

    /// Where the partition begins, and the epoch of its first row; `None` when it has none.
    fn first_row(&mut self, source: &TopicPartition) -> Result<Option<(Offset, Epoch)>, SinkError> {
        let (topic, partition) = source;
        let mut from = Offset::ZERO;
        loop {
            let mut epoch = None;
            let read = self.reader.read(topic, *partition, from, 1, &mut |row| {
                epoch.get_or_insert(stored(row.epoch));
            });
            match read {
                Ok(_) => return Ok(epoch.map(|epoch| (from, epoch))),
                Err(ReadError::OutOfRange { available, .. }) if available.is_empty() => return Ok(None),
                // It may begin later still by the time that it is read.
                Err(ReadError::OutOfRange { available, .. }) if available.start > from => {
                    from = available.start;
                }
                Err(error) => return Err(cannot_read(source, from, error)),
            }
        }
    }

    /// The log does not have `from`: a gap, to be accepted or refused, or a log that is too short.
    fn out_of_range(
        &mut self,
        source: &TopicPartition,
        from: Offset,
        available: &Range<Offset>,
        progress: &mut Progress,
    ) -> Result<(), SinkError> {
        let (topic, partition) = source.clone();
        if available.start <= from {
            // There may be no row to compare with: everything before was skipped.
            let last = LastRow { offset: from, epoch: Epoch::default() };
            let last = self.position(source).last.unwrap_or(last);
            progress.caught_up &= !self.adopt(source, last, ends_at(available), progress)?;
            return Ok(());
        }
        if !self.config.accept_gap {
            let available = available.start;
            return Err(SinkError::RowsRemoved { topic, partition, from, available });
        }
        let position = self.position(source);
        self.store.skip(&Gap { topic, partition, missing: position.next..available.start })?;
        self.set_position(source, Position { next: available.start, ..position });
        self.read_from.insert(source.clone(), available.start);
        progress.gaps += 1;
        progress.caught_up = false;
        Ok(())
    }

    /// Tells the log what is stored, unless it knows.
    fn acknowledge(&mut self, source: &TopicPartition) -> Result<(), SinkError> {
        let (topic, partition) = source.clone();
        let offset = self.position(source).next;
        if offset == Offset::ZERO || self.acknowledged.get(source) == Some(&offset) {
            return Ok(());
        }
        self.reader
            .acknowledge(&self.config.name, &topic, partition, offset)
            .map_err(|source| SinkError::Acknowledge { topic, partition, offset, source })?;
        self.acknowledged.insert(source.clone(), offset);
        Ok(())
    }

    fn position(&self, source: &TopicPartition) -> Position {
        let positions = self.positions.as_ref().expect("a step begins by asking the store");
        positions.get(source).copied().unwrap_or_default()
    }

    fn set_position(&mut self, source: &TopicPartition, position: Position) {
        let positions = self.positions.as_mut().expect("a step begins by asking the store");
        positions.insert(source.clone(), position);
    }
}

/// An epoch as stores hold it.
fn stored(epoch: Epoch) -> Epoch {
    Epoch(epoch.0.min(i64::MAX.unsigned_abs()))
}

fn ends_at(available: &Range<Offset>) -> String {
    format!("the log ends at offset {} (exclusive)", available.end)
}

fn cannot_read((topic, partition): &TopicPartition, from: Offset, source: ReadError) -> SinkError {
    SinkError::Read { topic: topic.clone(), partition: *partition, from, source }
}

fn replaced((topic, partition): &TopicPartition, last: LastRow, found: String) -> SinkError {
    SinkError::LogReplaced {
        topic: topic.clone(),
        partition: *partition,
        offset: last.offset,
        epoch: last.epoch,
        found,
    }
}
