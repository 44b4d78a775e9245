//! The suite that every implementation of the cache passes.
//!
//! An implementation provides a [`Subject`], an empty cache with the limits asked for, and calls
//! [`run_all`] in a test. The checks panic when something is not as it should be. They hand over the time
//! and never wait for it to pass.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_model::row::{CacheView, EventMetrics, MetricRow, PerformanceMetrics, SessionWindowMetrics};
use tidegate_model::{AsOf, Epoch, EventTime, Offset, PartitionId, Window};

use crate::batch::{Applied, Batch, Effect, LastRow, Position, Positions, Row};
use crate::change::{Change, Update, UpdateKind};
use crate::config::Config;
use crate::read::{Ask, CacheReader, Updates};
use crate::window::{CachedWindow, Number};
use crate::write::CacheWriter;

pub mod live;
pub mod rows;
pub mod updates;

/// How long an update may take; far longer than it does.
const DEADLINE: Duration = Duration::from_secs(30);

/// An empty cache of the implementation under test.
pub trait Subject {
    /// Its writer.
    type Writer: CacheWriter;
    /// Its reader.
    type Reader: CacheReader;

    /// The writer, as the next process would open it.
    fn writer(&self) -> Self::Writer;
    /// A reader.
    fn reader(&self) -> Self::Reader;
}

/// Runs every check, each on a subject of its own.
pub async fn run_all<S: Subject>(fresh: impl Fn(Config) -> S) {
    rows::put_correct_retract(&fresh(small())).await;
    rows::a_batch_is_applied_in_order(&fresh(small())).await;
    rows::older_epochs_change_nothing(&fresh(small())).await;
    rows::windows_are_newest_first_and_limited(&fresh(small())).await;
    rows::a_window_that_made_room_does_not_come_back(&fresh(small())).await;
    rows::repeated_and_moved_batches_change_nothing(&fresh).await;
    rows::a_batch_beyond_the_position_is_refused(&fresh(small())).await;
    rows::a_restart_goes_on_from_the_positions(&fresh(small())).await;
    rows::a_seed_takes_the_place_of_what_there_was(&fresh(small())).await;
    rows::a_gap_forgets_the_windows_of_its_kind(&fresh(small())).await;
    rows::a_new_log_begins_anew_and_windows_stay(&fresh(small())).await;
    rows::windows_go_when_nothing_is_written_to_them(&fresh(small())).await;
    rows::labels_beyond_the_limit_are_refused(&fresh(small())).await;
    rows::fields_and_numbers_are_those_of_the_schema(&fresh(small())).await;
    live::final_values_end_provisional_ones(&fresh(small())).await;
    live::provisional_values_are_apart(&fresh(small())).await;
    live::the_frontier_ends_provisional_values(&fresh(small())).await;
    live::provisional_values_last_for_two_windows(&fresh(small())).await;
    live::open_windows_are_limited(&fresh(small())).await;
    live::ready_is_who_has_caught_up(&fresh(small())).await;
    live::a_cache_that_stands_elsewhere_is_as_of_nothing_new(&fresh(small())).await;
    live::a_step_is_as_of_what_is_in(&fresh(small())).await;
    updates::every_change_is_told_once(&fresh(small())).await;
    updates::nothing_is_told_when_nothing_changed(&fresh(small())).await;
    updates::answers_and_updates_are_counted_together(&fresh(small())).await;
    updates::changes_lead_to_what_is_read(&fresh(small())).await;
}

/// Limits that are easily met.
pub fn small() -> Config {
    Config {
        windows_kept: 3,
        hash_ttl_ms: 1_000_000,
        live_windows_max: 2,
        labels_max: 3,
        ..Config::default()
    }
}

/// The time at which nothing is too old yet.
pub const NOW: EventTime = EventTime::from_millis(1_431_857_100_000);

/// The topic that [`batch`] comes from.
pub const TOPIC: &str = "event_metrics";

const PARTITION: PartitionId = PartitionId(0);

/// How windows of events are cached.
pub fn events() -> &'static CacheView {
    view::<EventMetrics>()
}

