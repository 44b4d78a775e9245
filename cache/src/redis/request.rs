//! What is sent to the functions: JSON, with every number that does not fit a double as text.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tidegate_model::row::CacheView;
use tidegate_model::{EventTime, Offset, PartitionId, Window};

use super::number::text;
use crate::batch::{Batch, Effect, Gap, LastRow, Position, Positions, Row, Seed, SeededKind};
use crate::config::Config;
use crate::read::Ask;

/// A window is kept for ten years at most: more is no time that a Redis knows.
const TTL_MAX_MS: i64 = 10 * 366 * 86_400_000;

/// The second halves of the names of a kind's fields.
type Kinds = BTreeMap<&'static str, Vec<&'static str>>;

#[derive(Debug, Serialize)]
struct Limits {
    now: i64,
    ttl: i64,
    windows_kept: usize,
    live_windows_max: usize,
    labels_max: usize,
}

impl Limits {
    fn new(config: &Config, now: EventTime) -> Self {
        Self {
            now: now.as_millis(),
            ttl: config.hash_ttl_ms.min(TTL_MAX_MS),
            windows_kept: config.windows_kept,
            live_windows_max: config.live_windows_max,
            labels_max: config.labels_max,
        }
    }
}

#[derive(Debug, Serialize)]
struct RowText<'a> {
    offset: String,
    kind: &'static str,
    provisional: bool,
    /// Whether windows of the kind have provisional values.
    has_live: bool,
    #[serde(flatten)]
    place: PlaceText<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct PlaceText<'a> {
    epoch: String,
    start: String,
    stop: String,
    label: &'a str,
}

impl<'a> PlaceText<'a> {
    fn new(window: Window, label: &'a str, epoch: u64) -> Self {
        let (start, stop) = (window.start.as_millis().to_string(), window.end.as_millis().to_string());
        Self { epoch: epoch.to_string(), start, stop, label }
    }
}

impl<'a> From<&'a Row> for RowText<'a> {
    fn from(row: &'a Row) -> Self {
        let values = match &row.effect {
            Effect::Put(values) => Some(values.iter().map(|value| text(*value)).collect()),
            Effect::Remove => None,
        };
        Self {
            offset: row.offset.0.to_string(),
            kind: row.view.kind,
            provisional: row.provisional,
            has_live: row.view.live,
            place: PlaceText::new(row.window, &row.label, row.epoch.0),
            values,
        }
    }
}

/// The request for [`Function::Apply`](super::library::Function::Apply).
pub(super) fn apply(batch: &Batch, config: &Config, now: EventTime) -> String {
    #[derive(Serialize)]
    struct Request<'a> {
        #[serde(flatten)]
        limits: Limits,
        kinds: Kinds,
        source: String,
        from: String,
        to: String,
        last: String,
        rows: Vec<RowText<'a>>,
    }
    json(&Request {
        limits: Limits::new(config, now),
        kinds: kinds(batch.rows.iter().map(|row| row.view)),
        source: source(&batch.topic, batch.partition),
        from: batch.range.start.0.to_string(),
        to: batch.range.end.0.to_string(),
        last: last_text(batch.last),
        rows: batch.rows.iter().map(RowText::from).collect(),
    })
}

/// The request for [`Function::Skip`](super::library::Function::Skip).
pub(super) fn skip(gap: &Gap) -> String {
    #[derive(Serialize)]
    struct Request {
        kinds: Kinds,
        source: String,
        from: String,
        to: String,
    }
    json(&Request {
        kinds: kinds(gap.view),
        source: source(&gap.topic, gap.partition),
        from: gap.missing.start.0.to_string(),
        to: gap.missing.end.0.to_string(),
    })
}

/// The request for [`Function::Adopt`](super::library::Function::Adopt).
pub(super) fn adopt((topic, partition): &(Arc<str>, PartitionId), start: Offset) -> String {
    #[derive(Serialize)]
    struct Request {
        source: String,
        start: String,
    }
    json(&Request { source: source(topic, *partition), start: start.0.to_string() })
}

