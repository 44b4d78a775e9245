//! The tables, against what the log says.

use std::collections::BTreeMap;

use tidegate_log::RowRef;
use tidegate_model::{Op, Schema, names};
use tidegate_sinks::batch::{Content, Table};
use tidegate_sinks::decode::decode;

use crate::director::{Violation, violated};
use crate::world::State;
use crate::world::store::{Values, key, text};

const PROMISE: &str = "the tables are what the log says";

/// The tables as the log says they are: the last word on every key.
pub(super) fn expected(state: &State) -> BTreeMap<(&'static str, Values), Values> {
    let mut tables = BTreeMap::new();
    for ((topic, _), partition) in &state.topics.0 {
        let Some(schema) = Schema::of_table(topic) else { continue };
        for (offset, committed) in (0..).zip(&partition.slots) {
            let Some(committed) = committed else { continue };
            let row = RowRef {
                offset: tidegate_model::Offset(offset),
                key: &committed.row.key,
                value: &committed.row.value,
                epoch: committed.row.epoch,
                op: committed.row.op,
                generation: committed.generation,
                headers: &committed.headers,
            };
            match decode(Table::Metrics(schema), &row).content {
                Content::Put(values) => {
                    tables.insert((schema.table, key(schema, &values)), values.iter().map(text).collect());
                }
                Content::Remove(key) => {
                    tables.remove(&(schema.table, key.iter().map(text).collect::<Values>()));
                }
                other => unreachable!("{other:?} in {topic}"),
            }
        }
    }
    tables
}

pub(super) fn tables_are_what_the_log_says(state: &State) -> Result<(), Violation> {
    let expected = expected(state);
    let values = |values: &[tidegate_sinks::batch::Value]| -> Values { values.iter().map(text).collect() };
    let actual: BTreeMap<_, _> =
        state.tables.rows.iter().map(|(place, row)| (place.clone(), values(&row.values))).collect();
    for (place, row) in &expected {
        if actual.get(place) != Some(row) {
            return violated(PROMISE, format!("{place:?}:\nlog   {row:?}\ntable {:?}", actual.get(place)));
        }
    }
    if let Some((place, row)) = actual.iter().find(|(place, _)| !expected.contains_key(*place)) {
        return violated(PROMISE, format!("{place:?} is in the table, and not in the log: {row:?}"));
    }
    let dropped = state.topics.rows().filter(|row| *row.topic == *names::DROPPED_EVENTS).count();
    if dropped != state.tables.dropped.len() || state.tables.unreadable > 0 {
        let (table, unreadable) = (state.tables.dropped.len(), state.tables.unreadable);
        return violated(
            PROMISE,
            format!("{dropped} dropped records, {table} in the table, {unreadable} unreadable"),
        );
    }
    twice(state)
}

/// No row is said to be the first of its key while another one stands.
fn twice(state: &State) -> Result<(), Violation> {
    let mut standing: BTreeMap<(&str, &[u8], Values), Op> = BTreeMap::new();
    for ((topic, _), partition) in &state.topics.0 {
        let Some(schema) = Schema::of_table(topic) else { continue };
        for committed in partition.slots.iter().flatten() {
            let row = &committed.row;
            let value: serde_json::Value = serde_json::from_slice(&row.value).expect("rows are JSON");
            let of_key = schema.key.iter().map(|name| value[*name].to_string()).collect();
            let place = (schema.table, row.key.as_slice(), of_key);
            let before = standing.insert(place.clone(), row.op);
            let stands = before.is_some_and(|op| op != Op::Retract);
            // Sessions without lateness may begin again at the same instant: docs/architecture.md.
            if row.op == Op::Final && stands && schema.table != "session_metrics" {
                return violated("no window is seen twice", format!("{place:?} {row:?}"));
            }
        }
    }
    Ok(())
}
