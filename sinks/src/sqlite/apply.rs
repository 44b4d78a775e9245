//! Storing a batch, inside a transaction.

use rusqlite::{CachedStatement, OptionalExtension, Transaction, params};

use super::instant::InstantText;
use super::layout::{self, TableSql};
use super::{Failed, Parts, read_position, sql};
use crate::batch::{Batch, Content, Dropped, Row, Table, Unreadable, UnreadableRow, Value};
use crate::store::{Applied, Gap, LastRow, NewLog, Position, StoreError, TopicPartition};

/// How many rows beyond a table's limit one batch removes at most, so that a lowered limit does not
/// make one transaction large.
const TRIM_ROWS_MAX: u64 = 20_000;

pub(super) fn apply(
    transaction: &Transaction<'_>,
    parts: &Parts<'_>,
    batch: &Batch,
) -> Result<Applied, Failed> {
    let source = (batch.topic.clone(), batch.partition);
    let position = position_before(transaction, &source, batch.range.start)?;
    let new = batch.rows.partition_point(|row| row.offset < position.next);
    let mut applied = Applied { repeated: new as u64, ..Applied::default() };
    if batch.range.end <= position.next {
        return Ok(applied);
    }
    let rows = &batch.rows[new..];
    match batch.table {
        Table::Metrics(schema) => {
            let table = parts.tables.iter().find(|table| table.schema.table == schema.table);
            let table = table.expect("the store is opened with every table that the sink feeds");
            put_metrics(transaction, table, batch, rows, &mut applied)?;
        }
        Table::Dropped => {
            put_dropped(transaction, batch, rows, &mut applied)?;
            trim(transaction, "dropped_events", parts.config.dropped_rows_max)?;
        }
    }
    put_unreadable(transaction, batch, rows, &mut applied)?;
    if applied.unreadable > 0 {
        trim(transaction, "unreadable_rows", parts.config.unreadable_rows_max)?;
    }
    let last = rows.last().map(|row| LastRow { offset: row.offset, epoch: row.epoch });
    put_position(transaction, &source, Position { next: batch.range.end, last }, applied.unreadable)?;
    Ok(applied)
}

pub(super) fn skip(transaction: &Transaction<'_>, gap: &Gap) -> Result<(), Failed> {
    let source = (gap.topic.clone(), gap.partition);
    let position = position_before(transaction, &source, gap.missing.start)?;
    if gap.missing.end <= position.next {
        return Ok(());
    }
    let (from, to) = (sql(position.next.0), sql(gap.missing.end.0));
    transaction.prepare_cached(layout::PUT_GAP)?.execute(params![&*source.0, source.1.0, from, to])?;
    put_position(transaction, &source, Position { next: gap.missing.end, last: None }, 0)
}

pub(super) fn adopt(transaction: &Transaction<'_>, log: &NewLog) -> rusqlite::Result<()> {
    let parameters = params![&*log.topic, log.partition.0, sql(log.start.0)];
    transaction.prepare_cached(layout::MOVE_POSITION)?.execute(parameters).map(drop)
}

/// The position, which must not be below `start`: the rows between would be lost.
fn position_before(
    transaction: &Transaction<'_>,
    (topic, partition): &TopicPartition,
    start: tidegate_model::Offset,
) -> Result<Position, Failed> {
    let mut statement = transaction.prepare_cached(layout::SELECT_POSITION)?;
    let found =
        statement.query_row(params![&**topic, partition.0], |row| read_position(row, 0)).optional()?;
    let position = found.unwrap_or_default();
    if start > position.next {
        let (topic, partition, next) = (topic.clone(), *partition, position.next);
        return Err(Failed::Store(StoreError::Gap { topic, partition, next, start }));
    }
    Ok(position)
}

fn put_position(
    transaction: &Transaction<'_>,
    (topic, partition): &TopicPartition,
    position: Position,
    unreadable: u64,
) -> Result<(), Failed> {
    transaction.prepare_cached(layout::PUT_POSITION)?.execute(params![
        &**topic,
        partition.0,
        sql(position.next.0),
        position.last.map(|last| sql(last.offset.0)),
        position.last.map(|last| sql(last.epoch.0.min(i64::MAX as u64))),
        sql(unreadable),
    ])?;
    Ok(())
}

