//! Questions to the cache, each connection asking again as soon as it is answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use hyper::Method;
use tidegate::client::{Client, Target};
use tidegate::load::{self, LoadConfig, LoadStats};
use tidegate_runner::clock::SystemClock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::per_unit;
use super::server::{Server, get};
use crate::measure::Done;

/// Those who ask.
pub(super) const CONNECTIONS: usize = 8;
const PATH: &str = "/metrics/event/windows?limit=20";
/// How long it may take until there is a window to read.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks for a while, from when there is something to read, while events come in.
pub(super) fn under_load(server: &Server, load: LoadConfig, lasts: Duration) -> anyhow::Result<Done> {
    let runtime = tokio::runtime::Runtime::new()?;
    let stop = CancellationToken::new();
    let stats = Arc::new(LoadStats::default());
    let (told, shared) = (stop.clone(), stats.clone());
    let sending = runtime.spawn(async move { load::run(load, &SystemClock, shared, told).await });
    let deadline = Instant::now() + PATIENCE;
    let bytes = loop {
        let body = get(server.url("api")?, PATH)?;
        // An empty list is shorter than any window.
        if body.len() > 100 {
            break body.len();
        }
        ensure!(Instant::now() < deadline, "no window has closed after {PATIENCE:?}: {body}");
        std::thread::park_timeout(Duration::from_millis(50));
    };
    let target = Arc::new(Target::parse(server.url("api")?, PATH)?);
    let (before, begun) = (server.cpu()?, Instant::now());
    let mut took = runtime.block_on(ask(target, begun + lasts))?;
    let (wall, cpu) = (begun.elapsed(), server.cpu()?.saturating_sub(before));
    stop.cancel();
    let totals = runtime.block_on(sending)??;
    ensure!(totals.acknowledged == totals.sent && totals.sent > 0, "not all was acknowledged: {totals:?}");
    took.sort_unstable();
    let at = |share: usize| took[(took.len() - 1) * share / 100].as_secs_f64() * 1e3;
    let note = format!("p50 {:.2} ms, p99 {:.2} ms; {bytes} bytes", at(50), at(99));
    Ok(Done { took: per_unit(took.len() as u64, wall, cpu), note })
}

/// How long each answer took.
async fn ask(target: Arc<Target>, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut all = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let target = target.clone();
        all.spawn(async move {
            let mut client = Client::new(target, PATIENCE);
            let mut took = Vec::new();
            while took.is_empty() || Instant::now() < until {
                let begun = Instant::now();
                let answer = client.send(Method::GET, Bytes::new()).await?;
                took.push(begun.elapsed());
                ensure!(answer.status.is_success(), "a read was answered with {}", answer.status);
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(joined) = all.join_next().await {
        took.extend(joined??);
    }
    Ok(took)
}
