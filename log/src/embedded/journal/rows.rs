//! Reading committed rows, over a connection of its own.

use std::convert::Infallible;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};
use tidegate_model::{AsOf, Binding, Epoch, Generation, Offset, Op, PartitionId};

use super::transaction::{read_error, transaction};
use super::{JournalDb, bindings, schema};
use crate::embedded::wakes::Registration;
use crate::event::{ReadError, Wake};
use crate::journal::JournalError;
use crate::rows::{RowReader, RowRef};

/// The only partition of a topic of rows.
const PARTITION: PartitionId = PartitionId(0);

/// Reads the rows of an embedded log. Each topic has one partition, with offsets from 0 and without
/// gaps.
pub struct EmbeddedRowReader {
    db: Arc<JournalDb>,
    connection: Connection,
    headers: Vec<(String, String)>,
    registration: Option<Registration>,
}

impl EmbeddedRowReader {
    pub(in crate::embedded) fn open(db: Arc<JournalDb>) -> Result<Self, JournalError> {
        let connection = schema::open_reader(&db.path, db.vfs.as_deref())?;
        Ok(Self { db, connection, headers: Vec::new(), registration: None })
    }

    fn failed(&self, error: &rusqlite::Error) -> ReadError {
        read_error(&self.db.path, error)
    }

    /// The topic's id, its oldest and its next offset.
    fn topic(&self, name: &str) -> rusqlite::Result<Option<(i64, u64, u64)>> {
        let sql = "SELECT id, first_offset, next_offset FROM topics WHERE name = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_row([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
    }

    /// Shows rows; `None` when the first one found is not the one asked for.
    fn show(
        &mut self,
        topic: i64,
        from: i64,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> rusqlite::Result<Option<Offset>> {
        let sql = "SELECT offset, epoch, op, generation, key, value, headers FROM rows
                   WHERE topic = ?1 AND partition = 0 AND offset >= ?2 ORDER BY offset LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
        let mut rows = statement.query((topic, from, limit))?;
        let mut expected = from;
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(0)? != expected {
                return Ok(None);
            }
            show_row(row, &mut self.headers, visit)?;
            expected += 1;
        }
        Ok(Some(Offset(expected.cast_unsigned())))
    }
}

/// Shows one row; `headers` is memory to use again.
pub(super) fn show_row(
    row: &Row<'_>,
    headers: &mut Vec<(String, String)>,
    visit: &mut dyn FnMut(RowRef<'_>),
) -> rusqlite::Result<()> {
    let wrong = |column: usize, what: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, what.into())
    };
    let op = row.get_ref(2)?.as_str()?;
    let op = Op::parse(op).ok_or_else(|| wrong(2, format!("there is no op {op:?}")))?;
    headers.clear();
    if let Some(text) = row.get_ref(6)?.as_str_or_null()? {
        *headers = serde_json::from_str(text).map_err(|error| wrong(6, error.to_string()))?;
    }
    visit(RowRef {
        offset: Offset(row.get(0)?),
        key: row.get_ref(4)?.as_blob()?,
        value: row.get_ref(5)?.as_blob()?,
        epoch: Epoch(row.get(1)?),
        op,
        generation: Generation(row.get(3)?),
        headers,
    });
    Ok(())
}

impl RowReader for EmbeddedRowReader {
    fn partitions(&mut self, _topic: &str) -> Result<Vec<PartitionId>, ReadError> {
        Ok(vec![PARTITION])
    }

    fn as_of(&mut self) -> Result<Option<AsOf>, ReadError> {
        let last = bindings::read_last(&self.connection, &self.db.path).map_err(|error| match error {
            JournalError::Damaged { what, reason } => ReadError::Damaged { path: what, at: 0, reason },
            error => ReadError::Storage { path: self.db.name(), reason: error.to_string() },
        })?;
        Ok(last.as_ref().map(Binding::as_of))
    }

    fn read(
        &mut self,
        topic: &str,
        partition: PartitionId,
        from: Offset,
        max_rows: usize,
        visit: &mut dyn FnMut(RowRef<'_>),
    ) -> Result<Offset, ReadError> {
        if partition != PARTITION {
            return Err(ReadError::UnknownPartition(partition));
        }
        let out_of_range = |available: std::ops::Range<u64>| ReadError::OutOfRange {
            partition,
            asked: from,
            available: Offset(available.start)..Offset(available.end),
        };
        let known = self.topic(topic).map_err(|error| self.failed(&error))?;
        let Some((id, _, next)) = known else {
            return if from == Offset::ZERO { Ok(from) } else { Err(out_of_range(0..0)) };
        };
        let Some(asked) = i64::try_from(from.0).ok().filter(|_| from.0 <= next) else {
            return Err(out_of_range(self.topic(topic).ok().flatten().map_or(0..0, |(_, a, b)| a..b)));
        };
        let shown = self.show(id, asked, max_rows, visit).map_err(|error| self.failed(&error))?;
        // The bounds are looked at after the rows: what retention removes in between was shown.
        let (_, first, next) =
            self.topic(topic).map_err(|error| self.failed(&error))?.unwrap_or((id, from.0, from.0));
        match shown {
            Some(end) if end > from || from.0 >= first => Ok(end),
            _ => Err(out_of_range(first..next)),
        }
    }

    fn acknowledge(
        &mut self,
        sink: &str,
        topic: &str,
        partition: PartitionId,
        offset: Offset,
    ) -> Result<(), ReadError> {
        let failed = |reason| ReadError::Storage { path: self.db.name(), reason };
        let offset = i64::try_from(offset.0).map_err(|error| failed(error.to_string()))?;
        let mut writer = self.db.writer();
        let done = transaction::<_, Infallible>(&mut writer.connection, |connection| {
            let sql = "INSERT INTO acknowledged VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT DO UPDATE SET offset = excluded.offset WHERE excluded.offset > offset";
            connection.prepare_cached(sql)?.execute((sink, topic, partition.0, offset))?;
            Ok(())
        });
        done.map_err(|failure| failed(failure.reason()))
    }

    fn on_commit(&mut self, wake: Wake) {
        self.registration = Some(self.db.wakes.register(wake));
    }
}
