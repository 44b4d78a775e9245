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
    let mut found = Found { subject, names: Vec::new(), rows: Vec::new() };
    match query(path, sql, parameters, &mut found) {
        Ok(_) => Ok(Some(found.rows)),
        Err(QueryError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

struct Found {
    subject: Subject,
    names: Vec<String>,
    rows: Vec<Columns>,
}

impl RowVisitor for Found {
    fn columns(&mut self, names: &[&str]) -> io::Result<()> {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> io::Result<()> {
        let columns = self.names.iter().zip(cells);
        let subject = self.subject;
        self.rows.push(columns.map(|(name, cell)| (name.clone(), value(subject, name, *cell))).collect());
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
