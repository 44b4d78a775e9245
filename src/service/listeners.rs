//! The sockets of the service, all bound before anything else is done.

use std::net::SocketAddr;

use tidegate_server::{BindError, Listener};

use crate::config::{Config, ListenAt};

/// Every socket.
pub(super) struct Listeners {
    pub(super) ingest: Listener,
    pub(super) api: Listener,
    pub(super) dataflow: Listener,
    pub(super) metrics: Listener,
    pub(super) sinks: Listener,
    /// A second socket for the sinks' health, where one is configured.
    pub(super) health: Option<Listener>,
}

/// Where the service listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// Events come in.
    pub(crate) ingest: SocketAddr,
    /// The cache is read.
    pub(crate) api: SocketAddr,
    /// The dataflow says how it is.
    pub(crate) dataflow: SocketAddr,
    /// The dataflow's metrics.
    pub(crate) metrics: SocketAddr,
    /// The sinks' metrics and health.
    pub(crate) sinks: SocketAddr,
}

impl Listeners {
    /// Binds every one of them, or none.
    pub(super) async fn bind(config: &Config) -> Result<Self, BindError> {
        let bind = |at: ListenAt, setting| Listener::bind(at.address(config.listen_host), setting);
        Ok(Self {
            ingest: bind(config.ingest_listen, "--ingest-listen, ingest.listen").await?,
            api: bind(config.api_listen, "--api-listen, api.listen").await?,
            dataflow: bind(config.dataflow_listen, "--dataflow-listen, dataflow.listen").await?,
            metrics: bind(config.dataflow_metrics_listen, "--metrics-listen, dataflow.metrics_listen")
                .await?,
            sinks: bind(config.sink_listen, "--sink-listen, sink.listen, METRICS_PORT").await?,
            health: match config.sink_health_listen {
                Some(at) => Some(bind(at, "sink.health_listen, HEALTH_PORT").await?),
                None => None,
            },
        })
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> Addresses {
        Addresses {
            ingest: self.ingest.address(),
            api: self.api.address(),
            dataflow: self.dataflow.address(),
            metrics: self.metrics.address(),
            sinks: self.sinks.address(),
        }
    }
}

impl Addresses {
    /// A line for each, with what is worth a look there.
    pub(crate) fn lines(&self) -> Vec<String> {
        [
            ("ingest", self.ingest, "POST /v1/analytics/track · /docs"),
            ("api", self.api, "/metrics/overview · /live"),
            ("dataflow", self.dataflow, "/v1/status · /v1/ledger"),
            ("metrics", self.metrics, "/metrics"),
            ("sinks", self.sinks, "/metrics · /healthz"),
        ]
        .map(|(name, address, what)| format!("{name:<9} {:<28} {what}", format!("http://{address}")))
        .to_vec()
    }
}
