//! What a cache shows, and what it should show by the tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tidegate_cache::{Answer, Ask, CacheReader, MemoryCache, Number};
use tidegate_model::{EventTime, Schema};

/// Kind, start of the window in milliseconds, name of the field; and its value as the tables print it.
pub(crate) type Shown = BTreeMap<(&'static str, i64, String), String>;

/// The answer of a cache in this process, which never keeps anybody waiting.
pub(crate) fn read(cache: &MemoryCache, asks: &[Ask]) -> Answer {
    match pin!(cache.read(asks)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("it answers"),
        Poll::Pending => panic!("it keeps its reader waiting"),
    }
}

pub(crate) fn is_ready(cache: &MemoryCache) -> bool {
    match pin!(cache.ready()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("it answers"),
        Poll::Pending => panic!("it keeps its reader waiting"),
    }
}

fn kinds() -> Vec<&'static str> {
    Schema::ALL.into_iter().filter_map(|schema| Some(schema.cache.as_ref()?.kind)).collect()
}

fn shown(cache: &MemoryCache, ask: impl Fn(&'static str) -> Ask) -> Shown {
    let mut shown = Shown::new();
    for kind in kinds() {
        for window in &read(cache, &[ask(kind)]).windows[0] {
            for (name, value) in &window.fields {
                let value = match value {
                    Number::UInt(value) => value.to_string(),
                    Number::Float(value) => format!("{value:?}"),
                };
                shown.insert((kind, window.window.start.as_millis(), name.to_string()), value);
            }
        }
    }
    shown
}

/// The final values.
pub(crate) fn settled(cache: &MemoryCache) -> Shown {
    shown(cache, |kind| Ask::Newest { kind, limit: usize::MAX })
}

/// The provisional ones.
pub(crate) fn live(cache: &MemoryCache) -> Shown {
    shown(cache, |kind| Ask::Live { kind })
}

/// What the tables say, by plain SQL: the newest windows of each.
pub(crate) fn tables(file: &Path, windows_kept: usize) -> Shown {
    let mut shown = Shown::new();
    for schema in Schema::ALL {
        let Some(view) = &schema.cache else { continue };
        for (column, suffix) in view.fields {
            let sql = format!(
                "SELECT window_start, {}, {column} FROM {table} WHERE window_start IN \
                 (SELECT DISTINCT window_start FROM {table} ORDER BY 1 DESC LIMIT {windows_kept})",
                view.label,
                table = schema.table,
            );
            for row in super::dump(file, &sql) {
                let start = EventTime::parse(&row[0]).expect("an instant").as_millis();
                shown.insert((view.kind, start, format!("{}.{suffix}", row[1])), row[2].clone());
            }
        }
    }
    shown
}
