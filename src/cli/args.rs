//! The arguments of every command, and the settings that flags stand for.

mod doctor;
mod explain;
mod http;
mod migrate;
mod replay;
mod roles;
mod topics;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Flag;
use crate::demo;
use crate::load::Rate;
use crate::load::traffic::USERS_MAX;
pub use doctor::DoctorArgs;
pub use explain::ExplainArgs;
pub use http::{HealthcheckArgs, LoadArgs};
pub use migrate::{MigrateClickhouseArgs, MigrateCommand};
pub use replay::ReplayArgs;
pub use roles::{CacheApiArgs, DataflowArgs, IngestArgs, OneSink, SinkArgs};
pub use topics::{TopicsArgs, TopicsCommand};

const AFTER_LONG_IMPORT: &str = "\
Examples:
  tidegate import /var/log/nginx/access.log*           every rotated file, oldest first, gzip or not
  tidegate import --check access.log                   only say which lines are malformed
  tidegate import --pages-only --base-url https://shop.example access.log
  zstd -dc events.jsonl.zst | tidegate import -        JSON Lines, one event per line
  tidegate import --url http://127.0.0.1:8000 access.log   into a running instance

A line of an access log is a page_view of the user named by its remote address; its session is named by the \
address and a hash of the user agent. --pages-only leaves out style sheets, scripts, images, fonts, sound and film.

With --url, each event is sent to a running instance as a request. Time there follows the instance's clock and what \
others send, not these lines: what is older than the frontier that the instance has reached is expired, and counted as \
such in its ledger. Use it for what has just happened; history belongs into a data directory of its own, without --url. \
An instance that says when to come again (503 with Retry-After) is asked again. When no answer comes, the event may have \
been counted: the import ends and says from which line to go on.";

const AFTER_DEMO: &str = "\
Windows of 5 and 10 seconds, sessions that end after 10 seconds of silence, events up to 2 seconds out of order; \
some devices were offline and send later still, which corrects rows that were already written. Ctrl-C stops the \
traffic, drains, commits and prints the ledger.";

const AFTER_UP: &str = "\
Examples:
  tidegate up --data-dir /var/lib/tidegate
  tidegate up --ingest-listen 0.0.0.0:8000 --set ingest.cors_origins=https://shop.example

SIGINT or SIGTERM stops the intake, drains, commits and ends with 0, within `shutdown_deadline`; a process that is stuck ends with 7 \
a little later, and a second signal ends it at once.";

const AFTER_QUERY: &str = "\
Examples:
  tidegate query \"SELECT * FROM event_metrics ORDER BY window_start DESC LIMIT 10\"
  tidegate query \"SELECT device_category, count(*) FROM session_metrics GROUP BY 1\" --format csv";

const AFTER_CONFIG: &str = "\
Examples:
  tidegate config                                      every value, and where it came from
  tidegate config --format toml > tidegate.toml        the same as a file
  FLINK_PARALLELISM=4 tidegate config --set jobs.session_gap=10m";

