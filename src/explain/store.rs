//! Rows of the metric store, as objects like those of the log.

use std::io;
use std::path::Path;

use serde_json::Value;
use tidegate_model::EventTime;
use tidegate_model::row::ColumnType;
use tidegate_sinks::query::{Cell, QueryError, RowVisitor, query};

use super::facts::Columns;
use super::subject::Subject;

/// Asks the metric store. `None` when there is none yet.
pub(crate) fn ask(
    path: &Path,
    subject: Subject,
    sql: &str,
    parameters: &[Cell<'_>],
) -> Result<Option<Vec<Columns>>, QueryError> {
    let mut rows = Vec::new();
    let is_there = show(path, subject, sql, parameters, &mut |row| rows.push(row))?;
    Ok(is_there.then_some(rows))
}

/// Shows the rows of the answer one by one, where there may be many. Says whether there is a metric store.
pub(crate) fn show(
    path: &Path,
    subject: Subject,
    sql: &str,
    parameters: &[Cell<'_>],
    visit: &mut dyn FnMut(Columns),
) -> Result<bool, QueryError> {
    match query(path, sql, parameters, &mut Shown { subject, names: Vec::new(), visit }) {
        Ok(_) => Ok(true),
        Err(QueryError::Missing { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

struct Shown<'a> {
    subject: Subject,
    names: Vec<String>,
    visit: &'a mut dyn FnMut(Columns),
}

impl RowVisitor for Shown<'_> {
    fn columns(&mut self, names: &[&str]) -> io::Result<()> {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        let columns = self.names.iter().zip(cells);
        let subject = self.subject;
        (self.visit)(columns.map(|(name, cell)| (name.clone(), value(subject, name, *cell))).collect());
        Ok(())
    }
}

/// The value as the log writes it: instants have another form in tables.
fn value(subject: Subject, name: &str, cell: Cell<'_>) -> Value {
    let is_instant = |text: &str| {
        let columns = subject.schema().columns.iter();
        let is_declared =
            columns.filter(|column| column.kind == ColumnType::Instant).any(|column| column.name == name);
        is_declared.then(|| EventTime::parse(text).ok()).flatten()
    };
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(number) => number.into(),
        Cell::Real(number) => number.into(),
        Cell::Text(text) => is_instant(text).map_or_else(|| text.to_owned(), EventTime::to_rfc3339).into(),
        Cell::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
    }
}
