//! Around Kafka, ClickHouse and Redis, each part of the pipeline there is: how soon a window can be read once the watermark
//! has passed it, and how fast the cache API answers from Redis.
//!
//! Servers that `TIDEGATE_TEST_KAFKA`, `TIDEGATE_TEST_CLICKHOUSE` and `TIDEGATE_TEST_REDIS` name are used, with names of
//! their own in them; otherwise they are started.

mod asked;
mod readable;

use std::path::PathBuf;

use tempfile::TempDir;
use tidegate_services::{Kafka, Redis, kafka, redis};

use crate::clickhouse::Server as ClickHouseServer;
use crate::http::Server;
use crate::kafka::Deployment;
use crate::{Scale, Table, built, scratch};

/// Windows close often, so that there are many.
const WINDOW_MS: i64 = 200;

/// Measures both.
///
/// # Errors
/// When there is no server, or it fails.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let servers = Servers::find(scale)?;
    Ok(vec![readable::run(&servers, scale)?, asked::run(&servers, scale)?])
}

/// The servers around which the pipeline runs.
struct Servers {
    kafka: String,
    clickhouse: ClickHouseServer,
    redis: String,
    program: PathBuf,
    bare: PathBuf,
    _own: (Option<Kafka>, Option<Redis>, TempDir),
}

impl Servers {
    fn find(scale: Scale) -> anyhow::Result<Self> {
        let folder = scratch::folder()?;
        let kafka = match kafka::named() {
            Some(_) => None,
            None => Some(Kafka::start(&folder.path().join("kafka"))?),
        };
        let redis = match redis::named() {
            Some(_) => None,
            None => Some(Redis::start(&folder.path().join("redis"))?),
        };
        let address = |named: Option<String>, own: Option<&str>| {
            named.or_else(|| own.map(str::to_owned)).expect("one of them is there")
        };
        Ok(Self {
            kafka: address(kafka::named(), kafka.as_ref().map(Kafka::address)),
            clickhouse: ClickHouseServer::find()?,
            redis: address(redis::named(), redis.as_ref().map(Redis::address)),
            program: built::program("tidegate", "tidegate", scale)?,
            bare: built::program("tidegate-benches", "bare", scale)?,
            _own: (kafka, redis, folder),
        })
    }

    /// The whole pipeline in one process, in a folder, around these servers.
    fn pipeline(&self, deployment: &Deployment, folder: &TempDir) -> anyhow::Result<Server> {
        let (host, port) = self.redis.rsplit_once(':').unwrap_or((&self.redis, "6379"));
        let clickhouse = &self.clickhouse.address;
        let mut arguments: Vec<String> = ["up", "--data-dir", "data", "--log"].map(str::to_owned).into();
        arguments.push(format!("kafka://{}", self.kafka));
        let tables = ["event_metrics", "session_metrics", "performance_metrics", "session_window_metrics"];
        let topics = tables.iter().chain(&["live_metrics", "dropped_events"]);
        let topics = topics.map(|table| format!("topics.{table}={}", deployment.topic(table)));
        let settings = [
            format!("deployment={}", deployment.name),
            format!("topics.events={}", deployment.events),
            format!("clickhouse.host={}", clickhouse.host),
            format!("clickhouse.port={}", clickhouse.http),
            format!("clickhouse.database={}", database(deployment)),
            format!("redis.host={host}"),
            format!("redis.port={port}"),
            format!("redis.prefix={}:", deployment.name),
            format!("jobs.event_window={WINDOW_MS}ms"),
            "cache.windows_kept=10000".to_owned(),
            "time.watermark_bound=0s".to_owned(),
        ];
        let listeners = ["ingest", "api", "dataflow", "dataflow.metrics_", "sink"];
        let listeners = listeners.map(|name| match name.strip_suffix('_') {
            Some(name) => format!("{name}_listen=0"),
            None => format!("{name}.listen=0"),
        });
        for setting in topics.chain(settings).chain(listeners) {
            arguments.extend(["--set".to_owned(), setting]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Server::start(&self.program, folder.path(), &arguments)
    }
}

/// The database of a deployment in ClickHouse.
fn database(deployment: &Deployment) -> String {
    deployment.name.replace('-', "_")
}
