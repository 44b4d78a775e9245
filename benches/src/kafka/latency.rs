//! How long an event takes to be seen in a row, and a window to be closed, by whoever reads committed rows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rdkafka::Message as _;
use rdkafka::consumer::Consumer as _;
use serde_json::json;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_log::{EventAppender as _, NewEvent, RowReader};
use tidegate_model::row::EventMetrics;
use tidegate_model::{EventTime, Offset, PartitionId};
use tidegate_runner::Clock as _;
use tidegate_runner::clock::SystemClock;

use super::{Deployment, pipeline, read};
use crate::clock::timed;
use crate::measure::{By, Done, Group};
use crate::{Scale, Table};

/// Events, one every two milliseconds.
const EVENTS: usize = 10_000;
const EVERY: Duration = Duration::from_millis(2);

/// What users' names begin with.
const USER: &str = "user-";

/// A second: with fewer of them there may be no window behind whose end every partition has one.
pub(crate) const EVENTS_MIN: usize = 500;

/// Windows close often, so that there are many.
const WINDOW_MS: i64 = 200;

/// How often whoever reads rows looks for more.
const LOOK: Duration = Duration::from_millis(1);

/// What is not seen by then is not going to be.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn run(bootstrap: &str, scale: Scale) -> anyhow::Result<Table> {
    let events = scale.of(EVENTS).max(EVENTS_MIN);
    Group::new("From an event to its row, at 500 a second", By::Wall, "events", events, 0)
        .rounds(1)
        .ceiling("the events themselves, by a bare consumer", || bare(&Deployment::new(bootstrap), events))
        .case("2 workers, a tick of 100 ms", || seen(&Deployment::new(bootstrap), events))
        .measure(scale)
}

/// An event that was acknowledged.
pub(crate) struct Acknowledged {
    number: usize,
    pub(crate) time: EventTime,
    partition: PartitionId,
    at: Instant,
}

/// A row that was seen.
struct Seen {
    window_end: EventTime,
    count: u64,
    is_final: bool,
    at: Instant,
}

fn seen(deployment: &Deployment, events: usize) -> anyhow::Result<Done> {
    let log = deployment.open()?;
    let jobs = JobSettings { event_window_ms: WINDOW_MS, ..JobSettings::default() };
    // A partition that says nothing for a moment must not be taken for an idle one, nor events for late ones.
    let time = TimeSettings { bound_ms: 0, ..TimeSettings::default() };
    let running = pipeline::started(deployment, jobs, time, 2)?;
    let topics = [deployment.topic("event_metrics"), deployment.topic("live_metrics")];
    let mut rows = log.row_reader()?;
    let is_sent = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_sent);
    let reading = std::thread::spawn(move || watch(&mut rows, &topics, &ends, events as u64));
    let (sent, took) = timed(|| send(&log, events));
    let sent = sent?;
    is_sent.store(true, Ordering::Release);
    let seen = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    running.handle().abort();
    running.join()?;
    let (mut visible, mut closed) = (visible(&sent, &seen), closed(&sent, &seen));
    let note = format!(
        "202 to visible {}; watermark to row {} ({} windows)",
        percentiles(&mut visible)?,
        percentiles(&mut closed)?,
        closed.len()
    );
    Ok(Done { took, note })
}

/// The same events, as soon as whoever does nothing but read them has them.
fn bare(deployment: &Deployment, events: usize) -> anyhow::Result<Done> {
    let log = deployment.open()?;
    let (consumer, assignment) = read::consumer(deployment, &log, ("fetch.wait.max.ms", "5"))?;
    consumer.assign(&assignment)?;
    let reading = std::thread::spawn(move || -> anyhow::Result<BTreeMap<usize, Instant>> {
        let mut seen = BTreeMap::new();
        while seen.len() < events {
            let message = consumer.poll(PATIENCE).context("nothing comes any more")??;
            let key = message.key().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
            let number = key.strip_prefix(USER).context("an event of somebody else's")?.parse()?;
            seen.insert(number, Instant::now());
        }
        Ok(seen)
    });
    let (sent, took) = timed(|| send(&log, events));
    let sent = sent?;
    let seen = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    let visible = |event: &Acknowledged| Some(seen.get(&event.number)?.saturating_duration_since(event.at));
    let mut visible: Vec<Duration> = sent.iter().filter_map(visible).collect();
    Ok(Done { took, note: format!("202 to visible {}", percentiles(&mut visible)?) })
}