/// A real-time event-analytics pipeline in one binary.
///
/// Events go in; event, session and performance windows come out, exactly once and in event time, and are
/// there to be queried. This program needs nothing else installed.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// The configuration file; by default ./tidegate.toml if it exists
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Sets any setting, over file and environment; `tidegate config` lists them
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,

    /// How much is logged: error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows the whole pipeline at work, with traffic of its own, in a directory that goes away again
    #[command(after_help = AFTER_DEMO)]
    Demo(DemoArgs),
    /// Runs the whole pipeline in this process: events in over HTTP, windows out over HTTP and SQL
    #[command(after_help = AFTER_UP)]
    Up(UpArgs),
    /// Takes events in over HTTP, into Kafka
    #[command(after_help = roles::AFTER_ROLES)]
    Ingest(IngestArgs),
    /// Turns the events in Kafka into rows in Kafka
    #[command(after_help = roles::AFTER_ROLES)]
    Dataflow(DataflowArgs),
    /// Puts the rows in Kafka into the metric store, and into Redis
    #[command(after_help = roles::AFTER_ROLES)]
    Sink(SinkArgs),
    /// Answers from the newest windows over HTTP: those in Redis, or those of Kafka's rows that it keeps itself
    #[command(after_help = roles::AFTER_ROLES)]
    CacheApi(CacheApiArgs),
    /// Looks at the deployment's topics in Kafka, or creates those that are missing
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Changes what an old stack left behind so that it can be gone on with
    #[command(subcommand, after_help = migrate::AFTER_MIGRATE)]
    Migrate(MigrateCommand),
    /// Looks at every server that the configuration names, and says what is wrong and what to do
    #[command(after_help = doctor::AFTER_DOCTOR)]
    Doctor(DoctorArgs),
    /// Turns access logs or JSON Lines into windows and sessions, by event time
    #[command(after_long_help = AFTER_LONG_IMPORT)]
    Import(ImportArgs),
    /// Runs read-only SQL on the metric tables, also while another process writes
    #[command(after_help = AFTER_QUERY)]
    Query(QueryArgs),
    /// Shows where every event went, job by job
    Ledger(LedgerArgs),
    /// Tells why a row says what it says, or why it is not there yet, also while another process writes
    #[command(after_help = explain::AFTER_EXPLAIN)]
    Explain(ExplainArgs),
    /// Computes committed epochs once more and compares their rows, also while another process writes
    #[command(after_help = replay::AFTER_REPLAY)]
    Replay(ReplayArgs),
    /// Sends synthetic events to a running instance, at a rate that no answer can delay
    #[command(after_long_help = http::AFTER_LOAD)]
    Load(LoadArgs),
    /// Asks a running instance whether it is ready: ends with 0 or 1
    Healthcheck(HealthcheckArgs),
    /// Shows the effective configuration, and where each value came from
    #[command(after_help = AFTER_CONFIG)]
    Config(ConfigArgs),
    /// Prints a completion script for a shell
    Completions(CompletionsArgs),
}

/// Where the service listens.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the fields are the flags")]
pub struct Listen {
    /// Where events come in: a port, or an address and a port; 0 takes any free port [default: 8000]
    #[arg(long, value_name = "ADDRESS")]
    ingest_listen: Option<String>,

    /// Where the cache is read [default: 8080]
    #[arg(long, value_name = "ADDRESS")]
    api_listen: Option<String>,

    /// Where the dataflow says how it is [default: 8081]
    #[arg(long, value_name = "ADDRESS")]
    dataflow_listen: Option<String>,

    /// The dataflow's Prometheus metrics [default: 9249]
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<String>,

    /// The sinks' Prometheus metrics and health [default: 8001]
    #[arg(long, value_name = "ADDRESS")]
    sink_listen: Option<String>,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Events a second, or max
    #[arg(long, default_value = "500", value_name = "EVENTS")]
    pub rate: Rate,

    /// Users that there are
    #[arg(long, default_value_t = 2_000, value_name = "USERS", value_parser = clap::value_parser!(u32).range(1..=i64::from(USERS_MAX)))]
    pub users: u32,

    /// What the traffic is made from: the same seed gives the same events
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,

    /// End by itself after so long, such as 30s; without it, on Ctrl-C
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<String>,

    #[command(flatten)]
    listen: Listen,

    /// Worker threads; the rows do not depend on it [default: 2]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
}

/// Arguments of `up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    data_dir: DataDir,

    #[command(flatten)]
    listen: Listen,

    /// Worker threads; the rows do not depend on it [default: 2]
    #[arg(long, value_name = "N")]
    workers: Option<String>,

    /// Which log is used: the one in the data directory, or Kafka: kafka://host:port [default: embedded]
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// Have jobs begin anew whose settings changed since the data directory was written: what they had open is given
    /// up, their old rows stay, and their first window is the first one after everything read so far
    #[arg(long)]
    pub accept_changed_jobs: bool,

    /// Go on although events, snapshots or the journal are gone that a start needs: every job begins anew, with the
    /// first whole window after everything read so far; what was open is given up, and old rows stay
    #[arg(long)]
    pub accept_gap: bool,
}

