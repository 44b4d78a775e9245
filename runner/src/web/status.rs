//! The answer of `/v1/status`. Names are stable, and end with the unit; instants are unix time in
//! milliseconds. `null` is what is not known yet.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_dataflow::open::OpenCounts;
use tidegate_dataflow::survey::{Holder, Standing};
use tidegate_model::{Epoch, EventTime, Generation, Offset, PartitionId};

use crate::status::{Newest, Progress};

/// How a run is.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    version: &'static str,
    generation: Generation,
    process: usize,
    processes: usize,
    started_at_ms: i64,
    now_ms: i64,
    state: &'static str,
    failure: Option<String>,
    last_error: Option<LastError>,
    replay: Replay,
    epoch: Epochs,
    frontier: Frontier,
    partitions: Vec<Partition>,
    workers: Vec<Worker>,
    open: BTreeMap<String, Open>,
    commit: Commit,
    limits: Limits,
}

#[derive(Debug, Serialize)]
struct LastError {
    at_ms: i64,
    error: String,
}

#[derive(Debug, Serialize)]
struct Replay {
    events: u64,
    replayed_events: u64,
    remaining_events: u64,
}

#[derive(Debug, Serialize)]
struct Epochs {
    /// The newest committed or replayed.
    committed: Option<Epoch>,
    /// The newest that left the graph, committed or not.
    complete: Option<Epoch>,
}

#[derive(Debug, Serialize)]
struct Frontier {
    at_ms: Option<i64>,
    delay_ms: Option<i64>,
    held_by: Option<HeldBy>,
}

#[derive(Debug, Serialize)]
struct HeldBy {
    what: &'static str,
    partitions: Vec<Holding>,
}

#[derive(Debug, Serialize)]
struct Holding {
    partition: PartitionId,
    reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Partition {
    #[serde(rename = "partition")]
    id: PartitionId,
    offset: Offset,
    end_offset: Option<Offset>,
    lag_records: Option<u64>,
    watermark_ms: Option<i64>,
    watermark_delay_ms: Option<i64>,
    idle: bool,
}

#[derive(Debug, Serialize)]
struct Worker {
    worker: usize,
    in_flight_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Open {
    windows: i64,
    sessions: i64,
    users: i64,
}

#[derive(Debug, Serialize)]
struct Commit {
    epochs: u64,
    rows: u64,
    last_at_ms: Option<i64>,
    last_duration_ms: Option<f64>,
    waiting_epochs: usize,
    waiting: Option<Waiting>,
}

#[derive(Debug, Serialize)]
struct Waiting {
    since_ms: i64,
    reason: String,
    disk_full: bool,
}

#[derive(Debug, Serialize)]
struct Limits {
    uncommitted_epochs_max: usize,
    in_flight_bytes_max: usize,
    tick_ms: i64,
    /// `null`: it is waited for without end.
    epoch_timeout_ms: Option<i64>,
    bound_ms: i64,
    idle_timeout_ms: i64,
}

impl Document {
    pub(super) fn new(progress: &Progress, now: EventTime, version: &'static str) -> Self {
        let newest = progress.newest.as_ref();
        let workers = progress.in_flight_bytes.iter().enumerate();
        let before = progress.process.number * progress.in_flight_bytes.len();
        let standings = newest.map_or(&[][..], |newest| &newest.survey.standings);
        let frontier = progress.known_frontier();
        let limits = &progress.limits;
        Self {
            version,
            generation: progress.generation,
            process: progress.process.number,
            processes: progress.process.of,
            started_at_ms: progress.started_at.as_millis(),
            now_ms: now.as_millis(),
            state: progress.state().as_str(),
            failure: progress.failure.clone(),
            last_error: progress
                .last_error
                .as_ref()
                .map(|last| LastError { at_ms: last.at.as_millis(), error: last.error.clone() }),
            replay: Replay {
                events: progress.replay_events,
                replayed_events: progress.replayed_events,
                remaining_events: progress.replay_events.saturating_sub(progress.replayed_events),
            },
            epoch: Epochs {
                committed: (progress.epoch.0 > 0).then_some(progress.epoch),
                complete: newest.map(|newest| newest.epoch),
            },
            frontier: Frontier {
                at_ms: frontier.map(EventTime::as_millis),
                delay_ms: frontier.map(|frontier| now.since_ms(frontier)),
                held_by: newest.map(|newest| HeldBy::new(&newest.survey.holder)),
            },
            partitions: standings.iter().map(|standing| Partition::new(standing, now)).collect(),
            workers: workers
                .map(|(worker, bytes)| Worker { worker: before + worker, in_flight_bytes: *bytes })
                .collect(),
            open: newest.map(open).unwrap_or_default(),
            commit: Commit::new(progress),
            limits: Limits {
                uncommitted_epochs_max: limits.uncommitted_epochs_max,
                in_flight_bytes_max: limits.in_flight_bytes_max,
                tick_ms: limits.tick_ms,
                epoch_timeout_ms: (limits.epoch_timeout_ms < i64::MAX).then_some(limits.epoch_timeout_ms),
                bound_ms: limits.bound_ms,
                idle_timeout_ms: limits.idle_timeout_ms,
            },
        }
    }
}

impl HeldBy {
    fn new(holder: &Holder) -> Self {
        let partitions = match holder {
            Holder::Partitions(holding) => holding
                .iter()
                .map(|(partition, reason)| Holding { partition: *partition, reason: reason.as_str() })
                .collect(),
            _ => Vec::new(),
        };
        Self { what: holder.as_str(), partitions }
    }
}

impl Partition {
    fn new(standing: &Standing, now: EventTime) -> Self {
        // Without a record there is no watermark.
        let watermark = (standing.largest > EventTime::MIN).then_some(standing.watermark);
        Self {
            id: standing.partition,
            offset: standing.position,
            end_offset: standing.look,
            lag_records: standing.lag_records(),
            watermark_ms: watermark.map(EventTime::as_millis),
            watermark_delay_ms: watermark.map(|watermark| now.since_ms(watermark)),
            idle: standing.idle,
        }
    }
}

impl Commit {
    fn new(progress: &Progress) -> Self {
        let last = progress.last_commit;
        Self {
            epochs: progress.epochs,
            rows: progress.rows,
            last_at_ms: last.map(|last| last.at.as_millis()),
            last_duration_ms: last.map(|last| last.duration.as_secs_f64() * 1_000.0),
            waiting_epochs: progress.uncommitted_epochs,
            waiting: progress.waits.as_ref().map(|waits| Waiting {
                since_ms: waits.since.as_millis(),
                reason: waits.reason.clone(),
                disk_full: waits.disk_full,
            }),
        }
    }
}

fn open(newest: &Newest) -> BTreeMap<String, Open> {
    let open = |counts: &OpenCounts| Open {
        windows: counts.windows,
        sessions: counts.sessions,
        users: counts.users,
    };
    newest.open.jobs.iter().map(|(job, counts)| (job.to_string(), open(counts))).collect()
}
