//! The whole service in one process: listeners, the log, the engine, the sinks, and the order in which
//! they start and end.
//!
//! Sockets are bound before anything is written. The end goes the way of an event: the intake stops, what
//! the log holds is read and committed, the sinks store it, and only then do those who read lose their
//! answers.

mod descriptors;
mod ending;
mod freshness;
mod listeners;
mod log_metrics;
mod readiness;
mod roles;
mod servers;
pub(crate) mod signals;
mod sink_metrics;

use std::cell::Cell;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use tidegate_cache::MemoryCache;
use tidegate_log::embedded::{EmbeddedLog, Fill};
use tidegate_model::Ledger;
use tidegate_runner::run::DrainLimits;
use tidegate_runner::{Accept, Running, Script, Status};
use tidegate_server::process;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::assembly::{
    Appender, Cache, Dataflow, Log, Pipeline, WatchedCache, Watchers, is_on_kafka, open_kafka, open_log, tidy,
};
use crate::audience::Audience;
use crate::config::{Config, duration};
use crate::exit::{CommandError, Exit};
use crate::print::ledger_table;
use ending::{Ending, Step};
pub(crate) use freshness::Recent;
use freshness::{Committed, Freshness};
pub(crate) use listeners::Addresses;
use listeners::Listeners;
use roles::Role;
pub(crate) use roles::Roles;
use servers::Servers;
pub(crate) use sink_metrics::{CacheSinkMetrics, SinkMetrics};

/// How often retention looks for something to remove.
const TIDY_EVERY: Duration = Duration::from_secs(20);

/// How often it is looked whether the engine and the sinks are still there.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A running service.
pub(crate) struct Service {
    runtime: Runtime,
    stop: CancellationToken,
    /// None where the process only answers from a cache that another one fills.
    log: Option<Log>,
    pipeline: Pipeline,
    servers: Servers<Appender>,
    addresses: Addresses,
    freshness: Arc<Freshness>,
    cache: Cache,
    rows: Arc<AtomicU64>,
    config: Config,
    ending: Ending,
    /// When the log was last tidied.
    tidied: Cell<Instant>,
    /// Whether it was told that the log is nearly full; told again when it was less full in between.
    is_full_told: Cell<bool>,
}

impl Service {
    /// Starts everything. It ends when `stop` is cancelled, or the process is told to end.
    pub(crate) fn start(
        config: &Config,
        roles: Roles,
        accept: Accept,
        stop: CancellationToken,
    ) -> Result<Self, CommandError> {
        let descriptors = descriptors::raise_limit();
        tracing::debug!(?descriptors, "open files");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("http").build()?;
        let listeners = runtime.block_on(Listeners::bind(config, roles));
        let listeners = listeners.map_err(|error| CommandError::new(Exit::Failure, error))?;
        let addresses = listeners.addresses();
        {
            let _entered = runtime.enter();
            signals::on_signal(stop.clone())?;
        }
        let deadline = duration(config.shutdown_deadline_ms);
        let ending = Ending::watched(deadline, stop.clone(), runtime.handle().clone())?;

        let cache = Cache::of(config)?;
        let fills_cache = roles.has(if cache.is_shared() { Role::Cache } else { Role::Api });
        let needs_log = fills_cache || roles.has_any(&[Role::Ingest, Role::Dataflow, Role::Store]);
        let log = needs_log.then(|| open(config)).transpose()?;
        let told = stop.clone();
        let told_to_end = Arc::new(move || told.is_cancelled());
        let dataflow = match &log {
            Some(log) if roles.has(Role::Dataflow) => {
                Dataflow::begin(log, config, accept, !roles.has(Role::Ingest), told_to_end)?
            }
            _ => Dataflow::None,
        };
        let mut registries = Registries::default();
        let freshness = Arc::new(Freshness::register(&mut registries.dataflow));
        if let Some(watch) = log.as_ref().and_then(Log::watch) {
            log_metrics::register(&mut registries.ingest, &watch);
        }
        let committed = Arc::clone(&freshness);
        let rows = Arc::new(AtomicU64::new(0));
        let rows_of_commits = Arc::clone(&rows);
        let readable = Arc::clone(&freshness);
        let watchers = Watchers {
            observer: Box::new(move |commit: &tidegate_runner::CommitFacts<'_>| {
                for epoch in commit.epochs {
                    rows_of_commits.fetch_add(epoch.rows as u64, Ordering::Relaxed);
                    committed.committed(Committed {
                        epoch: epoch.epoch,
                        oldest_append: epoch.appended.map(|appended| appended.oldest),
                        closed_at: epoch.closed.then_some(epoch.now),
                    });
                }
            }),
            is_stored: roles.has(Role::Store),
            accepts_gap: accept.gap,
            store: roles
                .has(Role::Store)
                .then(|| SinkMetrics::register(&mut registries.sinks, config.store_batch_rows)),
            cache: fills_cache.then(|| WatchedCache {
                cache: cache.clone(),
                metrics: CacheSinkMetrics::register(if cache.is_shared() {
                    &mut registries.sinks
                } else {
                    &mut registries.api
                }),
                readable: Arc::new(move |epoch, now| readable.readable(epoch, now)),
            }),
        };
        let time = config.time_settings();
        let pipeline = match &log {
            Some(log) => Pipeline::start(log, config, time, dataflow, Script::Live, watchers)?,
            None => Pipeline::none(),
        };
        let servers =
            Servers::start(&runtime, config, listeners, registries, log.as_ref(), &pipeline, &cache)?;
        Ok(Self {
            runtime,
            stop,
            log,
            pipeline,
            servers,
            addresses,
            freshness,
            cache,
            rows,
            config: config.clone(),
            ending,
            tidied: Cell::new(Instant::now()),
            is_full_told: Cell::new(false),
        })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// How the engine is, of a process that has it.
    pub(crate) fn status(&self) -> &Arc<Status> {
        self.running().expect("the process runs the dataflow").status()
    }