fn put_metrics(
    transaction: &Transaction<'_>,
    table: &TableSql,
    batch: &Batch,
    rows: &[Row],
    applied: &mut Applied,
) -> Result<(), Failed> {
    let mut put = transaction.prepare_cached(&table.put)?;
    let mut remove = transaction.prepare_cached(&table.remove)?;
    for row in rows {
        match &row.content {
            Content::Put(values) => {
                let next = bind(&mut put, values)?;
                put.raw_bind_parameter(next, sql(row.epoch.0))?;
                put.raw_bind_parameter(next + 1, batch.partition.0)?;
                put.raw_bind_parameter(next + 2, sql(row.offset.0))?;
                if put.raw_execute()? == 1 {
                    applied.put += 1;
                } else {
                    applied.stale += 1;
                }
            }
            Content::Remove(key) => {
                let next = bind(&mut remove, key)?;
                remove.raw_bind_parameter(next, sql(row.epoch.0))?;
                remove.raw_bind_parameter(next + 1, sql(row.offset.0))?;
                remove.raw_execute()?;
                applied.removed += 1;
            }
            Content::Dropped(_) => unreachable!("dropped records come on a topic of their own"),
            Content::Unreadable(_) => {}
        }
    }
    Ok(())
}

/// Binds `values` from parameter 1 on and returns the number of the next parameter.
fn bind(statement: &mut CachedStatement<'_>, values: &[Value]) -> rusqlite::Result<usize> {
    for (value, at) in values.iter().zip(1..) {
        match value {
            Value::Instant(instant) => {
                statement.raw_bind_parameter(at, InstantText::new(*instant).as_str())?;
            }
            Value::Text(text) => statement.raw_bind_parameter(at, &**text)?,
            Value::UInt(number) => statement.raw_bind_parameter(at, sql(*number))?,
            Value::Float(number) => statement.raw_bind_parameter(at, *number)?,
        }
    }
    Ok(values.len() + 1)
}

fn put_dropped(
    transaction: &Transaction<'_>,
    batch: &Batch,
    rows: &[Row],
    applied: &mut Applied,
) -> Result<(), Failed> {
    let mut put = transaction.prepare_cached(layout::PUT_DROPPED)?;
    for row in rows {
        let Content::Dropped(Dropped { reason, job, partition, offset, record }) = &row.content else {
            continue;
        };
        put.raw_bind_parameter(1, &**reason)?;
        put.raw_bind_parameter(2, &**job)?;
        put.raw_bind_parameter(3, partition.0)?;
        put.raw_bind_parameter(4, sql(offset.0))?;
        bind_record(&mut put, 5, record)?;
        put.raw_bind_parameter(6, sql(row.epoch.0))?;
        put.raw_bind_parameter(7, batch.partition.0)?;
        put.raw_bind_parameter(8, sql(row.offset.0))?;
        if put.raw_execute()? == 1 {
            applied.put += 1;
        } else {
            applied.stale += 1;
        }
    }
    Ok(())
}

fn put_unreadable(
    transaction: &Transaction<'_>,
    batch: &Batch,
    rows: &[Row],
    applied: &mut Applied,
) -> Result<(), Failed> {
    let mut put = transaction.prepare_cached(layout::PUT_UNREADABLE)?;
    for row in rows {
        let Content::Unreadable(Unreadable { op, reason, record }) = &row.content else { continue };
        put.raw_bind_parameter(1, &*batch.topic)?;
        put.raw_bind_parameter(2, *op)?;
        put.raw_bind_parameter(3, &**reason)?;
        bind_record(&mut put, 4, record)?;
        // The epoch itself may be what does not fit.
        put.raw_bind_parameter(5, sql(row.epoch.0.min(i64::MAX as u64)))?;
        put.raw_bind_parameter(6, batch.partition.0)?;
        put.raw_bind_parameter(7, sql(row.offset.0))?;
        put.raw_execute()?;
        applied.unreadable += 1;
        applied.first_unreadable.get_or_insert_with(|| UnreadableRow {
            topic: batch.topic.clone(),
            partition: batch.partition,
            offset: row.offset,
            reason: reason.clone(),
        });
    }
    Ok(())
}

/// A record is text where it can be, so that people can read it, and bytes where it cannot.
fn bind_record(statement: &mut CachedStatement<'_>, at: usize, record: &[u8]) -> rusqlite::Result<()> {
    match std::str::from_utf8(record) {
        Ok(text) => statement.raw_bind_parameter(at, text),
        Err(_) => statement.raw_bind_parameter(at, record),
    }
}

/// Removes the oldest rows beyond `rows_max`. Row ids count up, and only the oldest are ever removed.
fn trim(transaction: &Transaction<'_>, table: &str, rows_max: u64) -> Result<(), Failed> {
    let sql_text = format!(
        "DELETE FROM {table} WHERE rowid <= (SELECT max(rowid) FROM {table}) - ?1 \
         AND rowid < (SELECT min(rowid) FROM {table}) + ?2"
    );
    transaction.prepare_cached(&sql_text)?.execute(params![sql(rows_max), sql(TRIM_ROWS_MAX)])?;
    Ok(())
}
