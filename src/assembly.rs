//! The whole pipeline on one machine: the embedded log, the runner, and the sink of the metric store.

mod sink_thread;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_log::Journal as _;
use tidegate_log::embedded::{self, EmbeddedJournal, EmbeddedLog};
use tidegate_log::journal::JournalError;
use tidegate_model::Schema;
use tidegate_runner::clock::SystemClock;
use tidegate_runner::status::Progress;
use tidegate_runner::{
    Clock, Entropy, Parts, Recovery, RunError, RunnerConfig, Running, Script, Topics, recover, start,
};
use tidegate_sinks::{METRICS_FILE, OpenError, SqliteStore};

use crate::config::Config;
use crate::exit::{CommandError, Exit};
use sink_thread::SinkThread;

/// Opens the data directory for writing; it is to have so many partitions.
pub(crate) fn open_log(config: &Config, partitions: u32) -> Result<EmbeddedLog, CommandError> {
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let defaults = embedded::Options::default();
    let options = embedded::Options {
        partitions,
        queue_bytes_max: bytes(config.log_queue_bytes_max).max(defaults.append_bytes_max),
        batch_bytes_max: bytes(config.log_batch_bytes_max),
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

/// Takes the journal over and says what a run starts from.
pub(crate) fn recover_from(log: &EmbeddedLog, jobs: JobSettings) -> Result<Recovered, CommandError> {
    let mut journal = log.journal();
    let recovered = journal.recover().map_err(|error| run_error(error.into()))?;
    let recovery = recover(recovered, &jobs, &mut log.reader(), &SystemClock, &mut SystemEntropy);
    Ok(Recovered { journal, jobs, recovery: recovery.map_err(run_error)? })
}

/// A journal that was taken over, and what it said.
pub(crate) struct Recovered {
    journal: EmbeddedJournal,
    jobs: JobSettings,
    pub(crate) recovery: Recovery,
}

/// A pipeline under way.
pub(crate) struct Pipeline {
    pub(crate) running: Running,
    sink: SinkThread,
}

impl Pipeline {
    /// Starts the runner and the sink on an open log.
    pub(crate) fn start(
        log: &EmbeddedLog,
        config: &Config,
        time: TimeSettings,
        recovered: Recovered,
        script: Script,
    ) -> Result<Self, CommandError> {
        let failure =
            |error: Box<dyn std::error::Error + Send + Sync>| CommandError::new(Exit::Failure, error);
        let store = SqliteStore::open(&Path::new(&config.data_dir).join(METRICS_FILE)).map_err(|error| {
            let newer = matches!(error, OpenError::NewerFormat { .. });
            CommandError::new(if newer { Exit::Refused } else { Exit::Failure }, error)
        })?;
        let reader = log.row_reader().map_err(|error| failure(error.into()))?;
        let sink = SinkThread::start(reader, store, sink_config(config), Arc::new(SystemClock))?;
        let parts = Parts {
            config: RunnerConfig {
                workers: config.worker_threads(),
                jobs: recovered.jobs,
                time,
                tick_ms: config.tick_ms,
                epoch_timeout_ms: config.epoch_timeout_ms,
                in_flight_bytes_max: usize::try_from(config.in_flight_bytes_max).unwrap_or(usize::MAX),
                provisional_rows_max: usize::try_from(config.provisional_rows_max).unwrap_or(usize::MAX),
                topics: topics(config),
                ..RunnerConfig::default()
            },
            recovery: recovered.recovery,
            journal: recovered.journal,
            open_reader: || log.reader(),
            script,
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
            observer: Box::new(()),
        };
        let running = start(parts).map_err(run_error)?;
        Ok(Self { running, sink })
    }

    /// Waits until everything that was read is committed, and everything committed is in the tables.
    pub(crate) fn finish(self) -> Result<Progress, CommandError> {
        let ran = self.running.join().map_err(run_error);
        let stored = self.sink.finish();
        ran.and_then(|progress| stored.map(|()| progress))
    }
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

/// Removes from the log what neither recovery nor the metric store needs, as far as age and size want it
/// gone. Without snapshots recovery needs every event.
pub(crate) fn tidy(log: &EmbeddedLog, config: &Config) -> Result<(), CommandError> {
    let store = sink_config(config);
    let stored = embedded::NeededRows { sinks: vec![store.name], keep_ms: None };
    let stored = store.topics.iter().map(|topic| (topic.name.to_string(), stored.clone()));
    // Nobody reads provisional rows here.
    let live = embedded::NeededRows { sinks: Vec::new(), keep_ms: Some(0) };
    let rows = stored.chain([(config.topic_live_metrics.clone(), live)]).collect();
    let needed = embedded::Needed { events_from: BTreeMap::new(), rows };
    let retained = log.retain(&needed).map_err(|error| CommandError::new(Exit::Failure, error))?;
    if retained != embedded::Retained::default() {
        tracing::info!(rows = retained.rows, segments = retained.segments, "retention removed");
    }
    Ok(())
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
fn topic_of<'a>(config: &'a Config, table: &'a str) -> &'a str {
    match table {
        "event_metrics" => &config.topic_event_metrics,
        "session_metrics" => &config.topic_session_metrics,
        "performance_metrics" => &config.topic_performance_metrics,
        "session_window_metrics" => &config.topic_session_window_metrics,
        other => other,
    }
}

fn sink_config(config: &Config) -> tidegate_sinks::Config {
    let defaults = tidegate_sinks::Config {
        rows_per_topic_max: usize::try_from(config.store_batch_rows).unwrap_or(usize::MAX),
        retention_ms: config.store_retention_ms,
        ..tidegate_sinks::Config::default()
    };
    let tables = Schema::ALL.into_iter().map(|schema| schema.table);
    let with_topics = tables.fold(defaults, |sink, table| sink.with_topic(table, topic_of(config, table)));
    with_topics.with_topic("dropped_events", &config.topic_dropped_events)
}

/// The exit code of an error of the runner's.
pub(crate) fn run_error(error: RunError) -> CommandError {
    let exit = match &error {
        RunError::DefinitionChanged { .. }
        | RunError::EventsMissing { .. }
        | RunError::Journal(JournalError::NewerFormat { .. }) => Exit::Refused,
        RunError::Commit { error: tidegate_log::CommitError::Fenced { .. }, .. } => Exit::Fenced,
        _ => Exit::Failure,
    };
    CommandError::new(exit, error)
}