    fn running(&self) -> Option<&Running> {
        self.pipeline.running()
    }

    /// How fresh the newest answers are.
    pub(crate) fn recent(&self) -> Option<Recent> {
        self.freshness.recent()
    }

    /// The cache that the API reads, of a process that has its own.
    pub(crate) fn cache(&self) -> &MemoryCache {
        self.cache.in_process().expect("the embedded log has its cache in its process")
    }

    /// Rows of closed windows and sessions that this process has committed, corrections included.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The runtime that serves.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits until everything that was committed before is replayed, or it is told to end.
    pub(crate) fn wait_until_ready(&self) {
        let is_live = || self.running().is_none_or(|running| running.status().progress().live());
        while !self.stop.is_cancelled() && !self.is_over() && !is_live() {
            self.pause(Duration::from_millis(10));
        }
    }

    /// Serves until it is told to end, or the engine or a sink has ended by itself.
    pub(crate) fn wait(&self) {
        while !self.stop.is_cancelled() && !self.is_over() {
            self.pause(LOOK_EVERY);
        }
    }

    /// Removes from the log what nobody needs, when that is due or the log becomes nearly full. What fails is
    /// tried again later.
    fn tidy_if_due(&self) {
        // Kafka removes what is old by itself.
        let Some(log) = self.log.as_ref().and_then(Log::embedded) else { return };
        let watch = log.watch();
        let becomes_full = !self.is_full_told.get() && is_nearly_full(watch.fill());
        if !becomes_full && self.tidied.get().elapsed() < TIDY_EVERY {
            return;
        }
        let events_from = self.status().progress().snapshots.events_from;
        match tidy(log, &self.config, events_from, true) {
            // It stays due: the next look goes on.
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "retention has to wait"),
        }
        self.tidied.set(Instant::now());
        let fill = watch.fill();
        let is_full = is_nearly_full(fill);
        if !self.is_full_told.replace(is_full) && is_full {
            tracing::warn!(
                used_bytes = fill.used_bytes,
                limit_bytes = fill.total_bytes_max,
                "the log is more than 7/8 full and all of it is still needed: it takes no events once it is full; \
                 raise log.total_bytes_max"
            );
        }
    }

    /// Whether the engine or a sink has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.pipeline.is_over()
    }

    /// Rests, but not when it is told to end. What has to be done now and then is done first.
    pub(crate) fn pause(&self, rest: Duration) {
        self.tidy_if_due();
        let stopped = self.stop.cancelled();
        self.runtime.block_on(async {
            // Both outcomes mean to look again.
            let _ = tokio::time::timeout(rest, stopped).await;
        });
    }

    /// Ends it in order, within the deadline, and says where every event went. The process is expected to end
    /// with it: one that is still there a little after the deadline is ended.
    pub(crate) fn shut_down(self) -> Result<Option<Ledger>, CommandError> {
        let Self { runtime, stop, log, pipeline, mut servers, ending, .. } = self;
        stop.cancel();
        ending.begin(Step::Intake);
        runtime.block_on(servers.stop_intake(ending.left(Step::Intake)));
        ending.begin(Step::Reading);
        let reading = ending.left(Step::Reading);
        let committing = ending.left(Step::Committing).saturating_sub(reading);
        let run = pipeline.drain(DrainLimits { reading, committing });
        ending.begin(Step::Storing);
        let drained = run.finish_by(ending.end_of(Step::Storing));
        ending.begin(Step::Answers);
        runtime.block_on(servers.stop(ending.left(Step::Answers)));
        ending.begin(Step::Closing);
        drop(log);
        // A peer that is slow to read its last answer must not hold up the end.
        runtime.shutdown_timeout(ending.left(Step::Closing));
        // Process 0 knows what became of every event; the others do not.
        drained.map(|progress| progress.filter(|it| it.process.number == 0).map(|progress| progress.ledger))
    }
}

