//! The cache, against what the log says.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_cache::{Ask, CacheReader as _, Number};
use tidegate_model::{EventTime, Schema};

use super::tables;
use crate::director::{Violation, violated};
use crate::world::State;
use crate::world::store::Values;

const PROMISE: &str = "the cache is what the log says";

/// Windows that the cache keeps of a kind.
const WINDOWS_KEPT: usize = 120;

pub(super) fn the_cache_is_what_the_log_says(state: &State) -> Result<(), Violation> {
    let rows = tables::expected(state);
    for schema in Schema::ALL {
        let Some(view) = &schema.cache else { continue };
        let expected = expected(schema, &rows);
        let asks = [Ask::Newest { kind: view.kind, limit: WINDOWS_KEPT }];
        let asked = state.cache.read(&asks);
        let answer = tidegate_log::conformance::block_on(asked).expect("it is in memory");
        let windows = answer.windows.into_iter().flatten();
        let actual: BTreeMap<_, _> = windows
            .map(|window| {
                let fields = window.fields.iter().map(|(name, number)| (name.to_string(), said(*number)));
                (window.window.start, fields.collect::<BTreeMap<_, _>>())
            })
            .collect();
        let newest: BTreeSet<_> = expected.keys().rev().take(WINDOWS_KEPT).collect();
        for start in newest {
            if actual.get(start) != expected.get(start) {
                let (log, cache) = (&expected[start], actual.get(start));
                return violated(PROMISE, format!("{} {start}:\nlog   {log:?}\ncache {cache:?}", view.kind));
            }
        }
        if let Some((start, window)) = actual.iter().find(|(start, _)| !expected.contains_key(start)) {
            return violated(PROMISE, format!("{} {start} is in the cache alone: {window:?}", view.kind));
        }
    }
    let (cache, log) = (state.cache_as_of(), state.bindings.last().map(tidegate_model::Binding::as_of));
    if cache != log {
        return violated(PROMISE, format!("the cache is as of {cache:?}, the log of {log:?}"));
    }
    Ok(())
}

fn said(number: Number) -> String {
    match number {
        Number::UInt(number) => number.to_string(),
        Number::Float(number) => format!("{:016x}", number.to_bits()),
    }
}

/// The windows of a table: start, to fields by name.
fn expected(
    schema: &'static Schema,
    rows: &BTreeMap<(&'static str, Values), Values>,
) -> BTreeMap<EventTime, BTreeMap<String, String>> {
    let view = schema.cache.as_ref().expect("asked for by whoever has one");
    let column = |name: &str| {
        schema.columns.iter().position(|column| column.name == name).expect("a view is made of columns")
    };
    let mut windows: BTreeMap<EventTime, BTreeMap<String, String>> = BTreeMap::new();
    for (_, row) in rows.iter().filter(|((table, _), _)| *table == schema.table) {
        let start = row[column("window_start")].parse().expect("milliseconds");
        let window = windows.entry(EventTime::from_millis(start)).or_default();
        for (name, suffix) in view.fields {
            window.insert(format!("{}.{suffix}", row[column(view.label)]), row[column(name)].clone());
        }
    }
    windows
}
