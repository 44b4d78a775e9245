//! The whole pipeline on one machine: the embedded log, the runner, and the sink of the metric store.

mod any_log;
mod cache;
mod clickhouse;
mod dataflow;
#[cfg(feature = "kafka")]
mod kafka;
mod sink_thread;
mod watched;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_log::embedded::{self, EmbeddedLog};
use tidegate_log::journal::JournalError;
use tidegate_model::{Offset, PartitionId, Schema};
use tidegate_runner::clock::SystemClock;
use tidegate_runner::run::DrainLimits;
use tidegate_runner::status::Progress;
use tidegate_runner::{
    Clock, Entropy, OtherParts, Parts, Remedy, RunError, RunnerConfig, Running, Script, SnapshotLimits,
    Topics, start, start_first, start_other,
};
use tidegate_sinks::{METRICS_FILE, NoSeed, OpenError, SeedSource, Sink, SqliteSeed, SqliteStore, Table};

use crate::config::{Config, size};
use crate::exit::{CommandError, Exit};
use crate::service::SinkMetrics;
#[cfg(not(feature = "kafka"))]
pub(crate) use any_log::without_kafka;
pub(crate) use any_log::{Appender, Log, is_on_kafka, open_kafka};
pub(crate) use cache::Cache;
#[cfg(feature = "clickhouse")]
pub(crate) use clickhouse::clickhouse_config;
#[cfg(not(feature = "clickhouse"))]
pub(crate) use clickhouse::without_clickhouse;
use dataflow::Other;
pub(crate) use dataflow::{Dataflow, Recovered, recover_from};
#[cfg(feature = "kafka")]
pub(crate) use kafka::{kafka_error, kafka_options};
use sink_thread::SinkThread;
use watched::StoreSteps;
pub(crate) use watched::{WatchedCache, Watchers};

/// Opens the data directory for writing; it is to have so many partitions.
pub(crate) fn open_log(config: &Config, partitions: u32) -> Result<EmbeddedLog, CommandError> {
    let defaults = embedded::Options::default();
    let options = embedded::Options {
        partitions,
        queue_bytes_max: size(config.log_queue_bytes_max).max(defaults.append_bytes_max),
        batch_bytes_max: size(config.log_batch_bytes_max),
        segment_bytes_max: config.log_segment_bytes_max,
        total_bytes_max: config.log_total_bytes_max,
        retention_ms: config.log_retention_ms,
        ..defaults
    };
    EmbeddedLog::open(Path::new(&config.data_dir), options).map_err(|error| {
        let exit = match &error {
            embedded::OpenError::Locked { .. } => Exit::InUse,
            embedded::OpenError::FewerPartitions { .. }
            | embedded::OpenError::NewerFormat { .. }
            | embedded::OpenError::Journal(JournalError::NewerFormat { .. }) => Exit::Refused,
            embedded::OpenError::Setting { .. } => Exit::Usage,
            _ => Exit::Failure,
        };
        CommandError::new(exit, error)
    })
}

/// The folder of snapshots in the data directory.
pub(crate) const SNAPSHOTS: &str = "snapshots";

/// A pipeline under way.
pub(crate) struct Pipeline {
    running: Option<Running>,
    sinks: Vec<SinkThread>,
}

impl Pipeline {
    /// Starts the engine and the sinks on an open log.
    pub(crate) fn start(
        log: &Log,
        config: &Config,
        time: TimeSettings,
        dataflow: Dataflow,
        script: Script,
        watchers: Watchers,
    ) -> Result<Self, CommandError> {
        let Watchers { observer, is_stored, accepts_gap, store, cache } = watchers;
        let accept_gap = accepts_gap;
        let stored = is_stored.then(|| tidegate_sinks::Config { accept_gap, ..sink_config(config) });
        let sinks = start_sinks(log, config, stored, store, cache)?;
        let clock = Arc::new(SystemClock) as Arc<dyn Clock>;
        let open_reader = || log.reader();
        let running = match dataflow {
            Dataflow::None => return Ok(Self { running: None, sinks }),
            Dataflow::First(recovered, cluster) => {
                let Recovered { journal, jobs, snapshots, recovery } = *recovered;
                let (config, snapshots) = (runner_config(config, jobs, time), Some(snapshots as _));
                let parts =
                    Parts { config, recovery, journal, open_reader, script, clock, snapshots, observer };
                match cluster {
                    None => start(parts),
                    Some(cluster) => start_first(parts, *cluster),
                }
            }
            Dataflow::Other(other) => {
                let Other { cluster, plan, jobs, snapshots } = *other;
                let config = runner_config(config, jobs, time);
                start_other(OtherParts { config, plan, open_reader, clock, snapshots }, cluster)
            }
        };
        Ok(Self { running: Some(running.map_err(run_error)?), sinks })
    }