/// Where everything lies.
#[derive(Debug, Args)]
pub struct DataDir {
    /// Where the log, the journal and the metric store lie [default: tidegate-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Files, plain or gzip, in any order; `-` alone is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    data_dir: DataDir,

    /// How far lines may be out of order; what comes later is expired [default: 10m]
    #[arg(long, value_name = "DURATION")]
    max_disorder: Option<String>,

    /// End at the first malformed line, with exit code 5
    #[arg(long)]
    strict: bool,

    /// Leave out the static files of an access log
    #[arg(long)]
    pages_only: bool,

    #[arg(
        long,
        value_name = "URL",
        help = "What an access log's paths are put behind [default: http://localhost]"
    )]
    base_url: Option<String>,

    /// What the lines are: auto, json, access-log [default: auto]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,

    /// Worker threads; the rows do not depend on it [default: 2]
    #[arg(long, value_name = "N")]
    workers: Option<String>,

    /// Only read: report on the lines and write nothing
    #[arg(long)]
    pub check: bool,

    /// Send the events to the running instance at this URL, instead of into a data directory
    #[arg(long, value_name = "URL", conflicts_with_all = ["data_dir", "max_disorder", "workers", "check"])]
    pub url: Option<String>,

    /// With --url: requests under way at once
    #[arg(long, value_name = "N", default_value_t = 32, requires = "url",
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub connections: u16,

    /// With --url: how long a request may take
    #[arg(long, value_name = "DURATION", default_value = "10s", requires = "url", value_parser = duration)]
    pub timeout: Duration,
}

/// Arguments of `query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The statement
    pub sql: String,

    #[command(flatten)]
    data_dir: DataDir,

    /// How the rows are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: RowsFormat,
}

/// Arguments of `ledger`.
#[derive(Debug, Args)]
pub struct LedgerArgs {
    #[command(flatten)]
    data_dir: DataDir,

    /// The log whose ledger it is, where it is not the one in the data directory: kafka://host:port
    #[arg(long, value_name = "URL")]
    log: Option<String>,

    /// How the ledger is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// How the configuration is printed; `markdown` and `example` are the pages in docs/
    #[arg(long, value_enum, default_value_t)]
    pub format: ConfigFormat,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum RowsFormat {
    /// Columns for people
    #[default]
    Table,
    /// An object on each line
    Json,
    /// Comma-separated, with a header
    Csv,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Columns for people
    #[default]
    Table,
    /// One object
    Json,
}

/// How the configuration is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConfigFormat {
    /// Columns for people
    #[default]
    Table,
    /// An array of objects
    Json,
    /// A tidegate.toml that says the same
    Toml,
    /// The page docs/configuration.md
    Markdown,
    /// The file docs/tidegate.example.toml
    Example,
}

