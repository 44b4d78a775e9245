//! The sockets of the service, all bound before anything else is done.

use std::net::SocketAddr;

use tidegate_server::{BindError, Listener};

use super::roles::{Role, Roles};
use crate::config::{Config, ListenAt};

/// The roles of the sinks.
const OF_SINKS: &[Role] = &[Role::Store, Role::Cache];

/// Every socket of the roles that the process has.
pub(super) struct Listeners {
    pub(super) ingest: Option<Listener>,
    pub(super) api: Option<Listener>,
    pub(super) dataflow: Option<Listener>,
    pub(super) metrics: Option<Listener>,
    pub(super) sinks: Option<Listener>,
    /// A second socket for the sinks' health, where one is configured.
    pub(super) health: Option<Listener>,
}

/// Where the service listens, with what is worth a look there.
#[derive(Clone, Debug)]
pub(crate) struct Addresses(Vec<(&'static str, SocketAddr, &'static str)>);

impl Listeners {
    /// Binds every one of them, or none.
    pub(super) async fn bind(config: &Config, roles: Roles) -> Result<Self, BindError> {
        let bind = async |of: &[Role], at: Option<ListenAt>, setting| match at.filter(|_| roles.has_any(of)) {
            Some(at) => Listener::bind(at.address(config.listen_host), setting).await.map(Some),
            None => Ok(None),
        };
        let (ingest, api) = (Some(config.ingest_listen), Some(config.api_listen));
        let (dataflow, metrics) = (Some(config.dataflow_listen), Some(config.dataflow_metrics_listen));
        let (sinks, health) = (Some(config.sink_listen), config.sink_health_listen);
        Ok(Self {
            ingest: bind(&[Role::Ingest], ingest, "--ingest-listen, ingest.listen").await?,
            api: bind(&[Role::Api], api, "--api-listen, api.listen").await?,
            dataflow: bind(&[Role::Dataflow], dataflow, "--dataflow-listen, dataflow.listen").await?,
            metrics: bind(&[Role::Dataflow], metrics, "--metrics-listen, dataflow.metrics_listen").await?,
            sinks: bind(OF_SINKS, sinks, "--sink-listen, sink.listen, METRICS_PORT").await?,
            health: bind(OF_SINKS, health, "sink.health_listen, HEALTH_PORT").await?,
        })
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> Addresses {
        let all = [
            ("ingest", &self.ingest, "POST /v1/analytics/track · /docs"),
            ("api", &self.api, "/metrics/overview · /live"),
            ("dataflow", &self.dataflow, "/v1/status · /v1/ledger"),
            ("metrics", &self.metrics, "/metrics"),
            ("sinks", &self.sinks, "/metrics · /healthz"),
        ];
        let bound = all
            .into_iter()
            .filter_map(|(name, listener, what)| Some((name, listener.as_ref()?.address(), what)));
        Addresses(bound.collect())
    }
}

impl Addresses {
    /// The address of a listener that the process has.
    pub(crate) fn of(&self, listener: &str) -> SocketAddr {
        let found = self.0.iter().find(|(name, ..)| *name == listener);
        found.expect("the process has that listener").1
    }

    /// A line for each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(name, address, what): &(&str, SocketAddr, &str)| {
            format!("{name:<9} {:<28} {what}", format!("http://{address}"))
        };
        self.0.iter().map(line).collect()
    }
}