/// The request for [`Function::Seed`](super::library::Function::Seed).
pub(super) fn seed(seed: &Seed, config: &Config, now: EventTime) -> String {
    #[derive(Serialize)]
    struct Request<'a> {
        #[serde(flatten)]
        limits: Limits,
        kinds: Kinds,
        seeds: Vec<KindText<'a>>,
    }
    json(&Request {
        limits: Limits::new(config, now),
        kinds: kinds(seed.kinds.iter().map(|kind| kind.view)),
        seeds: seed.kinds.iter().map(KindText::from).collect(),
    })
}

#[derive(Debug, Serialize)]
struct KindText<'a> {
    kind: &'static str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<String>,
    positions: BTreeMap<String, String>,
    rows: Vec<SeededText<'a>>,
}

#[derive(Debug, Serialize)]
struct SeededText<'a> {
    #[serde(flatten)]
    place: PlaceText<'a>,
    values: Vec<String>,
}

impl<'a> From<&'a SeededKind> for KindText<'a> {
    fn from(kind: &'a SeededKind) -> Self {
        let positions = kind
            .positions
            .iter()
            .map(|(partition, position)| (source(&kind.topic, *partition), position_text(position)));
        let rows = kind.rows.iter().map(|row| SeededText {
            place: PlaceText::new(row.window, &row.label, row.epoch.0),
            values: row.values.iter().map(|value| text(*value)).collect(),
        });
        Self {
            kind: kind.view.kind,
            topic: &kind.topic,
            floor: kind.left_out.map(|start| start.as_millis().to_string()),
            positions: positions.collect(),
            rows: rows.collect(),
        }
    }
}

/// The request for [`Function::SetAsOf`](super::library::Function::SetAsOf).
pub(super) fn set_as_of(as_of: Option<tidegate_model::AsOf>, at: &Positions) -> String {
    #[derive(Serialize)]
    struct Request {
        at: BTreeMap<String, String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        epoch: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        frontier: Option<String>,
    }
    let at = at
        .iter()
        .map(|((topic, partition), position)| (source(topic, *partition), position.next.0.to_string()));
    json(&Request {
        at: at.collect(),
        epoch: as_of.map(|as_of| as_of.epoch.0.to_string()),
        frontier: as_of.map(|as_of| as_of.frontier.as_millis().to_string()),
    })
}

/// The request for [`Function::Expire`](super::library::Function::Expire).
pub(super) fn expire(now: EventTime) -> String {
    format!("{{\"now\":{}}}", now.as_millis())
}

/// The request for [`Function::Read`](super::library::Function::Read).
pub(super) fn read(asks: &[Ask]) -> String {
    #[derive(Serialize)]
    struct AskText {
        kind: &'static str,
        live: bool,
        limit: usize,
    }
    let asks = asks.iter().map(|ask| match *ask {
        Ask::Newest { kind, limit } => AskText { kind, live: false, limit },
        Ask::Live { kind } => AskText { kind, live: true, limit: usize::MAX },
    });
    json(&asks.collect::<Vec<_>>())
}

/// A partition of a topic, as the name of a field.
pub(super) fn source(topic: &str, partition: PartitionId) -> String {
    format!("{topic}:{}", partition.0)
}

/// A position as text: the next offset, then offset and epoch of the last row.
fn position_text(position: &Position) -> String {
    format!("{}{}", position.next.0, last_text(position.last))
}

fn last_text(last: Option<LastRow>) -> String {
    last.map_or_else(String::new, |last| format!(" {} {}", last.offset.0, last.epoch.0))
}

fn kinds(views: impl IntoIterator<Item = &'static CacheView>) -> Kinds {
    let suffixes = |view: &CacheView| view.fields.iter().map(|(_, suffix)| *suffix).collect();
    views.into_iter().map(|view| (view.kind, suffixes(view))).collect()
}

fn json(request: &impl Serialize) -> String {
    serde_json::to_string(request).expect("texts and numbers have a JSON")
}
