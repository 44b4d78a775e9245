//! Appends, acknowledged by the fsync that covers them.

use std::fs::File;
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tidegate_log::embedded::{EmbeddedAppender, EmbeddedLog, Options};
use tidegate_log::{EventAppender as _, NewEvent};

use super::Events;
use crate::clock::timed;
use crate::measure::{By, Done, Group};
use crate::{Scale, Table, scratch};

/// Events of an append.
const SMALL: usize = 1_000;
const LARGE: usize = 4_000;

pub(super) fn run(events: &Events, scale: Scale) -> anyhow::Result<Table> {
    let append = |batch: usize, appenders: usize, partitions: u32| {
        move || append(events, scale_batch(batch, scale), appenders, partitions)
    };
    Group::new("Appending to the embedded log", By::Wall, "events", events.count(), events.bytes())
        .ceiling("a file, synced every 1,000", move || raw(events, scale_batch(SMALL, scale)))
        .ceiling("a file, synced every 4,000", move || raw(events, scale_batch(LARGE, scale)))
        .case("1 appender, 1,000 at once", append(SMALL, 1, 6))
        .case("4 appenders, 1,000 at once", append(SMALL, 4, 6))
        .case("4 appenders, 4,000 at once", append(LARGE, 4, 6))
        .case("4 appenders, 1,000 at once, 1 partition", append(SMALL, 4, 1))
        .case("4 appenders, 4,000 at once, 1 partition", append(LARGE, 4, 1))
        .measure(scale)
}

/// With less data the batches shrink as well, so that there are several.
fn scale_batch(batch: usize, scale: Scale) -> usize {
    if scale == Scale::Smoke { batch / 10 } else { batch }
}

/// The same bytes into a file, by nobody in particular.
fn raw(events: &Events, batch: usize) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    let mut file = File::create(folder.path().join("events"))?;
    let (lines, starts) = (&events.lines.bytes, &events.lines.starts);
    let (written, took) = timed(|| -> std::io::Result<()> {
        for first in (0..events.count()).step_by(batch) {
            let last = (first + batch).min(events.count());
            file.write_all(&lines[starts[first]..starts[last]])?;
            file.sync_data()?;
        }
        Ok(())
    });
    written?;
    assert_eq!(file.metadata()?.len(), lines.len() as u64);
    Ok(Done { took, note: String::new() })
}

fn append(events: &Events, batch: usize, appenders: usize, partitions: u32) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    let log = EmbeddedLog::open(folder.path(), Options { partitions, ..Options::default() })?;
    let appender = log.appender();
    let batches = Mutex::new(batches(events, batch, &appender));
    let (latencies, took) = timed(|| append_all(&appender, &batches, appenders));
    let latencies = latencies?;
    let mut reader = log.reader();
    assert_eq!(super::read::read_all(&mut reader)?, (events.count(), events.bytes()));
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    Ok(Done { took, note: format!("acknowledged after {:.1} ms, p99 {:.1} ms", at(50), at(99)) })
}

/// The appends to come, last one first.
fn batches(events: &Events, batch: usize, appender: &EmbeddedAppender) -> Vec<Vec<NewEvent>> {
    let event = |(line, user): (&[u8], &String)| NewEvent {
        partition: appender.partition_of(user),
        key: user.clone(),
        value: line.to_vec(),
    };
    let mut events = events.lines.lines().zip(&events.users).map(event).peekable();
    let mut batches = Vec::new();
    while events.peek().is_some() {
        batches.push(events.by_ref().take(batch).collect());
    }
    batches.reverse();
    batches
}

/// Each appender sends the next batch when its last one is durable. Returns how long each batch took, sorted.
fn append_all(
    appender: &EmbeddedAppender,
    batches: &Mutex<Vec<Vec<NewEvent>>>,
    appenders: usize,
) -> anyhow::Result<Vec<Duration>> {
    let next = || batches.lock().expect("no panic").pop();
    let work = || -> anyhow::Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        while let Some(batch) = next() {
            let began = Instant::now();
            appender.append_blocking(batch)?;
            latencies.push(began.elapsed());
        }
        Ok(latencies)
    };
    let mut latencies = std::thread::scope(|scope| -> anyhow::Result<Vec<Duration>> {
        let threads: Vec<_> = (0..appenders).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().expect("an appender does not panic")?);
        }
        Ok(all)
    })?;
    latencies.sort_unstable();
    Ok(latencies)
}