/// Whether it is time to raise the limit; from here on retention wants room, too.
fn is_nearly_full(fill: Fill) -> bool {
    fill.used_bytes > fill.total_bytes_max / 8 * 7
}

/// What each listener shows on `/metrics`.
#[derive(Default)]
struct Registries {
    ingest: Registry,
    api: Registry,
    dataflow: Registry,
    sinks: Registry,
}

impl Registries {
    /// Adds to each what every process says of itself.
    fn with_process(mut self) -> Self {
        for registry in [&mut self.ingest, &mut self.api, &mut self.dataflow, &mut self.sinks] {
            process::register(registry);
        }
        self
    }
}

/// Opens the data directory. A directory that has more partitions than are configured keeps them: their
/// number is for where it is created.
fn open(config: &Config) -> Result<Log, CommandError> {
    if is_on_kafka(config) {
        return open_kafka(config);
    }
    let wanted = u32::try_from(config.topic_partitions).unwrap_or(u32::MAX);
    // Whatever is wrong with the directory, opening it says so.
    let there = EmbeddedLog::partitions_of(&config.data_dir).ok().flatten();
    let log = open_log(config, there.map_or(wanted, |there| there.max(wanted)))?;
    let unfinished = log.unfinished_import().map_err(|error| CommandError::new(Exit::Failure, error))?;
    if unfinished.is_some() {
        let dir = Path::new(&config.data_dir).display();
        let text = format!(
            "an import into {dir} was interrupted, and could not go on once other events are in: run its command \
             again until it is finished, or use another data directory"
        );
        return Err(CommandError::new(Exit::Refused, text));
    }
    Ok(log.into())
}

/// Runs the roles of a process until it is told to end. It does so whether or not anybody reads what it says.
pub(crate) fn run(
    config: &Config,
    roles: Roles,
    accept: Accept,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let began = Instant::now();
    let service = Service::start(config, roles, accept, CancellationToken::new())?;
    let mut out = Audience::new(out);
    for line in service.addresses().lines() {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    service.wait_until_ready();
    if !service.is_over() {
        writeln!(out, "ready after {:.1} s", began.elapsed().as_secs_f64())?;
        out.flush()?;
    }
    service.wait();
    let Some(ledger) = service.shut_down()? else { return Ok(Exit::Done) };
    if ledger.jobs.is_empty() {
        writeln!(out, "no event was committed yet")?;
    } else {
        write!(out, "{}", ledger_table(&ledger))?;
    }
    Ok(if ledger.adds_up() { Exit::Done } else { Exit::Failure })
}
