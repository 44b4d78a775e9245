//! From the watermark to a window that can be read: in Kafka, in Redis, and in ClickHouse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tidegate_log::RowReader as _;
use tidegate_model::row::EventMetrics;
use tidegate_model::{EventTime, Offset};
use tidegate_services::clickhouse::Address;
use tidegate_services::redis::{Reply, command};

use super::{Servers, WINDOW_MS};
use crate::clock::timed;
use crate::kafka::Deployment;
use crate::kafka::latency::{Acknowledged, EVENTS_MIN, passed, percentiles, send, window_end};
use crate::measure::{By, Done, Group};
use crate::{Scale, Table, scratch};

/// Events, one every two milliseconds.
const EVENTS: usize = 10_000;

/// What cannot be read by then is not going to be.
const PATIENCE: Duration = Duration::from_secs(30);

/// When the last row of a window was seen first, by the window's end.
type Seen = BTreeMap<EventTime, Instant>;

/// Says which windows can be read now, by their ends.
type Look = Box<dyn FnMut() -> anyhow::Result<Vec<EventTime>> + Send>;

pub(super) fn run(servers: &Servers, scale: Scale) -> anyhow::Result<Table> {
    let events = scale.of(EVENTS).max(EVENTS_MIN);
    let title = "From the watermark to a window that can be read, at 500 events a second";
    Group::new(title, By::Wall, "events", events, 0)
        .rounds(1)
        .ceiling("its row in Kafka", || measured(servers, events, in_kafka))
        .case("Redis", || measured(servers, events, in_redis))
        .case("ClickHouse, rows gathered for a second", || measured(servers, events, in_clickhouse))
        .measure(scale)
}

/// Sends events through a pipeline, and looks all the time for windows.
fn measured(
    servers: &Servers,
    events: usize,
    place: impl FnOnce(&Servers, &Deployment) -> anyhow::Result<Look>,
) -> anyhow::Result<Done> {
    let deployment = Deployment::new(&servers.kafka);
    let log = deployment.open()?;
    let folder = scratch::folder()?;
    let pipeline = servers.pipeline(&deployment, &folder)?;
    let mut look = place(servers, &deployment)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let looking = std::thread::spawn(move || -> anyhow::Result<Seen> {
        let mut seen = Seen::new();
        while !over.load(Ordering::Acquire) {
            for end in look()? {
                seen.entry(end).or_insert_with(Instant::now);
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(seen)
    });
    let (sent, took) = timed(|| send(&log, events));
    let sent = sent?;
    // The last windows close when every partition is idle; what comes after the last event is not measured.
    std::thread::park_timeout(Duration::from_secs(3));
    is_over.store(true, Ordering::Release);
    let seen = looking.join().map_err(|_| anyhow::anyhow!("whoever looks panicked"))??;
    pipeline.end()?;
    let mut waited = waited(&sent, &seen)?;
    let note = format!("{} ({} windows)", percentiles(&mut waited)?, waited.len());
    Ok(Done { took, note })
}

/// From when each partition has an event behind a window's end to when the window could be read.
fn waited(sent: &[Acknowledged], seen: &Seen) -> anyhow::Result<Vec<Duration>> {
    let ends: std::collections::BTreeSet<EventTime> =
        sent.iter().map(|event| window_end(event.time, WINDOW_MS)).collect();
    let mut waited = Vec::new();
    for end in ends {
        let Some(passed) = passed(sent, end) else { continue };
        let at = seen.get(&end).with_context(|| format!("the window that ends at {end} was never seen"))?;
        waited.push(at.saturating_duration_since(passed));
    }
    Ok(waited)
}

fn in_kafka(_: &Servers, deployment: &Deployment) -> anyhow::Result<Look> {
    let topic = deployment.topic("event_metrics");
    let mut rows = deployment.open()?.row_reader()?;
    let mut positions: Vec<_> =
        rows.partitions(&topic)?.into_iter().map(|partition| (partition, Offset::ZERO)).collect();
    Ok(Box::new(move || {
        let mut found = Vec::new();
        for (partition, next) in &mut positions {
            *next = rows.read(&topic, *partition, *next, 1_000, &mut |row| {
                found.push(serde_json::from_slice::<EventMetrics>(row.value).map(|row| row.window_end));
            })?;
        }
        Ok(found.into_iter().collect::<Result<_, _>>()?)
    }))
}

fn in_redis(servers: &Servers, deployment: &Deployment) -> anyhow::Result<Look> {
    let (address, key) = (servers.redis.clone(), format!("{}:metrics:event:windows", deployment.name));
    command(&address, &["PING"])?;
    Ok(Box::new(move || {
        let Reply::List(starts) = command(&address, &["ZREVRANGE", &key, "0", "9"])? else {
            anyhow::bail!("ZREVRANGE gives a list")
        };
        let end = |start: Reply| match start {
            Reply::Text(start) => Ok(EventTime::from_millis(start.parse::<i64>()? + WINDOW_MS)),
            other => anyhow::bail!("{other:?} is no start of a window"),
        };
        starts.into_iter().map(end).collect()
    }))
}

fn in_clickhouse(servers: &Servers, deployment: &Deployment) -> anyhow::Result<Look> {
    let (address, database) = (servers.clickhouse.address.clone(), super::database(deployment));
    wait_for_table(&address, &database)?;
    let sql = format!(
        "SELECT toUnixTimestamp64Milli(window_end) AS ended FROM {database}.event_metrics ORDER BY ended DESC LIMIT 30"
    );
    Ok(Box::new(move || {
        let found = address.query(&sql)?;
        found.lines().map(|line| Ok(EventTime::from_millis(line.parse()?))).collect()
    }))
}

/// The sink makes it when it has found the server.
fn wait_for_table(address: &Address, database: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    while address.query(&format!("SELECT count() FROM {database}.event_metrics")).is_err() {
        ensure!(began.elapsed() < PATIENCE, "the sink makes no tables");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    Ok(())
}