    /// Nothing: the process only answers.
    pub(crate) fn none() -> Self {
        Self { running: None, sinks: Vec::new() }
    }

    /// The run of the dataflow, where this process has it.
    pub(crate) fn running(&self) -> Option<&Running> {
        self.running.as_ref()
    }

    /// Whether the run or a sink has ended by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.running().is_some_and(Running::is_over) || self.sinks.iter().any(SinkThread::is_over)
    }

    /// Waits until everything that was read is committed, and everything committed is in the tables.
    pub(crate) fn finish(self) -> Result<Option<Progress>, CommandError> {
        let ran = self.running.map(Running::join).transpose().map_err(run_error);
        Drained { ran, sinks: self.sinks }.finish(None)
    }

    /// Ends the run in order, within `limits`; the intake must have been stopped.
    pub(crate) fn drain(self, limits: DrainLimits) -> Drained {
        let drain = |running: Running| running.drain(limits).map(|drained| drained.progress);
        let ran = self.running.map(drain).transpose().map_err(run_error);
        Drained { ran, sinks: self.sinks }
    }
}

fn runner_config(config: &Config, jobs: JobSettings, time: TimeSettings) -> RunnerConfig {
    RunnerConfig {
        workers: config.worker_threads(),
        jobs,
        time,
        tick_ms: config.tick_ms,
        epoch_timeout_ms: config.epoch_timeout_ms,
        in_flight_bytes_max: size(config.in_flight_bytes_max),
        provisional_rows_max: size(config.provisional_rows_max),
        snapshots: SnapshotLimits {
            records: config.snapshot_records,
            every_ms: config.snapshot_every_ms,
            history_epochs: (config.snapshot_history_ms / config.tick_ms.max(1)).unsigned_abs(),
            ..SnapshotLimits::default()
        },
        topics: topics(config),
        ..RunnerConfig::default()
    }
}

/// A pipeline whose run is over. Its sinks still store what was committed.
pub(crate) struct Drained {
    ran: Result<Option<Progress>, CommandError>,
    sinks: Vec<SinkThread>,
}

impl Drained {
    /// Waits until everything committed is in the tables, or `until` has come: what is not stored by then is
    /// stored by the next start.
    pub(crate) fn finish_by(self, until: Instant) -> Result<Option<Progress>, CommandError> {
        self.finish(Some(until))
    }

    /// Waits for every sink, whatever became of the run; its failure is what is told first.
    fn finish(self, until: Option<Instant>) -> Result<Option<Progress>, CommandError> {
        self.sinks.iter().for_each(|sink| sink.begin_finish(until));
        let mut stored = Ok(());
        for sink in self.sinks {
            stored = stored.and(sink.join());
        }
        self.ran.and_then(|progress| stored.map(|()| progress))
    }
}

