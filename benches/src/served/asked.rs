//! Questions to the cache API, so many a second whatever becomes of those before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use hyper::Method;
use tidegate::client::{Client, Target};
use tidegate::load::{self, LoadConfig, LoadStats, Rate, TrafficConfig};
use tidegate_runner::clock::SystemClock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Servers;
use crate::clock::timed;
use crate::http::{Server, get};
use crate::kafka::Deployment;
use crate::measure::{By, Done, Group};
use crate::{Scale, Table, scratch};

/// Questions, a thousand a second.
const QUESTIONS: usize = 20_000;
const EVERY: Duration = Duration::from_millis(1);

/// Connections that take turns; one that is busy when its turn comes makes the question wait, which counts.
const CONNECTIONS: usize = 32;

const PATH: &str = "/metrics/event/windows?limit=20";

/// How long it may take until there are enough windows to read.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn run(servers: &Servers, scale: Scale) -> anyhow::Result<Table> {
    let questions = scale.of(QUESTIONS);
    let title = "GET /metrics/event/windows?limit=20, 1,000 a second";
    Group::new(title, By::Wall, "questions", questions, 0)
        .rounds(1)
        .ceiling("a bare axum route, 2 kB, beside the pipeline and 500 events a second", || {
            with_pipeline(servers, |pipeline| {
                with_bare(servers, |bare| beside_load(pipeline, || asked(bare, questions)))
            })
        })
        .case("the cache API, on Redis, beside 500 events a second", || {
            with_pipeline(servers, |pipeline| beside_load(pipeline, || asked(pipeline, questions)))
        })
        .ceiling("a bare axum route, 2 kB, beside the pipeline at rest", || {
            with_pipeline(servers, |_| with_bare(servers, |bare| asked(bare, questions)))
        })
        .case("the cache API, on Redis, at rest", || {
            with_pipeline(servers, |pipeline| {
                // It has the windows, then.
                beside_load(pipeline, || Ok(()))?;
                asked(pipeline, questions)
            })
        })
        .measure(scale)
}

fn with_pipeline(
    servers: &Servers,
    measure: impl FnOnce(&Server) -> anyhow::Result<Done>,
) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    servers.pipeline(&Deployment::new(&servers.kafka), &folder)?.measured(measure)
}

fn with_bare(
    servers: &Servers,
    measure: impl FnOnce(&Server) -> anyhow::Result<Done>,
) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    Server::start(&servers.bare, folder.path(), &[])?.measured(measure)
}

/// Measures while events come in, from when there are twenty windows.
fn beside_load<T>(pipeline: &Server, measure: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let load = LoadConfig {
        target: Arc::new(Target::parse(pipeline.url("ingest")?, load::PATH)?),
        rate: Rate::per_second(500.0)?,
        duration: None,
        connections: CONNECTIONS,
        timeout: PATIENCE,
        traffic: TrafficConfig::default(),
        truth_window_ms: None,
    };
    let stop = CancellationToken::new();
    let told = stop.clone();
    let sending = runtime
        .spawn(async move { load::run(load, &SystemClock, Arc::new(LoadStats::default()), told).await });
    let began = Instant::now();
    // Twenty windows are longer than that.
    while get(pipeline.url("api")?, PATH)?.len() < 1_500 {
        ensure!(began.elapsed() < PATIENCE, "there are no twenty windows after {PATIENCE:?}");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let measured = measure()?;
    stop.cancel();
    let totals = runtime.block_on(sending)??;
    ensure!(totals.acknowledged == totals.sent && totals.sent > 0, "not all was acknowledged: {totals:?}");
    Ok(measured)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}

fn asked(server: &Server, questions: usize) -> anyhow::Result<Done> {
    let target = Arc::new(Target::parse(server.url("api")?, PATH)?);
    let (answered, took) = timed(|| runtime()?.block_on(ask(target, questions)));
    let mut waited = answered?;
    waited.sort_unstable();
    let at = |share: usize| waited[(waited.len() - 1) * share / 1_000].as_secs_f64() * 1e3;
    let note = format!("p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms", at(500), at(990), at(999));
    Ok(Done { took, note })
}

/// How long each answer took, from when it was due.
async fn ask(target: Arc<Target>, questions: usize) -> anyhow::Result<Vec<Duration>> {
    let (mut all, mut due) = (JoinSet::new(), Vec::new());
    for _ in 0..CONNECTIONS {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Instant>();
        due.push(sender);
        let target = Arc::clone(&target);
        all.spawn(async move {
            let mut client = Client::new(target, PATIENCE);
            client.connect().await?;
            let mut waited = Vec::new();
            while let Some(due) = receiver.recv().await {
                let answer = client.send(Method::GET, Bytes::new()).await?;
                waited.push(due.elapsed());
                ensure!(answer.status.is_success(), "a question was answered with {}", answer.status);
            }
            anyhow::Ok(waited)
        });
    }
    let clock = tokio::task::spawn_blocking(move || tell(&due, questions));
    let mut waited = Vec::new();
    while let Some(joined) = all.join_next().await {
        waited.extend(joined??);
    }
    clock.await?;
    Ok(waited)
}

/// Tells connections in turn when a question is due. The runtime's own clock goes by whole milliseconds, which is what
/// is measured here.
fn tell(connections: &[mpsc::UnboundedSender<Instant>], questions: usize) {
    let mut due = Instant::now() + Duration::from_millis(20);
    for number in 0..questions {
        while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            std::thread::park_timeout(left);
        }
        // One that has failed says so itself.
        let _ = connections[number % connections.len()].send(due);
        due += EVERY;
    }
}