impl Cli {
    /// The settings that were given as flags. The dedicated ones come last and so override `--set`.
    pub fn flags(&self) -> Vec<Flag> {
        let mut flags = Flags(Vec::new());
        if let Command::Demo(_) = &self.command {
            for (key, value) in demo::SETTINGS {
                flags.add("demo", key, Some(&value.to_owned()));
            }
        }
        for (key, value) in &self.set {
            flags.0.push(Flag { name: "--set".to_owned(), key: key.clone(), value: value.clone() });
        }
        flags.add("--log-level", "log_level", self.log_level.as_ref());
        match &self.command {
            Command::Demo(args) => {
                args.listen.add_to(&mut flags);
                flags.add("--workers", "workers", args.workers.as_ref());
            }
            Command::Up(args) => {
                flags.add("--log", "log.url", args.log.as_ref());
                args.data_dir.add_to(&mut flags);
                args.listen.add_to(&mut flags);
                flags.add("--workers", "workers", args.workers.as_ref());
            }
            Command::Ingest(args) => args.add_to(&mut flags),
            Command::Dataflow(args) => args.add_to(&mut flags),
            Command::Sink(args) => args.add_to(&mut flags),
            Command::CacheApi(args) => args.add_to(&mut flags),
            Command::Topics(command) => command.args().add_to(&mut flags),
            Command::Doctor(args) => args.add_to(&mut flags),
            Command::Import(args) => args.add_to(&mut flags),
            Command::Query(args) => args.data_dir.add_to(&mut flags),
            Command::Ledger(args) => {
                flags.add("--log", "log.url", args.log.as_ref());
                args.data_dir.add_to(&mut flags);
            }
            Command::Explain(args) => args.data_dir.add_to(&mut flags),
            Command::Replay(args) => {
                args.data_dir.add_to(&mut flags);
                flags.add("--workers", "workers", args.workers.as_ref());
            }
            Command::Config(_)
            | Command::Completions(_)
            | Command::Load(_)
            | Command::Migrate(_)
            | Command::Healthcheck(_) => {}
        }
        flags.0
    }
}

struct Flags(Vec<Flag>);

impl Flags {
    fn add(&mut self, name: &str, key: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.0.push(Flag { name: name.to_owned(), key: key.to_owned(), value: value.clone() });
        }
    }

    /// A server, as `HOST` or `HOST:PORT`; an address with colons of its own stands in brackets.
    fn add_server(&mut self, name: &str, section: &str, server: Option<&String>) {
        let Some(server) = server else { return };
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.to_owned())),
            _ => (server.as_str(), None),
        };
        self.add(name, &format!("{section}.host"), Some(&host.to_owned()));
        self.add(name, &format!("{section}.port"), port.as_ref());
    }

    fn add_switch(&mut self, name: &str, key: &str, is_on: bool) {
        self.add(name, key, is_on.then(|| "true".to_owned()).as_ref());
    }
}

impl Listen {
    fn add_to(&self, flags: &mut Flags) {
        flags.add("--ingest-listen", "ingest.listen", self.ingest_listen.as_ref());
        flags.add("--api-listen", "api.listen", self.api_listen.as_ref());
        flags.add("--dataflow-listen", "dataflow.listen", self.dataflow_listen.as_ref());
        flags.add("--metrics-listen", "dataflow.metrics_listen", self.metrics_listen.as_ref());
        flags.add("--sink-listen", "sink.listen", self.sink_listen.as_ref());
    }
}

impl DataDir {
    fn add_to(&self, flags: &mut Flags) {
        flags.add("--data-dir", "data_dir", self.data_dir.as_ref());
    }
}

impl ImportArgs {
    fn add_to(&self, flags: &mut Flags) {
        self.data_dir.add_to(flags);
        flags.add("--max-disorder", "import.max_disorder", self.max_disorder.as_ref());
        flags.add("--base-url", "import.base_url", self.base_url.as_ref());
        flags.add("--format", "import.format", self.format.as_ref());
        flags.add("--workers", "workers", self.workers.as_ref());
        flags.add_switch("--strict", "import.strict", self.strict);
        flags.add_switch("--pages-only", "import.pages_only", self.pages_only);
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as jobs.session_gap=10m".to_owned()),
    }
}

/// A duration that is no setting, such as `30s`; longer than nothing.
fn duration(text: &str) -> Result<Duration, String> {
    let ms = crate::config::parse_span(text).and_then(|ms| u64::try_from(ms).ok());
    let found = ms.filter(|ms| *ms > 0).map(Duration::from_millis);
    found.ok_or_else(|| "expected a duration with a unit, such as 500ms, 30s or 1h30m".to_owned())
}