fn performance() -> &'static CacheView {
    view::<PerformanceMetrics>()
}

fn sessions() -> &'static CacheView {
    view::<SessionWindowMetrics>()
}

fn view<R: MetricRow>() -> &'static CacheView {
    const { R::SCHEMA.cache.as_ref().expect("rows of this type are cached") }
}

/// The window that starts at `minute`.
pub fn window(minute: i64) -> Window {
    let start = EventTime::from_millis(minute * 60_000);
    Window { start, end: start.plus_ms(60_000) }
}

/// A final row of events: `count` events of as many users.
pub fn row(epoch: u64, minute: i64, label: &str, count: u64) -> Row {
    let effect = Effect::Put([Number::UInt(count), Number::UInt(count)].into());
    let (window, label) = (window(minute), label.into());
    Row {
        offset: Offset::ZERO,
        epoch: Epoch(epoch),
        view: events(),
        window,
        label,
        provisional: false,
        effect,
    }
}

/// A retraction.
pub fn retraction(epoch: u64, minute: i64, label: &str) -> Row {
    Row { effect: Effect::Remove, ..row(epoch, minute, label, 0) }
}

/// A provisional row.
pub fn provisional(epoch: u64, minute: i64, label: &str, count: u64) -> Row {
    Row { provisional: true, ..row(epoch, minute, label, count) }
}

/// The rows, one for each offset from `from` on.
pub fn batch(from: u64, rows: Vec<Row>) -> Batch {
    let offsets = from..;
    let mut end = from;
    let rows: Vec<Row> = rows
        .into_iter()
        .zip(offsets)
        .map(|(row, offset)| {
            end = offset + 1;
            Row { offset: Offset(offset), ..row }
        })
        .collect();
    let last = rows.last().map(|row| LastRow { offset: row.offset, epoch: row.epoch });
    Batch { topic: TOPIC.into(), partition: PARTITION, range: Offset(from)..Offset(end), last, rows }
}

/// Where a cache stands that has taken in `batches`, and nothing else.
pub fn positions_after(batches: &[Batch]) -> Positions {
    let position = |batch: &Batch| Position { next: batch.range.end, last: batch.last };
    batches.iter().map(|batch| ((Arc::clone(&batch.topic), batch.partition), position(batch))).collect()
}

/// Applies rows from the position on.
fn apply(cache: &mut impl CacheWriter, rows: Vec<Row>) -> Applied {
    apply_at(cache, NOW, rows)
}

fn apply_at(cache: &mut impl CacheWriter, now: EventTime, rows: Vec<Row>) -> Applied {
    let batch = batch(next(cache), rows);
    let applied = cache.apply(&batch, now).unwrap_or_else(|error| panic!("{batch:?} is applied: {error}"));
    assert_eq!(applied.rows(), batch.rows.len() as u64, "every row is accounted for: {applied:?}");
    applied
}

fn positions(cache: &mut impl CacheWriter) -> Positions {
    cache.positions().expect("the cache answers")
}

/// The next offset of the partition that [`batch`] comes from.
fn next(cache: &mut impl CacheWriter) -> u64 {
    let source = (Arc::from(TOPIC), PARTITION);
    positions(cache).get(&source).map_or(0, |position: &Position| position.next.0)
}

/// Says what the cache is as of, where it stands.
fn say(cache: &mut impl CacheWriter, as_of: Option<AsOf>) {
    let at = positions(cache);
    cache.set_as_of(as_of, &at).expect("it stands there");
}

/// What the cache is as of.
pub async fn said_as_of(reader: &impl CacheReader) -> Option<AsOf> {
    reader.read(&[]).await.expect("the cache answers").as_of
}

async fn ask(reader: &impl CacheReader, ask: Ask) -> Vec<Arc<CachedWindow>> {
    let mut answer = reader.read(&[ask]).await.expect("the cache answers");
    answer.windows.pop().expect("one question has one answer")
}

