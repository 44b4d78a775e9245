//! Storing a batch: look up, delete, insert, and then move the position.

use std::collections::BTreeSet;

use tidegate_model::{Offset, PartitionId, Schema};

use super::binary::{Reader, Truncated, put_text, put_value};
use super::layout::{GAPS, POSITIONS, UNREADABLE};
use super::positions::{self, Progress};
use super::refused::NotStored;
use super::text::{literal, quote};
use super::{ClickHouseStore, garbled, keys, label, plan};
use crate::batch::{Batch, Content, Row, UnreadableRow};
use crate::store::{Applied, Gap, LastRow, NewLog, Position, StoreError, TopicPartition};

impl ClickHouseStore {
    pub(super) fn apply_batch(&mut self, batch: &Batch) -> Result<Applied, StoreError> {
        self.settle()?;
        let source = (batch.topic.clone(), batch.partition);
        let next = self.progress_before(&source, batch.range.start)?.position.next;
        let new = batch.rows.partition_point(|row| row.offset < next);
        let mut applied = Applied { repeated: new as u64, ..Applied::default() };
        if batch.range.end <= next {
            return Ok(applied);
        }
        let mut rest = &batch.rows[new..];
        loop {
            let (piece, behind) = rest.split_at(rest.len().min(self.config.insert_rows_max.max(1)));
            let end = behind.first().map_or(batch.range.end, |row| row.offset);
            applied.add(&self.apply_piece(batch, piece, end)?);
            if behind.is_empty() {
                return Ok(applied);
            }
            rest = behind;
        }
    }

    pub(super) fn skip_gap(&mut self, gap: &Gap) -> Result<(), StoreError> {
        self.settle()?;
        let source = (gap.topic.clone(), gap.partition);
        let before = self.progress_before(&source, gap.missing.start)?;
        if gap.missing.end <= before.position.next {
            return Ok(());
        }
        let (from, to) = (before.position.next.0, gap.missing.end.0);
        let mut row = Vec::new();
        put_text(&mut row, gap.topic.as_bytes());
        row.extend(gap.partition.0.to_le_bytes());
        row.extend(from.to_le_bytes());
        row.extend(to.to_le_bytes());
        let token = self.session()?.token(&gap.topic, gap.partition.0, from, to);
        self.insert(GAPS, token, row).map_err(|error| self.not_put_aside(error, GAPS))?;
        let position = Position { next: gap.missing.end, ..before.position };
        self.put_progress(source, Progress { position, ..before })
    }

    pub(super) fn adopt_log(&mut self, log: &NewLog) -> Result<(), StoreError> {
        self.settle()?;
        let source = (log.topic.clone(), log.partition);
        let before = self.session()?.positions.get(&source).copied().unwrap_or_default();
        let position = Position { next: log.start, last: None };
        self.put_progress(source, Progress { position, since: log.since, ..before })?;
        // The same offsets come again, of other rows: their inserts must have other names.
        self.session = None;
        Ok(())
    }

    /// How far the partition is stored, which must not be below `start`: the rows between would be lost.
    fn progress_before(&mut self, source: &TopicPartition, start: Offset) -> Result<Progress, StoreError> {
        let progress = self.session()?.positions.get(source).copied().unwrap_or_default();
        let next = progress.position.next;
        if start > next {
            let (topic, partition) = source.clone();
            return Err(StoreError::Gap { topic, partition, next, start });
        }
        Ok(progress)
    }

    fn put_progress(&mut self, source: TopicPartition, progress: Progress) -> Result<(), StoreError> {
        let row = positions::row(&source, progress);
        // The largest position of a log's partition counts, so this may be repeated at any time.
        let next = progress.position.next.0;
        let token = self.session()?.token(&source.0, source.1.0, progress.since.0, next);
        let insert = self.insert_into(POSITIONS, token, row)?;
        let sent = self.server.insert(&insert);
        sent.map_err(|failure| self.not_written(failure, label(&self.server, POSITIONS)))?;
        self.session()?.positions.insert(source, progress);
        Ok(())
    }

    /// Stores rows that fit one insert, and moves the position to `end`.
    fn apply_piece(&mut self, batch: &Batch, rows: &[Row], end: Offset) -> Result<Applied, StoreError> {
        // These go first: a start goes on behind the newest row of the batch's table, whatever lies before it.
        let mut unreadable = Applied::default();
        self.put_unreadable(batch, rows, &mut unreadable)?;
        let mut applied = unreadable;
        applied.add(&self.put_rows(batch, rows)?);
        let source = (batch.topic.clone(), batch.partition);
        let before = self.session()?.positions.get(&source).copied().unwrap_or_default();
        let last = rows.last().map(|row| LastRow { offset: row.offset, epoch: row.epoch });
        let position = Position { next: end, last: last.or(before.position.last) };
        let unreadable = before.unreadable + applied.unreadable;
        self.put_progress(source, Progress { position, unreadable, ..before })?;
        Ok(applied)
    }

