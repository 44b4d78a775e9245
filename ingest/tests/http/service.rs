//! The service under test, and the log behind it.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tidegate_ingest::{Config, Ingest, Parts};
use tidegate_log::embedded::{EmbeddedAppender, EmbeddedLog, Options};
use tidegate_log::{AppendError, Appended, EventAppender, EventReader as _, NewEvent};
use tidegate_model::{EventTime, Offset, PartitionId};
use tidegate_server::{Limits, Listener, serve};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::{PATIENCE, send};

/// The clock of the tests.
pub(crate) const NOW: EventTime = EventTime::from_millis(1_700_000_000_000);

/// The id of every event without one.
pub(crate) const ID: Uuid = Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_0001);

/// A service that listens.
pub(crate) struct Service<A> {
    pub(crate) address: SocketAddr,
    pub(crate) ingest: Ingest<A>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// Parts for an appender, with clock and ids that are known.
pub(crate) fn parts<A>(appender: A) -> Parts<A> {
    Parts { appender, clock: Arc::new(|| NOW), ids: Arc::new(|_| ID), ready: Arc::new(|| Ok(())) }
}

impl<A: EventAppender> Service<A> {
    pub(crate) async fn start(config: Config, parts: Parts<A>) -> Self {
        let mut registry = Registry::default();
        let ingest = Ingest::new(config, parts, &mut registry);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, "the test").await.expect("a port is free");
        let (address, shutdown) = (listener.address(), CancellationToken::new());
        let router = ingest.router(Arc::new(registry));
        let limits = Limits { header_timeout: Duration::from_secs(5), ..Limits::default() };
        let task = tokio::spawn(serve(listener, router, limits, shutdown.clone()));
        Self { address, ingest, shutdown, task }
    }

    /// Stops as the program does.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").expect("it does not panic");
        tokio::time::timeout(PATIENCE, self.ingest.drained()).await.expect("the log answers");
    }
}

/// A service over an embedded log in a directory of its own.
pub(crate) struct Deployment {
    pub(crate) service: Service<EmbeddedAppender>,
    pub(crate) log: EmbeddedLog,
    _dir: TempDir,
}

impl Deployment {
    pub(crate) async fn start(config: Config, options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = EmbeddedLog::open(dir.path(), options).expect("an empty directory can be opened");
        let service = Service::start(config, parts(log.appender())).await;
        Self { service, log, _dir: dir }
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::start(config, Options::default()).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.service.address
    }

    /// Every event that the log holds.
    pub(crate) fn events(&self) -> Vec<String> {
        events(&self.log)
    }
}

/// Every event that a log holds, partition by partition.
pub(crate) fn events(log: &EmbeddedLog) -> Vec<String> {
    let mut reader = log.reader();
    let mut events = Vec::new();
    for partition in reader.partitions().expect("the log can be read") {
        let bounds = reader.bounds(partition).expect("the log can be read");
        let mut at = bounds.start;
        while at < bounds.end {
            let mut visit = |record: tidegate_log::RecordRef<'_>| {
                events.push(String::from_utf8(record.value.to_vec()).expect("JSON is UTF-8"));
            };
            at = reader.read(partition, at, 1 << 20, &mut visit).expect("the log can be read");
        }
    }
    events
}

/// Sends `body` until it is answered 202; the other answers that it got.
pub(crate) async fn send_until_accepted(address: SocketAddr, body: &[u8]) -> BTreeSet<u16> {
    let trying = async {
        let mut others = BTreeSet::new();
        loop {
            match send(address, body).await.status {
                202 => return others,
                other => others.insert(other),
            };
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.expect("it is accepted at last")
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

/// A log that answers when and what the test says.
#[derive(Clone, Debug)]
pub(crate) struct Stub {
    /// A permit for every append that may be answered.
    pub(crate) answers: Arc<Semaphore>,
    error: Option<AppendError>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    /// One that takes every event, once it has a permit.
    pub(crate) fn waiting() -> Self {
        Self { answers: Arc::new(Semaphore::new(0)), error: None, taken: Arc::default() }
    }

    /// One that fails at once.
    pub(crate) fn failing(error: AppendError) -> Self {
        let answers = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { answers, error: Some(error), taken: Arc::default() }
    }

    /// The events that it has taken.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("nobody panics with the lock").clone()
    }
}

impl EventAppender for Stub {
    fn partition_of(&self, _user_id: &str) -> PartitionId {
        PartitionId(0)
    }

    fn append(
        &self,
        events: Vec<NewEvent>,
    ) -> impl Future<Output = Result<Vec<Appended>, AppendError>> + Send {
        let stub = self.clone();
        async move {
            stub.answers.acquire().await.expect("it is not closed").forget();
            if let Some(error) = stub.error {
                return Err(error);
            }
            let values = events.into_iter().map(|event| String::from_utf8(event.value).expect("JSON"));
            stub.taken.lock().expect("nobody panics with the lock").extend(values);
            Ok(vec![Appended { partition: PartitionId(0), offset: Offset(0) }])
        }
    }
}
