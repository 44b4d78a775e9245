//! The sink into ClickHouse, where the configuration names a server.

use super::any_log::{Log, is_on_kafka};
use super::sink_thread::SinkThread;
use crate::config::Config;
use crate::exit::CommandError;
use crate::service::SinkMetrics;

#[cfg(feature = "clickhouse")]
const DAY_MS: i64 = 86_400_000;

/// Whether rows go there. The embedded log has its own metric store beside it.
pub(super) fn is_used(config: &Config) -> bool {
    config.clickhouse_host.is_some() && is_on_kafka(config)
}

/// The server, as the configuration has it.
#[cfg(feature = "clickhouse")]
pub(crate) fn clickhouse_config(config: &Config) -> tidegate_sinks::ClickHouseConfig {
    let host = config.clickhouse_host.as_deref().unwrap_or("127.0.0.1");
    let password = config.clickhouse_password.reveal();
    tidegate_sinks::ClickHouseConfig {
        url: format!("http://{host}:{}", config.clickhouse_port),
        database: config.clickhouse_database.clone(),
        user: config.clickhouse_user.clone(),
        password: (!password.is_empty()).then(|| password.to_owned()),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        // The server forgets by days.
        ttl_days: config
            .store_retention_ms
            .map(|ms| u16::try_from((ms + DAY_MS - 1) / DAY_MS).unwrap_or(u16::MAX)),
        ..tidegate_sinks::ClickHouseConfig::default()
    }
}

/// Starts it. The server may be away: the sink waits for it.
#[cfg(feature = "clickhouse")]
pub(super) fn start(
    log: &Log,
    config: &Config,
    own: tidegate_sinks::Config,
    metrics: Option<SinkMetrics>,
) -> Result<SinkThread, CommandError> {
    use std::sync::Arc;

    use tidegate_runner::clock::SystemClock;
    use tidegate_sinks::{ClickHouseStore, Sink};

    use super::watched::StoreSteps;
    use crate::config::duration;

    let store = ClickHouseStore::with_topics(clickhouse_config(config), own.topics.clone())?;
    let sink = Sink::new(log.row_reader()?, store, own);
    let gathers = duration(config.store_batch_wait_ms);
    let (rows_max, is_behind) = (config.store_batch_rows, true);
    SinkThread::start(StoreSteps { sink, metrics, gathers, rows_max, is_behind }, Arc::new(SystemClock))
}

/// This program knows no ClickHouse.
#[cfg(not(feature = "clickhouse"))]
pub(super) fn start(
    _: &Log,
    _: &Config,
    _: tidegate_sinks::Config,
    _: Option<SinkMetrics>,
) -> Result<SinkThread, CommandError> {
    Err(without_clickhouse())
}

/// Why nothing can be done with ClickHouse.
#[cfg(not(feature = "clickhouse"))]
pub(crate) fn without_clickhouse() -> CommandError {
    let text = "this tidegate was built without the feature clickhouse: remove clickhouse.host";
    CommandError::new(crate::exit::Exit::Usage, text)
}