/// Sends events at their pace, whatever becomes of those before.
pub(crate) fn send(log: &tidegate_log::kafka::KafkaLog, events: usize) -> anyhow::Result<Vec<Acknowledged>> {
    let appender = log.appender()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    let acknowledged = Arc::new(Mutex::new(Vec::with_capacity(events)));
    runtime.block_on(async {
        let mut clock = tokio::time::interval(EVERY);
        let mut under_way = tokio::task::JoinSet::new();
        for number in 0..events {
            clock.tick().await;
            let user = format!("{USER}{number}");
            let (time, partition) = (SystemClock.now(), appender.partition_of(&user));
            let value = json!({
                "event": {"id": uuid(number), "type": "click"}, "user": {"id": user},
                "device": {"user_agent": "Mozilla/5.0", "screen_width": 1920, "screen_height": 1080},
                "context": {"url": "https://example.com/", "session_id": "s"},
                "properties": {}, "metrics": {}, "timestamp": time.as_millis(),
            });
            let event = NewEvent { partition, key: user, value: value.to_string().into_bytes() };
            let (appender, acknowledged) = (appender.clone(), Arc::clone(&acknowledged));
            under_way.spawn(async move {
                appender.append(vec![event]).await?;
                let at = Instant::now();
                let mut all = acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
                all.push(Acknowledged { number, time, partition, at });
                anyhow::Ok(())
            });
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
        anyhow::Ok(())
    })?;
    let all = std::mem::take(&mut *acknowledged.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(all.len() == events, "{} of {events} events were acknowledged", all.len());
    Ok(all)
}

fn uuid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// Reads rows as they become visible, until all events are in closed windows.
fn watch(
    rows: &mut impl RowReader,
    topics: &[String],
    is_sent: &AtomicBool,
    events: u64,
) -> anyhow::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let mut positions = Vec::new();
    for topic in topics {
        positions
            .extend(rows.partitions(topic)?.into_iter().map(|partition| (topic, partition, Offset::ZERO)));
    }
    let (mut closed, mut last) = (0, Instant::now());
    while closed < events {
        let mut any = false;
        for (topic, partition, next) in &mut positions {
            let mut damaged = Ok(());
            *next = rows.read(topic, *partition, *next, 1_000, &mut |row| {
                any = true;
                let is_final = topic.ends_with("event_metrics");
                match parse(row.value, is_final) {
                    Ok(row) => {
                        closed += if is_final { row.count } else { 0 };
                        seen.push(row);
                    }
                    Err(error) => damaged = Err(error),
                }
            })?;
            damaged?;
        }
        if any {
            last = Instant::now();
        }
        let is_stuck = is_sent.load(Ordering::Acquire) && last.elapsed() > PATIENCE;
        ensure!(!is_stuck, "{closed} of {events} events are in closed windows");
        std::thread::park_timeout(LOOK);
    }
    Ok(seen)
}

fn parse(row: &[u8], is_final: bool) -> anyhow::Result<Seen> {
    let at = Instant::now();
    let row: EventMetrics = serde_json::from_slice(row)?;
    Ok(Seen { window_end: row.window_end, count: row.event_count, is_final, at })
}

/// From the acknowledgement of each event to the first row that counts so many.
fn visible(sent: &[Acknowledged], seen: &[Seen]) -> Vec<Duration> {
    let mut by_window: BTreeMap<EventTime, Vec<Instant>> = BTreeMap::new();
    for event in sent {
        by_window.entry(window_end(event.time, WINDOW_MS)).or_default().push(event.at);
    }
    for acknowledged in by_window.values_mut() {
        acknowledged.sort_unstable();
    }
    let mut counted: BTreeMap<EventTime, usize> = BTreeMap::new();
    let mut took = Vec::new();
    for row in seen {
        let Some(acknowledged) = by_window.get(&row.window_end) else { continue };
        let before = counted.entry(row.window_end).or_default();
        let now = usize::try_from(row.count).unwrap_or(usize::MAX).min(acknowledged.len());
        if now > *before {
            let new = &acknowledged[*before..now];
            took.extend(new.iter().map(|acknowledged| row.at.saturating_duration_since(*acknowledged)));
            *before = now;
        }
    }
    took
}

/// From when each partition has an event behind a window's end to the window's row.
fn closed(sent: &[Acknowledged], seen: &[Seen]) -> Vec<Duration> {
    let rows = seen.iter().filter(|row| row.is_final);
    rows.filter_map(|row| Some(row.at.saturating_duration_since(passed(sent, row.window_end)?))).collect()
}

/// When the watermark passed `end`: each partition had an event behind it by then.
pub(crate) fn passed(sent: &[Acknowledged], end: EventTime) -> Option<Instant> {
    let mut first: BTreeMap<PartitionId, Option<Instant>> = BTreeMap::new();
    for event in sent {
        let first = first.entry(event.partition).or_default();
        if event.time >= end {
            *first = Some(first.map_or(event.at, |first| first.min(event.at)));
        }
    }
    first.into_values().collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// The end of the window that `time` falls into.
pub(crate) fn window_end(time: EventTime, window_ms: i64) -> EventTime {
    EventTime::from_millis((time.as_millis().div_euclid(window_ms) + 1) * window_ms)
}

pub(crate) fn percentiles(took: &mut [Duration]) -> anyhow::Result<String> {
    took.sort_unstable();
    ensure!(!took.is_empty(), "nothing was seen");
    let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    Ok(format!("p50 {:.0} ms, p99 {:.0} ms", at(50), at(99)))
}
