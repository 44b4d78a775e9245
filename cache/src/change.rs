//! What changed, for those who follow.

use std::sync::Arc;

use serde::Serialize;
use tidegate_model::time::millis;
use tidegate_model::{AsOf, Epoch, EventTime};

use crate::window::{CachedWindow, Fields};

/// One window became another. Values are absolute: to set `fields` and to take `removed` away is all
/// there is to do, and doing it twice changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The kind of the window.
    pub kind: &'static str,
    /// Its start, in milliseconds.
    #[serde(with = "millis")]
    pub window_start: EventTime,
    /// Its end, exclusive, in milliseconds.
    #[serde(with = "millis")]
    pub window_end: EventTime,
    /// Whether it is about provisional values of the window, or about final ones. The two are apart.
    pub provisional: bool,
    /// Fields that are new or have another value.
    pub fields: Fields,
    /// Fields that are gone: retracted, final now, or of a window that is no longer kept. A window
    /// without any field is gone.
    pub removed: Vec<Box<str>>,
    /// The newest epoch that the window's values are of.
    pub epoch: Epoch,
}

impl Change {
    /// What leads from `before` to `after`; `None` when nothing does.
    pub(crate) fn between(
        kind: &'static str,
        provisional: bool,
        before: Option<&CachedWindow>,
        after: Option<&CachedWindow>,
        epoch: Epoch,
    ) -> Option<Self> {
        let window = after.or(before)?.window;
        let no_fields = Fields::new();
        let old = before.map_or(&no_fields, |before| &before.fields);
        let new = after.map_or(&no_fields, |after| &after.fields);
        let fields = new.iter().filter(|(name, value)| old.get(*name) != Some(value));
        let fields: Fields = fields.map(|(name, value)| (name.clone(), *value)).collect();
        let removed: Vec<_> = old.keys().filter(|name| !new.contains_key(*name)).cloned().collect();
        if fields.is_empty() && removed.is_empty() {
            return None;
        }
        let (window_start, window_end) = (window.start, window.end);
        Some(Self { kind, window_start, window_end, provisional, fields, removed, epoch })
    }
}

/// What a subscriber is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Its number: one more than that of the update before.
    pub seq: u64,
    /// What happened.
    pub kind: UpdateKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateKind {
    /// A window changed.
    Changed(Arc<Change>),
    /// Everything up to there is in; every change that belongs to it was told before.
    AsOf(AsOf),
}
