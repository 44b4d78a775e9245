//! A decoded row of a table, as the cache takes it: by the table's schema, and by nothing else.

use tidegate_cache::{Effect, Number, Row};
use tidegate_model::row::CacheView;
use tidegate_model::{EventTime, Schema, Window};

use crate::batch::{Content, Value};

/// The column that a cached row's window starts at.
pub(crate) const WINDOW_START: &str = "window_start";

/// The column that it ends at.
pub(crate) const WINDOW_END: &str = "window_end";

/// Where in a row the cache finds what it needs.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    pub(crate) schema: &'static Schema,
    pub(crate) view: &'static CacheView,
    /// Start, end and label among the columns.
    in_columns: [usize; 3],
    /// Start, end and label among the columns of the key.
    in_key: [usize; 3],
    /// The cached columns.
    fields: Vec<usize>,
}

impl Projection {
    /// That of the rows of `schema`, which are cached.
    pub(crate) fn new(schema: &'static Schema) -> Self {
        let view = schema.cache.as_ref().expect("whoever caches a table has seen to it that it has a view");
        let columns: Vec<&str> = schema.columns.iter().map(|column| column.name).collect();
        let names = [WINDOW_START, WINDOW_END, view.label];
        let all = |list: &[&str]| {
            let found = names.map(|name| list.iter().position(|column| *column == name));
            found.map(|at| at.expect("a cached row is named by its window and its label"))
        };
        let column = |name: &str| columns.iter().position(|column| *column == name);
        let fields = view.fields.iter().map(|(name, _)| column(name).expect("a cached column is a column"));
        let fields = fields.collect();
        Self { schema, view, in_columns: all(&columns), in_key: all(schema.key), fields }
    }

    /// The row for the cache; `None` when it does not fit its table.
    pub(crate) fn row(&self, row: &crate::batch::Row, provisional: bool) -> Option<Row> {
        let (window, label, effect) = match &row.content {
            Content::Put(values) => {
                let (window, label) = place(values, self.in_columns);
                let numbers = self.fields.iter().map(|at| number(&values[*at]));
                (window, label, Effect::Put(numbers.collect()))
            }
            Content::Remove(key) => {
                let (window, label) = place(key, self.in_key);
                (window, label, Effect::Remove)
            }
            Content::Dropped(_) => unreachable!("dropped records are no rows of a table"),
            Content::Unreadable(_) => return None,
        };
        let (offset, epoch, view) = (row.offset, row.epoch, self.view);
        Some(Row { offset, epoch, view, window, label, provisional, effect })
    }
}

fn place(values: &[Value], [start, end, label]: [usize; 3]) -> (Window, Box<str>) {
    let Value::Text(label) = &values[label] else { unreachable!("labels are text") };
    (Window { start: instant(&values[start]), end: instant(&values[end]) }, label.clone())
}

fn instant(value: &Value) -> EventTime {
    match value {
        Value::Instant(instant) => *instant,
        Value::Text(_) | Value::UInt(_) | Value::Float(_) => unreachable!("bounds of windows are instants"),
    }
}

fn number(value: &Value) -> Number {
    match value {
        Value::UInt(number) => Number::UInt(*number),
        Value::Float(number) => Number::Float(*number),
        Value::Instant(_) | Value::Text(_) => unreachable!("what is cached is a number"),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::row::ColumnType;

    use super::*;

    /// What is taken for granted above.
    #[test]
    fn every_cached_table_has_bounds_a_label_and_numbers() {
        for schema in Schema::ALL.into_iter().filter(|schema| schema.cache.is_some()) {
            let found = Projection::new(schema);
            let [start, end, label] = found.in_columns.map(|at| schema.columns[at].kind);
            let expected = (ColumnType::Instant, ColumnType::Instant, ColumnType::Text);
            assert_eq!((start, end, label), expected, "{}", schema.table);
            for at in &found.fields {
                let kind = schema.columns[*at].kind;
                assert!(matches!(kind, ColumnType::UInt | ColumnType::Float), "{}", schema.table);
            }
        }
    }
}
