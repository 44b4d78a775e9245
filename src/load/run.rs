//! A run: connections that take what is due, send it, and record what became of it.
//!
//! Nothing is sent twice. A request that got no answer may have been counted, and a second one would be another
//! event until ids are deduplicated.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::Method;
use tidegate_model::EventTime;
use tidegate_runner::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pacer::{self, Due};
use super::truth::Truth;
use super::{LoadStats, Planned, Rate, Totals, Traffic, TrafficConfig};
use crate::client::{Client, Target};

/// Where events go on an instance.
pub const PATH: &str = "/v1/analytics/track";

/// What a run sends where, and for how long.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The tracking endpoint.
    pub target: Arc<Target>,
    /// How often a request is due.
    pub rate: Rate,
    /// For how long; until it is told to stop where this is `None`.
    pub duration: Option<Duration>,
    /// Requests under way at once: further ones wait, and their waiting counts.
    pub connections: usize,
    /// How long a request may take from when it is sent. What is due at the end of the run, and not yet sent, has so
    /// long too.
    pub timeout: Duration,
    /// What is sent.
    pub traffic: TrafficConfig,
    /// Count what was acknowledged by windows of this size.
    pub truth_window_ms: Option<u32>,
}

/// Sends events until the time is over or `shutdown` says so, and waits for the answers under way. `stats` tells
/// of it meanwhile. Runs on the runtime of the caller.
///
/// # Errors
/// When the system gives no thread.
pub async fn run(
    config: LoadConfig,
    clock: &dyn Clock,
    stats: Arc<LoadStats>,
    shutdown: CancellationToken,
) -> std::io::Result<Totals> {
    let asked = config.rate.events_per_second();
    let (connections, timeout, duration) = (config.connections.max(1), config.timeout, config.duration);
    let stop = shutdown.child_token();
    let started = Instant::now();
    stats.begin(started, config.truth_window_ms.map(Truth::new));
    let due = Arc::new(Due::new());
    let pacer = match config.rate {
        Rate::Max => None,
        rate @ Rate::PerSecond { .. } => {
            let total = duration.and_then(|duration| rate.due_before(duration));
            let ends = (total, connections);
            Some(pacer::start(due.clone(), stats.clone(), rate, started, ends, stop.clone())?)
        }
    };
    let run = Arc::new(Run {
        queue: Mutex::new(Queue { traffic: Traffic::new(config.traffic.clone()), taken: 0 }),
        started,
        started_at: clock.now(),
        due,
        stats: stats.clone(),
        stop: stop.clone(),
        config,
    });
    let mut all = JoinSet::new();
    for _ in 0..connections {
        all.spawn(run.clone().connection());
    }
    let ended = async {
        while let Some(joined) = all.join_next().await {
            joined.expect("a connection neither panics nor is it aborted");
        }
    };
    let mut ended = std::pin::pin!(ended);
    let patience = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration + timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = &mut ended => {}
        () = patience => {
            stop.cancel();
            ended.await;
        }
    }
    // Everybody has ended, because nothing more becomes due or because all were told to stop.
    if let Some(pacer) = pacer {
        pacer.join().expect("the pacer does not panic");
    }
    let is_interrupted = shutdown.is_cancelled();
    let lasted = duration.filter(|_| !is_interrupted).unwrap_or_default();
    Ok(stats.totals(asked, lasted, is_interrupted))
}

struct Run {
    config: LoadConfig,
    started: Instant,
    /// The clock at that instant.
    started_at: EventTime,
    queue: Mutex<Queue>,
    due: Arc<Due>,
    stats: Arc<LoadStats>,
    stop: CancellationToken,
}

/// What is sent next, taken in order.
struct Queue {
    traffic: Traffic,
    taken: u64,
}

/// A request whose time has come.
struct Turn {
    planned: Planned,
    time: EventTime,
    due: Instant,
}

impl Run {
    /// Takes one turn after the other over one connection.
    async fn connection(self: Arc<Self>) {
        let mut client = Client::new(self.config.target.clone(), self.config.timeout);
        while let Some(Turn { planned, time, due }) = self.turn().await {
            let mut json = Vec::with_capacity(640);
            planned.act.json_into(time, &mut json);
            self.stats.is_sent(&planned, json.len());
            let result = client.send(Method::POST, Bytes::from(json)).await;
            self.stats.has_ended((&planned, time), &result, due, Instant::now());
        }
    }

    /// Waits for the next turn; `None` when there is none any more.
    async fn turn(&self) -> Option<Turn> {
        let at_once = match self.config.rate {
            Rate::Max => {
                let now = Instant::now();
                let is_over = self.config.duration.is_some_and(|duration| now - self.started >= duration);
                if is_over || self.stop.is_cancelled() {
                    return None;
                }
                Some(now)
            }
            Rate::PerSecond { .. } => {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return None,
                    permit = self.due.permits.acquire() => permit.expect("it is never closed").forget(),
                }
                None
            }
        };
        let (index, planned) = {
            let mut queue = self.queue.lock().expect("nothing panics while it holds the queue");
            if at_once.is_none() && queue.taken == self.due.released() {
                return None;
            }
            queue.taken += 1;
            (queue.taken - 1, queue.traffic.next().expect("traffic has no end"))
        };
        let due_after = || self.config.rate.due(index).expect("a rate that is paced says when");
        let due = at_once.unwrap_or_else(|| self.started + due_after());
        let since = i64::try_from((due - self.started).as_millis()).unwrap_or(i64::MAX);
        let time = self.started_at.plus_ms(since).minus_ms(i64::from(planned.lag_ms));
        Some(Turn { planned, time, due })
    }
}