/// Windows in words: the minute, then `label.field=value` of each field.
fn words(windows: &[Arc<CachedWindow>]) -> Vec<String> {
    let text = |window: &Arc<CachedWindow>| {
        let fields = window.fields.iter().map(|(name, value)| match value {
            Number::UInt(value) => format!(" {name}={value}"),
            Number::Float(value) => format!(" {name}={value:?}"),
        });
        let minute = window.window.start.as_millis() / 60_000;
        format!("{minute}:{}", fields.collect::<String>())
    };
    windows.iter().map(text).collect()
}

/// The counts of events of every window, newest first; `users` is left out where it is the same.
async fn settled(reader: &impl CacheReader) -> Vec<String> {
    counts(&ask(reader, Ask::Newest { kind: events().kind, limit: usize::MAX }).await)
}

async fn live(reader: &impl CacheReader) -> Vec<String> {
    counts(&ask(reader, Ask::Live { kind: events().kind }).await)
}

fn counts(windows: &[Arc<CachedWindow>]) -> Vec<String> {
    for window in windows {
        for (name, value) in window.fields.iter().filter(|(name, _)| name.ends_with(".count")) {
            let users = window.fields.get(&*name.replace(".count", ".users"));
            assert_eq!(users, Some(value), "the fields of a label change together: {window:?}");
        }
    }
    let words = words(windows).into_iter();
    words
        .map(|text| text.split(' ').filter(|word| !word.contains(".users=")).collect::<Vec<_>>().join(" "))
        .collect()
}

/// Waits for the next update.
async fn next_update(updates: &mut impl Updates) -> Update {
    let next = tokio::time::timeout(DEADLINE, updates.next()).await;
    next.expect("an update follows the change").expect("nothing was missed")
}

/// The updates up to `seq`.
async fn updates_until(updates: &mut impl Updates, seq: u64) -> Vec<Update> {
    let mut found = Vec::new();
    while found.last().is_none_or(|update: &Update| update.seq < seq) {
        found.push(next_update(updates).await);
    }
    found
}

/// What a follower has who knows nothing but the changes.
#[derive(Debug, Default)]
struct Mirror(BTreeMap<(&'static str, bool), BTreeMap<EventTime, CachedWindow>>);

impl Mirror {
    fn follow(&mut self, change: &Change) {
        let windows = self.0.entry((change.kind, change.provisional)).or_default();
        let window = Window { start: change.window_start, end: change.window_end };
        let shown = windows.entry(window.start).or_insert_with(|| CachedWindow::empty(window));
        for name in &change.removed {
            assert!(shown.fields.remove(name).is_some(), "{name} was there: {change:?}");
        }
        for (name, value) in &change.fields {
            assert_ne!(shown.fields.insert(name.clone(), *value), Some(*value), "it is new: {change:?}");
        }
        if shown.fields.is_empty() {
            windows.remove(&window.start);
        }
    }

    /// Compares with what is read.
    async fn check(&self, reader: &impl CacheReader) {
        for view in [events(), performance(), sessions()] {
            let asks = [Ask::Newest { kind: view.kind, limit: usize::MAX }, Ask::Live { kind: view.kind }];
            for (asked, provisional) in asks.into_iter().zip([false, true]) {
                let found = ask(reader, asked).await;
                let windows = self.0.get(&(view.kind, provisional));
                let expected = windows.into_iter().flat_map(|windows| windows.values().rev().cloned());
                let found: Vec<CachedWindow> =
                    found.iter().map(|window| CachedWindow::clone(window)).collect();
                assert_eq!(found, expected.collect::<Vec<_>>(), "{asked:?}");
            }
        }
    }
}

fn changes(updates: &[Update]) -> Vec<Arc<Change>> {
    let changed = updates.iter().filter_map(|update| match &update.kind {
        UpdateKind::Changed(change) => Some(Arc::clone(change)),
        UpdateKind::AsOf(_) => None,
    });
    changed.collect()
}

fn as_of(epoch: u64, minute: i64) -> AsOf {
    AsOf { epoch: Epoch(epoch), frontier: window(minute).start }
}
