//! The service over HTTP: one event a request, and questions to the cache, each beside a bare axum route.
//!
//! Servers are processes of their own, and figures of CPU time are of the server alone. Generator and server share the
//! machine's processors, so that the highest rate is a lower bound.

mod reads;
mod server;
mod visible;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tidegate::client::Target;
use tidegate::load::{self, LoadConfig, LoadStats, Rate, Totals, TrafficConfig};
use tidegate_runner::clock::SystemClock;
use tokio_util::sync::CancellationToken;

pub(crate) use self::server::{Server, get};
use crate::clock::Took;
use crate::measure::{By, Done, Group, median};
use crate::{Scale, Table, built, scratch};

/// Requests under way at once.
const CONNECTIONS: usize = 64;
/// Figures are per second, of so many; how many there really were depends on how long it is measured.
const UNITS: usize = 100_000;
const ROUNDS_MAX: usize = 3;

/// Windows that close while it is measured, on any free ports.
const ARGUMENTS: [&str; 21] = [
    "up",
    "--data-dir",
    "data",
    "--ingest-listen",
    "0",
    "--api-listen",
    "0",
    "--dataflow-listen",
    "0",
    "--set",
    "dataflow.metrics_listen=0",
    "--set",
    "sink.listen=0",
    "--set",
    "jobs.event_window=1s",
    "--set",
    "jobs.session_gap=10s",
    "--set",
    "time.watermark_bound=100ms",
    "--set",
    "http.connections_max=1000",
];

/// Measures intake and reads.
///
/// # Errors
/// When a server cannot be built or started, or does not do what it should.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let programs = Programs {
        bare: built::program("tidegate-benches", "bare", scale)?,
        tidegate: built::program("tidegate", "tidegate", scale)?,
        lasts: match scale {
            Scale::Smoke => Duration::from_millis(300),
            Scale::Quick => Duration::from_secs(2),
            Scale::Full => Duration::from_secs(10),
        },
    };
    let highest = programs.intake("as fast as the answers come", Rate::Max, scale)?;
    let half = Rate::per_second((median(highest.lines[1].wall.clone()) / 2.0).max(1.0))?;
    let at_half = programs.intake("at half of that rate", half, scale)?;
    let reads = programs.reads(half, scale)?;
    Ok(vec![highest, at_half, reads])
}

struct Programs {
    bare: PathBuf,
    tidegate: PathBuf,
    lasts: Duration,
}

impl Programs {
    fn intake(&self, how: &str, rate: Rate, scale: Scale) -> anyhow::Result<Table> {
        let title = format!("One event a request, {CONNECTIONS} connections, {how}; CPU time of the server");
        Group::new(title, By::Wall, "requests", UNITS, 0)
            .rounds(ROUNDS_MAX)
            .ceiling("a bare axum route", || {
                let folder = scratch::folder()?;
                let server = Server::start(&self.bare, folder.path(), &[])?;
                server.measured(|server| Ok(self.send(server, rate)?.0))
            })
            .case("`tidegate up`, durable", || {
                let folder = scratch::folder()?;
                let server = Server::start(&self.tidegate, folder.path(), &ARGUMENTS)?;
                let ((done, totals), visible) = server.measured(|server| {
                    let sent = self.send(server, rate)?;
                    Ok((sent, visible::latency(&get(server.url("metrics")?, "/metrics")?)))
                })?;
                let accepted = accepted(&self.tidegate, folder.path())?;
                ensure!(accepted == totals.acknowledged, "{accepted} of {} are there", totals.acknowledged);
                // In a test there may not have been time for anything to become visible.
                let visible = if scale == Scale::Smoke { visible.unwrap_or_default() } else { visible? };
                let note = format!("{}; {visible}", done.note);
                Ok(done.noted(note))
            })
            .measure(scale)
    }

    /// Sends for a while; all has to be acknowledged.
    fn send(&self, server: &Server, rate: Rate) -> anyhow::Result<(Done, Totals)> {
        let runtime = tokio::runtime::Runtime::new()?;
        let before = server.cpu()?;
        let load = load_of(server, rate, Some(self.lasts))?;
        let totals = runtime.block_on(load::run(
            load,
            &SystemClock,
            Arc::new(LoadStats::default()),
            CancellationToken::new(),
        ))?;
        let cpu = server.cpu()?.saturating_sub(before);
        ensure!(
            totals.acknowledged == totals.sent && totals.sent > 0,
            "not all was acknowledged: {totals:?}"
        );
        let latency = totals.latency;
        let note = format!(
            "202 p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
            latency.p50_ms, latency.p99_ms, latency.p999_ms
        );
        let took = per_unit(totals.acknowledged, Duration::from_secs_f64(totals.elapsed_seconds), cpu);
        Ok((Done { took, note }, totals))
    }

    fn reads(&self, rate: Rate, scale: Scale) -> anyhow::Result<Table> {
        let title = format!(
            "GET /metrics/event/windows?limit=20, {} connections, while events come in at half of the highest rate",
            reads::CONNECTIONS
        );
        let read = |program: &PathBuf, arguments: &'static [&'static str]| {
            let program = program.clone();
            move || {
                let folder = scratch::folder()?;
                let server = Server::start(&program, folder.path(), arguments)?;
                server.measured(|server| reads::under_load(server, load_of(server, rate, None)?, self.lasts))
            }
        };
        Group::new(title, By::Wall, "reads", UNITS, 0)
            .rounds(ROUNDS_MAX)
            .ceiling("a bare axum route, 2 kB", read(&self.bare, &[]))
            .case("`tidegate up`", read(&self.tidegate, &ARGUMENTS))
            .measure(scale)
    }
}

fn load_of(server: &Server, rate: Rate, duration: Option<Duration>) -> anyhow::Result<LoadConfig> {
    Ok(LoadConfig {
        target: Arc::new(Target::parse(server.url("ingest")?, load::PATH)?),
        rate,
        duration,
        connections: CONNECTIONS,
        timeout: Duration::from_secs(30),
        traffic: TrafficConfig::default(),
        truth_window_ms: None,
    })
}

/// What [`UNITS`] would have taken, had `count` taken so long: what is measured lasts for a time, and tables are
/// about a number.
fn per_unit(count: u64, wall: Duration, cpu: Duration) -> Took {
    let factor = UNITS as f64 / count.max(1) as f64;
    Took { wall: wall.mul_f64(factor), cpu: cpu.mul_f64(factor) }
}

/// How many events the ledger of a data directory says were accepted.
fn accepted(program: &PathBuf, folder: &std::path::Path) -> anyhow::Result<u64> {
    let mut command = std::process::Command::new(program);
    command.env_clear().current_dir(folder).args(["ledger", "--format", "json", "--data-dir", "data"]);
    let output = command.output()?;
    ensure!(output.status.success(), "`{command:?}` ended with {}", output.status);
    let ledger: tidegate_model::Ledger = serde_json::from_slice(&output.stdout)?;
    Ok(ledger.jobs.values().map(|counts| counts.accepted).max().unwrap_or(0))
}