fn start_sinks(
    log: &Log,
    config: &Config,
    stored: Option<tidegate_sinks::Config>,
    metrics: Option<SinkMetrics>,
    cache: Option<WatchedCache>,
) -> Result<Vec<SinkThread>, CommandError> {
    let path = Path::new(&config.data_dir).join(METRICS_FILE);
    let mut threads = Vec::new();
    let is_in_file = stored.is_some() && !clickhouse::is_used(config);
    match stored {
        None => {}
        Some(own) if !is_in_file => threads.push(clickhouse::start(log, config, own, metrics)?),
        Some(own) => {
            std::fs::create_dir_all(&config.data_dir)?;
            // The file is there before the cache begins from it.
            let store = SqliteStore::open(&path).map_err(|error| {
                let newer = matches!(error, OpenError::NewerFormat { .. });
                CommandError::new(if newer { Exit::Refused } else { Exit::Failure }, error)
            })?;
            let sink = Sink::new(log.row_reader()?, store, own);
            let steps = StoreSteps { sink, metrics, gathers: Duration::ZERO, rows_max: 0, is_behind: true };
            threads.push(SinkThread::start(steps, Arc::new(SystemClock))?);
        }
    }
    if let Some(watched) = cache {
        let seed: Box<dyn SeedSource> =
            if is_in_file { Box::new(SqliteSeed::new(&path)) } else { Box::new(NoSeed) };
        threads.push(cache::start(log, config, watched, seed)?);
    }
    Ok(threads)
}

/// Has a panic on one of the pipeline's own threads end the process at once: the others would wait for it
/// for ever, and a restart recovers. Other threads unwind as usual.
pub(crate) fn abort_on_worker_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        let thread = std::thread::current();
        if thread.name().is_some_and(|name| OWN_THREADS.iter().any(|own| name.starts_with(own))) {
            std::process::abort();
        }
    }));
}

/// How the names of timely's threads begin, and of ours.
const OWN_THREADS: [&str; 2] = ["timely:", "tidegate-"];

/// Removes from the log what neither recovery nor a sink needs, as far as age and size want it gone.
/// `events_from` is where recovery reads from; of a partition that it does not name every event is needed.
/// `has_cache` says whether a cache reads rows beside the metric store. Returns whether there is more to remove.
pub(crate) fn tidy(
    log: &EmbeddedLog,
    config: &Config,
    events_from: BTreeMap<PartitionId, Offset>,
    has_cache: bool,
) -> Result<bool, CommandError> {
    let needed = embedded::Needed { events_from, rows: needed_rows(config, has_cache) };
    let retained = log.retain(&needed).map_err(|error| CommandError::new(Exit::Failure, error))?;
    if retained != embedded::Retained::default() {
        tracing::debug!(rows = retained.rows, segments = retained.segments, "retention removed");
    }
    Ok(retained.more)
}

/// Who needs the rows of each topic.
fn needed_rows(config: &Config, has_cache: bool) -> BTreeMap<String, embedded::NeededRows> {
    let (store, cache) = (sink_config(config), cache::sink_config(config));
    let mut rows: BTreeMap<String, embedded::NeededRows> = BTreeMap::new();
    // Where no store takes them, age alone decides.
    rows.entry(config.topic_dropped_events.clone()).or_default();
    for topic in &store.topics {
        rows.entry(topic.name.to_string()).or_default().sinks.push(store.name.clone());
    }
    if has_cache {
        for topic in cache.topic_names() {
            rows.entry(topic.to_string()).or_default().sinks.push(cache.name.clone());
        }
    }
    // Provisional values are over two windows after they were made: until then a cache may start with them.
    let live_ms = 2 * config.event_window_ms.max(config.performance_window_ms);
    let live = rows.entry(config.topic_live_metrics.clone()).or_default();
    live.keep_ms = Some(if has_cache { live_ms } else { 0 });
    rows
}

/// The machine's randomness.
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn secret(&mut self) -> (u64, u64) {
        (random(), random())
    }
}

/// A number that nobody can guess.
pub(crate) fn random() -> u64 {
    getrandom::u64().expect("the system gives random numbers")
}

fn topics(config: &Config) -> Topics {
    let rows = Schema::ALL.map(|schema| (schema.table.to_owned(), Arc::from(topic_of(config, schema.table))));
    Topics {
        rows: rows.into(),
        live: config.topic_live_metrics.as_str().into(),
        dropped: config.topic_dropped_events.as_str().into(),
    }
}

/// The topic of a table's rows: the configured one for the tables that the old stack had a name for.
pub(crate) fn topic_of<'a>(config: &'a Config, table: &'a str) -> &'a str {
    match table {
        "event_metrics" => &config.topic_event_metrics,
        "session_metrics" => &config.topic_session_metrics,
        "performance_metrics" => &config.topic_performance_metrics,
        "session_window_metrics" => &config.topic_session_window_metrics,
        other => other,
    }
}

