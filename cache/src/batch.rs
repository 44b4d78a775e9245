//! What a sink hands to a cache: rows of one contiguous range of offsets, or the state to begin from.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tidegate_model::row::CacheView;
use tidegate_model::{Epoch, EventTime, Offset, PartitionId, Window};

use crate::window::Number;

/// How far a cache has got, by topic and partition. What is missing was never read.
pub type Positions = BTreeMap<(Arc<str>, PartitionId), Position>;

/// How far a cache has got in one partition of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Everything before this offset is in the cache.
    pub next: Offset,
    /// The last row that was taken in; whoever resumes compares it with what the log holds there.
    pub last: Option<LastRow>,
}

/// A row, by where it lies and when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRow {
    /// Its offset.
    pub offset: Offset,
    /// Its epoch.
    pub epoch: Epoch,
}

/// Rows of one topic and partition, and the range of offsets that they stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The topic they come from.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionId,
    /// Every row of the log between these offsets that the cache can use is in `rows`.
    pub range: Range<Offset>,
    /// The last row of the range, whether or not the cache can use it.
    pub last: Option<LastRow>,
    /// The rows, by increasing offset.
    pub rows: Vec<Row>,
}

/// A row for the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its position in the partition.
    pub offset: Offset,
    /// The epoch that made it.
    pub epoch: Epoch,
    /// How windows of its kind are cached.
    pub view: &'static CacheView,
    /// Its window.
    pub window: Window,
    /// Its label, such as the type of the events.
    pub label: Box<str>,
    /// Whether its value is that of a window that is still open.
    pub provisional: bool,
    /// What it does to the label's fields.
    pub effect: Effect,
}

/// What a row does to the fields of its label.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// They are these: one for each of [`CacheView::fields`], in order.
    Put(Box<[Number]>),
    /// There are none.
    Remove,
}

/// What became of the rows of a batch. The counts add up to the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows whose values the cache has now, whether or not it had them before.
    pub put: u64,
    /// Retractions, whether or not there was something to remove.
    pub removed: u64,
    /// Rows below the position: an earlier batch had them.
    pub repeated: u64,
    /// Rows that something newer stands in the way of: a later epoch, or the final value of a
    /// provisional one.
    pub stale: u64,
    /// Rows of windows that are no longer kept.
    pub old: u64,
    /// Rows beyond a limit: the label has no room in its window ([`Config::labels_max`](crate::Config)),
    /// or windows of the kind have no provisional values.
    pub refused: u64,
}

impl Applied {
    /// How many rows these are.
    pub fn rows(&self) -> u64 {
        self.put + self.removed + self.repeated + self.stale + self.old + self.refused
    }

    /// Adds what another batch did.
    pub fn add(&mut self, other: &Self) {
        self.put += other.put;
        self.removed += other.removed;
        self.repeated += other.repeated;
        self.stale += other.stale;
        self.old += other.old;
        self.refused += other.refused;
    }
}

/// Rows that are gone from the log before they were read.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// The topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: PartitionId,
    /// What is missing.
    pub missing: Range<Offset>,
    /// The kind whose final values are wanting; `None` for provisional ones, which nobody misses.
    pub view: Option<&'static CacheView>,
}

/// What a cache begins from: the final values that a metric store holds, and how far that is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seed {
    /// The kinds; each takes the place of what the cache has of it.
    pub kinds: Vec<SeededKind>,
}

/// The newest windows of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct SeededKind {
    /// The kind.
    pub view: &'static CacheView,
    /// The topic of its final rows.
    pub topic: Arc<str>,
    /// The positions in the topic that the rows stand for; no others are kept.
    pub positions: BTreeMap<PartitionId, Position>,
    /// The start of the newest window that was left out, if one was: it and those before it are no
    /// longer kept.
    pub left_out: Option<EventTime>,
    /// The rows.
    pub rows: Vec<SeededRow>,
}

/// The values of one label of one window.
#[derive(Clone, Debug, PartialEq)]
pub struct SeededRow {
    /// The window.
    pub window: Window,
    /// The label.
    pub label: Box<str>,
    /// The epoch that the values are of.
    pub epoch: Epoch,
    /// One for each of [`CacheView::fields`], in order.
    pub values: Box<[Number]>,
}