    pub(super) fn put_metrics(
        &mut self,
        schema: &'static Schema,
        batch: &Batch,
        rows: &[Row],
    ) -> Result<Applied, NotStored> {
        let keys = plan::keys(schema, rows);
        let mut distinct: Vec<&[u8]> = keys.iter().flatten().map(|key| &**key).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let bytes_max = self.config.keys_bytes_max;
        let existing = keys::look_up(&self.server, schema, &distinct, bytes_max)?;
        let plan = plan::plan(batch.partition, rows, &keys, &existing);
        if let (Some(first), Some(last)) = (rows.first(), rows.last()) {
            let token = self.session()?.token(&batch.topic, batch.partition.0, first.offset.0, last.offset.0);
            let name = format!("{token}/delete");
            keys::read_whole(&self.server, schema, &plan.delete, bytes_max, &mut self.replaced)?;
            keys::delete(&self.server, schema, &plan.delete, bytes_max, &name)?;
        }
        self.insert_rows(schema.table, batch, &plan.insert, |bytes, row| {
            let Content::Put(values) = &row.content else { unreachable!("only such rows are inserted") };
            for value in values {
                put_value(bytes, value);
            }
        })?;
        Ok(plan.applied)
    }

    pub(super) fn put_dropped(&mut self, batch: &Batch, rows: &[Row]) -> Result<Applied, NotStored> {
        let table = batch.table.name();
        let dropped: Vec<&Row> =
            rows.iter().filter(|row| matches!(row.content, Content::Dropped(_))).collect();
        let applied = Applied { put: dropped.len() as u64, ..Applied::default() };
        let missing = self.missing(table, "1", batch.partition, dropped)?;
        self.insert_rows(table, batch, &missing, |bytes, row| {
            let Content::Dropped(dropped) = &row.content else { unreachable!("others were left out") };
            put_text(bytes, dropped.reason.as_bytes());
            put_text(bytes, dropped.job.as_bytes());
            bytes.extend(dropped.partition.0.to_le_bytes());
            bytes.extend(dropped.offset.0.to_le_bytes());
            put_text(bytes, &dropped.record);
        })?;
        Ok(applied)
    }

    /// Keeps the rows among `rows` that do not fit, and counts them.
    pub(super) fn put_unreadable(
        &mut self,
        batch: &Batch,
        rows: &[Row],
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        let unreadable = rows.iter().filter(|row| matches!(row.content, Content::Unreadable(_)));
        let unreadable: Vec<&Row> = unreadable.collect();
        let Some(first) = unreadable.first() else { return Ok(()) };
        let Content::Unreadable(content) = &first.content else { unreachable!("others were left out") };
        let first = UnreadableRow {
            topic: batch.topic.clone(),
            partition: batch.partition,
            offset: first.offset,
            reason: content.reason.clone(),
        };
        let count = unreadable.len() as u64;
        applied.add(&Applied { unreadable: count, first_unreadable: Some(first), ..Applied::default() });
        let of_topic = format!("topic = {}", literal(batch.topic.as_bytes()));
        let missing = self.missing(UNREADABLE, &of_topic, batch.partition, unreadable)?;
        let put = self.insert_rows(UNREADABLE, batch, &missing, |bytes, row| {
            let Content::Unreadable(content) = &row.content else { unreachable!("others were left out") };
            put_text(bytes, batch.topic.as_bytes());
            put_text(bytes, content.op.as_bytes());
            put_text(bytes, content.reason.as_bytes());
            put_text(bytes, &content.record);
        });
        put.map_err(|refused| self.not_put_aside(refused, UNREADABLE))
    }

    /// There is no other place for a row that these tables refuse.
    fn not_put_aside(&self, error: NotStored, table: &str) -> StoreError {
        match error {
            NotStored::Failed(error) => error,
            NotStored::Refused(reason) => StoreError::Storage { path: label(&self.server, table), reason },
        }
    }

    /// Those of `rows` that `table`, whose key is offset and version, does not have yet.
    fn missing<'a>(
        &self,
        table: &str,
        condition: &str,
        partition: PartitionId,
        mut rows: Vec<&'a Row>,
    ) -> Result<Vec<&'a Row>, StoreError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(rows) };
        let answer = self.server.read(&format!(
            "SELECT log_offset, version FROM {}.{} WHERE {condition} AND log_partition = {partition} \
             AND log_offset BETWEEN {} AND {}",
            quote(&self.server.database),
            quote(table),
            first.offset,
            last.offset,
        ));
        let answer = answer.map_err(|failure| failure.of_read(label(&self.server, table)))?;
        let read = || -> Result<BTreeSet<(u64, u64)>, Truncated> {
            let (mut reader, mut there) = (Reader(&answer), BTreeSet::new());
            while !reader.is_empty() {
                there.insert((reader.u64()?, reader.u64()?));
            }
            Ok(there)
        };
        let there = read().map_err(|error| garbled(&self.server, table, &error))?;
        rows.retain(|row| !there.contains(&(row.offset.0, version_of(row))));
        Ok(rows)
    }

    /// Inserts rows, each as `put` writes it and with its stamp behind.
    fn insert_rows(
        &mut self,
        table: &str,
        batch: &Batch,
        rows: &[&Row],
        put: impl Fn(&mut Vec<u8>, &Row),
    ) -> Result<(), NotStored> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let mut bytes = Vec::new();
        for row in rows {
            put(&mut bytes, row);
            bytes.extend(version_of(row).to_le_bytes());
            bytes.extend(batch.partition.0.to_le_bytes());
            bytes.extend(row.offset.0.to_le_bytes());
        }
        let token = self.session()?.token(&batch.topic, batch.partition.0, first.offset.0, last.offset.0);
        self.insert(table, token, bytes)
    }
}

/// The epoch of a row as it is stored. That of an unreadable row may itself be what does not fit.
fn version_of(row: &Row) -> u64 {
    row.epoch.0.min(i64::MAX.unsigned_abs())
}
