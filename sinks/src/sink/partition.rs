//! A step's work on one partition: compare, read, store, acknowledge.

use std::ops::Range;

use tidegate_log::{ReadError, RowReader};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Epoch, Offset, PartitionId};

use super::{Progress, Sink, SinkError, Topic};
use crate::batch::{Batch, Row};
use crate::continuity::{self, Continuity};
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
            let last = LastRow { offset: last.offset, epoch: continuity::as_stored(last.epoch) };
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

    /// Whether the row that the store saw last is the one that the log has there; reading on would otherwise leave
    /// out rows, or mix those of two histories. Returns whether there may be something to read.
    fn compare(&mut self, source: &TopicPartition, progress: &mut Progress) -> Result<bool, SinkError> {
        let Some(last) = self.position(source).last else { return Ok(true) };
        let continuity = continuity::compare(&mut self.reader, source, (last.offset, last.epoch))
            .map_err(|error| cannot_read(source, last.offset, error))?;
        self.go_on(source, last, continuity, progress)
    }

    /// Begins anew with a log that has taken the place of the old one. Returns whether there may be something to read.
    fn go_on(
        &mut self,
        source: &TopicPartition,
        last: LastRow,
        continuity: Continuity,
        progress: &mut Progress,
    ) -> Result<bool, SinkError> {
        let (start, since) = match continuity {
            Continuity::Same => return Ok(true),
            Continuity::Empty => return Ok(false),
            Continuity::Newer { start, since } => (start, since),
            Continuity::Other(found) => return Err(replaced(source, last, found)),
        };
        let (topic, partition) = source.clone();
        self.store.adopt(&NewLog { topic, partition, start, since })?;
        self.set_position(source, Position { next: start, last: None });
        self.read_from.remove(source);
        self.acknowledged.remove(source);
        progress.adopted += 1;
        Ok(true)
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
            // It may have grown beyond it by the next time, and is compared again then.
            self.compared.remove(source);
            // There may be no row to compare with: everything before was skipped.
            let last = LastRow { offset: from, epoch: Epoch::default() };
            let stored = self.position(source).last;
            let (newest, last) = (stored.map(|last| last.epoch), stored.unwrap_or(last));
            let found = continuity::ends_at(available);
            let continuity = continuity::judge(&mut self.reader, (&topic, partition), newest, found)
                .map_err(|error| cannot_read(source, from, error))?;
            progress.caught_up &= !self.go_on(source, last, continuity, progress)?;
            return Ok(());
        }
        // Of a partition that nothing was ever stored from, nothing can be missing that was there before.
        let positions = self.positions.as_ref().expect("a step begins by asking the store");
        let is_first = !positions.contains_key(source);
        if !self.config.accept_gap && !is_first {
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
