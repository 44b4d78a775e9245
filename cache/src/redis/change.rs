//! A published change, as it is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_model::time::millis;
use tidegate_model::{AsOf, Epoch, EventTime};

use super::number::number;
use super::writer::view;
use crate::change::{Change, Update, UpdateKind};
use crate::window::Fields;

#[derive(Debug, Deserialize)]
struct ChangeText<'a> {
    seq: u64,
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(with = "millis")]
    window_start: EventTime,
    #[serde(with = "millis")]
    window_end: EventTime,
    provisional: bool,
    /// Numbers as they are written: a parser of JSON may miss a float by its last digit.
    #[serde(borrow)]
    fields: BTreeMap<Box<str>, &'a RawValue>,
    removed: Vec<Box<str>>,
    epoch: Epoch,
}

/// The change of a message; `None` when it is none that this version knows.
pub(super) fn change(message: &str) -> Option<Update> {
    let told: ChangeText<'_> = serde_json::from_str(message).ok()?;
    let fields = told.fields.into_iter().map(|(name, value)| Some((name, number(value.get())?)));
    let mut removed = told.removed;
    removed.sort_unstable();
    let change = Change {
        kind: view(&told.kind)?.kind,
        window_start: told.window_start,
        window_end: told.window_end,
        provisional: told.provisional,
        fields: fields.collect::<Option<Fields>>()?,
        removed,
        epoch: told.epoch,
    };
    Some(Update { seq: told.seq, kind: UpdateKind::Changed(change.into()) })
}

/// How far rows are in, by a message.
pub(super) fn as_of(message: &str) -> Option<Update> {
    #[derive(Deserialize)]
    struct AsOfText {
        seq: u64,
        #[serde(flatten)]
        as_of: AsOf,
    }
    let told: AsOfText = serde_json::from_str(message).ok()?;
    Some(Update { seq: told.seq, kind: UpdateKind::AsOf(told.as_of) })
}
