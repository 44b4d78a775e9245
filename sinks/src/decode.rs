//! A row of the log, by its schema, into values that a store can take.
//!
//! Decoding never fails: what does not fit becomes [`Content::Unreadable`], with the column and the
//! value named. A row fits when it is a JSON object with every column of the schema once, in any
//! order, and nothing else (contract section 2); a retraction needs the columns of the key only.

mod fields;

use std::fmt;

use tidegate_log::RowRef;
use tidegate_model::row::{Op, Schema};
use tidegate_model::{Offset, PartitionId};

use crate::batch::{Content, Dropped, Row, Table, Unreadable};
use fields::decode_fields;

/// The largest number that every store can hold and sort: `SQLite`'s are signed. Counts beyond it are
/// refused everywhere, so that the tables of two stores never differ.
const NUMBER_MAX: u64 = i64::MAX as u64;

/// Decodes `row`, which lies in the topic of `table`.
pub fn decode(table: Table, row: &RowRef<'_>) -> Row {
    let content = if row.epoch.0 > NUMBER_MAX {
        Err(Problem(format!("header epoch is {}, the largest that can be stored is {NUMBER_MAX}", row.epoch)))
    } else {
        match table {
            Table::Metrics(schema) => decode_metric(schema, row.op, row.value),
            Table::Dropped => decode_dropped(row),
        }
    };
    let content = content.unwrap_or_else(|Problem(reason)| {
        Content::Unreadable(Unreadable { op: row.op.as_str(), reason, record: row.value.into() })
    });
    Row { offset: row.offset, epoch: row.epoch, op: row.op, content }
}

/// What does not fit.
#[derive(Debug)]
struct Problem(String);

fn decode_metric(schema: &'static Schema, op: Op, json: &[u8]) -> Result<Content, Problem> {
    let mut values = decode_fields(schema, json)?;
    let missing = |name: &str| Problem(format!("column {name} is missing"));
    if op == Op::Retract {
        let key = schema.key.iter().map(|name| {
            let column = schema.columns.iter().position(|column| column.name == *name);
            let column = column.expect("a key consists of columns of its table");
            values[column].take().ok_or_else(|| missing(name))
        });
        return Ok(Content::Remove(key.collect::<Result<_, _>>()?));
    }
    let columns = schema.columns.iter().zip(values);
    let all = columns.map(|(column, value)| value.ok_or_else(|| missing(column.name)));
    Ok(Content::Put(all.collect::<Result<_, _>>()?))
}

fn decode_dropped(row: &RowRef<'_>) -> Result<Content, Problem> {
    let header = |name: &str| {
        let found = row.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| Problem(format!("header {name} is missing")))
    };
    let number = |name: &str, max: u64| {
        let text = header(name)?;
        let number = text.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| {
            Problem(format!("header {name} is {}, expected a whole number up to {max}", Quoted(text)))
        })
    };
    let partition = u32::try_from(number("partition", u32::MAX.into())?).expect("checked against the limit");
    Ok(Content::Dropped(Dropped {
        reason: header("reason")?.into(),
        job: header("job")?.into(),
        partition: PartitionId(partition),
        offset: Offset(number("offset", NUMBER_MAX)?),
        record: row.value.into(),
    }))
}

/// A string from outside in a message: quoted, escaped and no longer than a line.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 80;
        match self.0.char_indices().nth(CHARS_MAX) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}… ({} bytes)", &self.0[..end], self.0.len()),
        }
    }
}

#[cfg(test)]
mod tests;