/// The topics of rows, each with the table that its rows are stored in.
#[cfg(feature = "clickhouse")]
pub(crate) fn store_topics(config: &Config) -> Vec<tidegate_sinks::sink::Topic> {
    sink_config(config).topics
}

fn sink_config(config: &Config) -> tidegate_sinks::Config {
    let defaults = tidegate_sinks::Config {
        rows_per_topic_max: size(config.store_batch_rows),
        retention_ms: config.store_retention_ms,
        ..tidegate_sinks::Config::default()
    };
    let tables = Schema::ALL.into_iter().map(|schema| schema.table);
    let with_topics = tables.fold(defaults, |sink, table| sink.with_topic(table, topic_of(config, table)));
    let mut sink = with_topics.with_topic("dropped_events", &config.topic_dropped_events);
    if !config.store_dropped_events {
        sink.topics.retain(|topic| topic.table != Table::Dropped);
    }
    sink
}

/// The limits of the cache.
fn cache_config(config: &Config) -> tidegate_cache::Config {
    tidegate_cache::Config {
        windows_kept: size(config.cache_windows_kept),
        hash_ttl_ms: config.cache_hash_ttl_ms,
        ..tidegate_cache::Config::default()
    }
}

/// The exit code of an error of the runner's.
pub(crate) fn run_error(error: RunError) -> CommandError {
    let exit = match &error {
        RunError::DefinitionChanged { .. }
        | RunError::EventsMissing { .. }
        | RunError::EventsReplaced { .. }
        | RunError::JournalMissing { .. }
        | RunError::SnapshotsNotShared { .. }
        | RunError::SnapshotsUnusable {
            remedy: Remedy::Restore | Remedy::RestoreJournal | Remedy::OtherVersion,
            ..
        }
        | RunError::Journal(JournalError::NewerFormat { .. }) => Exit::Refused,
        RunError::Commit { error: tidegate_log::CommitError::Fenced { .. }, .. } => Exit::Fenced,
        RunError::EndedBy { how, .. } => dataflow::of(*how),
        RunError::Meeting(error) => dataflow::of_meeting(error),
        _ => Exit::Failure,
    };
    CommandError::new(exit, error)
}

/// The exit code of an error of a journal that is looked at.
pub(crate) fn journal_error(error: JournalError) -> CommandError {
    let newer = matches!(error, JournalError::NewerFormat { .. });
    CommandError::new(if newer { Exit::Refused } else { Exit::Failure }, error)
}

/// The exit code of an error of events that are looked at.
pub(crate) fn view_error(error: embedded::OpenError) -> CommandError {
    let newer = matches!(error, embedded::OpenError::NewerFormat { .. });
    CommandError::new(if newer { Exit::Refused } else { Exit::Failure }, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Inputs;

    #[test]
    fn dropped_events_are_stored_unless_they_are_not_wanted() {
        let mut config = Inputs::default().resolve().expect("the defaults are valid").config;
        for is_wanted in [true, false] {
            config.store_dropped_events = is_wanted;
            let topics = sink_config(&config).topics;
            assert_eq!(topics.iter().any(|topic| topic.table == Table::Dropped), is_wanted);
            assert_eq!(topics.len(), Schema::ALL.len() + usize::from(is_wanted));
            // Nobody waits for a sink that never takes them.
            let needed = needed_rows(&config, true);
            let sinks = needed["dropped_events"].sinks.len();
            assert_eq!((sinks, needed.len()), (usize::from(is_wanted), Schema::ALL.len() + 2));
        }
    }

    #[test]
    fn a_start_is_refused_where_starting_again_cannot_help() {
        for (remedy, exit) in [
            (Remedy::Again, Exit::Failure),
            (Remedy::OtherVersion, Exit::Refused),
            (Remedy::Restore, Exit::Refused),
            (Remedy::RestoreJournal, Exit::Refused),
        ] {
            let error = RunError::SnapshotsUnusable { reasons: String::new(), remedy };
            assert_eq!(run_error(error).exit, exit, "{remedy:?}");
        }
    }
}
