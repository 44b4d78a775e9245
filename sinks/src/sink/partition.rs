//! A step's work on one partition: compare, read, store, acknowledge.

use std::ops::Range;

use tidegate_log::{ReadError, RowReader};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Epoch, Offset, PartitionId};

use super::{Progress, Sink, SinkError, Topic};
use crate::batch::{Batch, Row};
use crate::decode::decode;
use crate::store::{Gap, LastRow, MetricStore, Position, TopicPartition};

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
            self.compare(&source)?;
            self.compared.insert(source.clone());
        }
        let position = self.position(&source);
        let from = self.read_from.get(&source).copied().unwrap_or(position.next);
        let (rows, end) = match self.read(topic, partition, from, rows_max) {
            Ok(read) => read,
            Err(ReadError::OutOfRange { available, .. }) => {
                self.out_of_range(&source, from, &available)?;
                progress.gaps += 1;
                progress.caught_up = false;
                return Ok(0);
            }
            Err(error) => return Err(SinkError::Read { topic: source.0, partition, from, source: error }),
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
    fn compare(&mut self, source: &TopicPartition) -> Result<(), SinkError> {
        let (topic, partition) = source;
        let Some(last) = self.position(source).last else { return Ok(()) };
        let mut found: Option<(Offset, Epoch)> = None;
        let read = self.reader.read(topic, *partition, last.offset, 1, &mut |row| {
            // Stores hold no larger epoch.
            found.get_or_insert((row.offset, Epoch(row.epoch.0.min(i64::MAX as u64))));
        });
        match (read, found) {
            (Ok(_), Some((offset, epoch))) if offset == last.offset && epoch == last.epoch => Ok(()),
            (Ok(_), Some((offset, epoch))) => {
                Err(replaced(source, last, format!("the log has offset {offset} of epoch {epoch} there")))
            }
            (Ok(_), None) => Err(replaced(source, last, "the log ends before it".to_owned())),
            (Err(ReadError::OutOfRange { available, .. }), _) if available.start > last.offset => Ok(()),
            (Err(ReadError::OutOfRange { available, .. }), _) => {
                Err(replaced(source, last, format!("the log ends at offset {} (exclusive)", available.end)))
            }
            (Err(error), _) => Err(SinkError::Read {
                topic: topic.clone(),
                partition: *partition,
                from: last.offset,
                source: error,
            }),
        }
    }

    /// The log does not have `from`: a gap, to be accepted or refused, or a log that is too short.
    fn out_of_range(
        &mut self,
        source: &TopicPartition,
        from: Offset,
        available: &Range<Offset>,
    ) -> Result<(), SinkError> {
        let (topic, partition) = source.clone();
        if available.start <= from {
            // There may be no row to compare with: everything before was skipped.
            let last = LastRow { offset: from, epoch: Epoch::default() };
            let last = self.position(source).last.unwrap_or(last);
            let found = format!("the log ends at offset {} (exclusive)", available.end);
            return Err(replaced(source, last, found));
        }
        if !self.config.accept_gap {
            let available = available.start;
            return Err(SinkError::RowsRemoved { topic, partition, from, available });
        }
        let position = self.position(source);
        self.store.skip(&Gap { topic, partition, missing: position.next..available.start })?;
        self.set_position(source, Position { next: available.start, ..position });
        self.read_from.insert(source.clone(), available.start);
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

fn replaced((topic, partition): &TopicPartition, last: LastRow, found: String) -> SinkError {
    SinkError::LogReplaced {
        topic: topic.clone(),
        partition: *partition,
        offset: last.offset,
        epoch: last.epoch,
        found,
    }
}
