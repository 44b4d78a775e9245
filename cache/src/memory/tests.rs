//! The suite, a slow subscriber, and random rows against a model that is right by being simple.

use proptest::prelude::*;

use super::MemoryCache;
use crate::batch::{Effect, Row};
use crate::config::Config;
use crate::conformance::{self, NOW, Subject, batch, provisional, retraction, row, small};
use crate::read::{Ask, CacheReader as _, UpdateError, Updates as _};
use crate::window::Number;
use crate::write::CacheWriter as _;

impl Subject for MemoryCache {
    type Writer = Self;
    type Reader = Self;

    fn writer(&self) -> Self {
        self.clone()
    }

    fn reader(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn it_conforms() {
    conformance::run_all(MemoryCache::new).await;
}

#[tokio::test]
async fn a_subscriber_that_is_too_far_behind_is_told_so() {
    let mut cache = MemoryCache::new(Config { updates_max: 2, ..Config::default() });
    let mut updates = cache.subscribe().await.expect("it answers");
    for count in 1..=4 {
        cache.apply(&batch(count - 1, vec![row(count, 5, "a", count)]), NOW).expect("it is applied");
    }
    assert_eq!(updates.next().await, Err(UpdateError::Missed));
    let seq = updates.next().await.expect("the newest wait").seq;
    assert!(seq > 1, "{seq}");
    drop(cache);
    while updates.next().await != Err(UpdateError::Closed) {}
}

#[test]
fn sizes_are_told_by_kind() {
    let mut cache = MemoryCache::new(Config::default());
    let rows = vec![row(1, 5, "a", 1), row(1, 6, "a", 1), provisional(1, 7, "a", 1)];
    cache.apply(&batch(0, rows), NOW).expect("it is applied");
    let [size] = cache.sizes().expect("it answers")[..] else { panic!("there is one kind") };
    assert_eq!((size.kind, size.windows, size.live_windows), ("event", 2, 1));
}

/// A value of a window and label, as the model keeps it.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    minute: i64,
    label: String,
    epoch: u64,
    count: u64,
}

/// Lists that are searched, and nothing else.
#[derive(Debug, Default)]
struct Model {
    settled: Vec<Entry>,
    live: Vec<Entry>,
    gone: Vec<i64>,
}

fn minutes(entries: &[Entry]) -> Vec<i64> {
    let mut minutes: Vec<i64> = entries.iter().map(|entry| entry.minute).collect();
    minutes.sort_unstable();
    minutes.dedup();
    minutes
}

impl Model {
    fn apply(&mut self, row: &Row, config: &Config) {
        let minute = row.window.start.as_millis() / 60_000;
        let same = |entry: &Entry| entry.minute == minute && *entry.label == *row.label;
        let settled = self.settled.iter().find(|entry| same(entry)).cloned();
        let is_gone = minutes(&self.settled).iter().all(|kept| *kept != minute)
            && self.gone.iter().any(|gone| minute <= *gone);
        let count = match &row.effect {
            Effect::Put(values) => match values[0] {
                Number::UInt(count) => Some(count),
                Number::Float(_) => unreachable!("counts are whole"),
            },
            Effect::Remove => None,
        };
        if row.provisional {
            let shown = self.live.iter().find(|entry| same(entry));
            if is_gone || settled.is_some() || shown.is_some_and(|shown| shown.epoch > row.epoch.0) {
                return;
            }
        } else {
            self.live.retain(|entry| !same(entry));
            if settled.is_some_and(|settled| settled.epoch > row.epoch.0) {
                return;
            }
        }
        let entries = if row.provisional { &mut self.live } else { &mut self.settled };
        entries.retain(|entry| !same(entry));
        let Some(count) = count.filter(|_| row.provisional || !is_gone) else { return };
        entries.push(Entry { minute, label: row.label.to_string(), epoch: row.epoch.0, count });
        let kept = if row.provisional { config.live_windows_max } else { config.windows_kept };
        let all = minutes(entries);
        let dropped = &all[..all.len().saturating_sub(kept)];
        entries.retain(|entry| !dropped.contains(&entry.minute));
        if !row.provisional {
            self.gone.extend(dropped);
        }
    }

    fn words(entries: &[Entry]) -> Vec<String> {
        let mut entries = entries.to_vec();
        entries.sort_by(|a, b| (b.minute, &a.label).cmp(&(a.minute, &b.label)));
        entries.iter().map(|entry| format!("{} {} {}", entry.minute, entry.label, entry.count)).collect()
    }
}

/// The same words of what the cache answers.
async fn words(cache: &MemoryCache, ask: Ask) -> Vec<String> {
    let answer = cache.read(&[ask]).await.expect("it answers");
    let mut words = Vec::new();
    for shown in &answer.windows[0] {
        for (name, value) in &shown.fields {
            let (Some(label), Number::UInt(count)) = (name.strip_suffix(".count"), value) else { continue };
            words.push(format!("{} {label} {count}", shown.window.start.as_millis() / 60_000));
        }
    }
    words
}

fn any_row() -> impl Strategy<Value = (i64, u8, u64, u8)> {
    (0..8_i64, 0..3_u8, 0..6_u64, 0..6_u8)
}

proptest! {
    #[test]
    fn it_is_the_model(steps in prop::collection::vec((any_row(), any::<bool>()), 1..80)) {
        let config = Config { labels_max: 10, ..small() };
        let mut cache = MemoryCache::new(config);
        let mut model = Model::default();
        let mut waiting = Vec::new();
        let mut next = 0;
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for (count, ((minute, label, epoch, kind), cut)) in (1..).zip(steps) {
            let label = ["a", "b", "c"][usize::from(label)];
            let made = match kind {
                0 => retraction(epoch, minute, label),
                1 | 2 => provisional(epoch, minute, label, count),
                _ => row(epoch, minute, label, count),
            };
            model.apply(&made, &config);
            waiting.push(made);
            if cut {
                let applied = cache.apply(&batch(next, waiting.clone()), NOW).expect("it is applied");
                prop_assert_eq!(applied.rows(), waiting.len() as u64);
                next += waiting.drain(..).count() as u64;
                let newest = Ask::Newest { kind: "event", limit: usize::MAX };
                let found = runtime.block_on(words(&cache, newest));
                prop_assert_eq!(found, Model::words(&model.settled));
                let found = runtime.block_on(words(&cache, Ask::Live { kind: "event" }));
                prop_assert_eq!(found, Model::words(&model.live));
            }
        }
    }
}
