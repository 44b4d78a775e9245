//! Ingest alone, over an embedded log in a temporary directory: for trying requests, and for the step
//! `openapi` of `cargo xtask test`. Prints its URL; ends, and removes the log, on SIGINT or SIGTERM.
//!
//!     cargo run --package tidegate-ingest --example serve

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tidegate_ingest::{Config, Ingest, Parts, ids};
use tidegate_log::embedded::{EmbeddedLog, Options};
use tidegate_model::EventTime;
use tidegate_server::{Limits, Listener, process, serve};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
    let log = EmbeddedLog::open(dir.path(), Options::default())?;
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), "the example").await?;
    let mut registry = Registry::default();
    process::register(&mut registry);
    let parts = Parts {
        appender: log.appender(),
        clock: Arc::new(system_clock),
        ids: ids::system(),
        ready: Arc::new(|| Ok(())),
    };
    let ingest = Ingest::new(Config::default(), parts, &mut registry);
    println!("http://{}", listener.address());

    let mut terminated = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let shutdown = CancellationToken::new();
    let serving =
        tokio::spawn(serve(listener, ingest.router(Arc::new(registry)), Limits::default(), shutdown.clone()));
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot watch for SIGINT")?,
        _ = terminated.recv() => {}
    }
    shutdown.cancel();
    serving.await.context("the listener had panicked")?;
    ingest.drained().await;
    log.close();
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "an example is its own edge")]
fn system_clock() -> EventTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    EventTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
