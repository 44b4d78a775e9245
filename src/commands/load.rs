//! `tidegate load`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use tidegate_runner::clock::SystemClock;
use tokio_util::sync::CancellationToken;

use crate::cli::args::{LoadArgs, ReportFormat};
use crate::client::{Client, Target};
use crate::config::Config;
use crate::exit::{CommandError, Exit};
use crate::load::{self, LoadConfig, LoadStats, Totals, TrafficConfig};
use crate::service::signals;

mod progress;

use progress::Line;

/// How often the line on the terminal is written anew.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &LoadArgs, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let target = target(args.url.as_deref(), config, load::PATH)?;
    let load = LoadConfig {
        target: Arc::new(target),
        rate: args.rate,
        duration: args.duration,
        connections: args.connections.into(),
        timeout: args.timeout,
        traffic: TrafficConfig {
            users: args.users,
            seed: args.seed,
            disorder_ms: args.disorder.unwrap_or(0),
            late: args.late,
            late_ms_max: args.late_max,
        },
        truth_window_ms: args.windows,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let totals = runtime.block_on(send(load))?;
    let text = match args.format {
        ReportFormat::Table => totals.render(),
        ReportFormat::Json => totals.to_json(),
    };
    out.write_all(text.as_bytes())?;
    Ok(if totals.is_complete() { Exit::Done } else { Exit::Failure })
}

/// Where requests go: the URL that was given, or the instance that this configuration describes.
pub(super) fn target(url: Option<&str>, config: &Config, path: &str) -> Result<Target, CommandError> {
    let own = || {
        let mut address = config.ingest_listen.address(config.listen_host);
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    };
    let text = url.map_or_else(own, str::to_owned);
    Target::parse(&text, path).map_err(|error| CommandError::new(Exit::Usage, error))
}

/// Finds out whether anybody listens there, before anything is sent.
pub(super) async fn find(target: &Arc<Target>, timeout: Duration) -> Result<(), CommandError> {
    Client::new(target.clone(), timeout).connect().await.map_err(|failure| {
        let text =
            format!("nothing was sent to {target}: {failure}; is an instance running there (tidegate up)?");
        CommandError::new(Exit::Failure, text)
    })
}

async fn send(config: LoadConfig) -> Result<Totals, CommandError> {
    find(&config.target, config.timeout).await?;
    let stop = CancellationToken::new();
    signals::on_signal(stop.clone())?;
    let stats = Arc::new(LoadStats::default());
    let line = Line::new(config.duration);
    let shown = stats.clone();
    let show = async {
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            line.update(&shown.snapshot());
        }
    };
    let totals = tokio::select! {
        totals = load::run(config, &SystemClock, stats, stop) => totals?,
        () = show => unreachable!("it has no end"),
    };
    line.finish();
    Ok(totals)
}
