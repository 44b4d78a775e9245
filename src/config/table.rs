//! Every setting, declared once: key, kind with its limits, default, environment name, meaning.
//!
//! [`Config`], [`SETTINGS`] and the page docs/configuration.md are made from this table.

use std::collections::BTreeMap;

use super::environment::{Form, Variable};
use super::kind::{
    Address, AnyKind, BaseUrl, Choice, Count, FilePath, Hidden, INPUT_FORMATS, InputFormat, Kind, LOG_LEVELS,
    List, Listen, LogAt, LogLevel, Maybe, Name, OriginList, Port, Raw, SESSION_ENDS, STARTUP_MODES, Secret,
    Size, Span, StartupMode, Switch, TIME_MODES, Text, TimeMode,
};
use tidegate_dataflow::settings::SessionEnd;

/// One setting.
pub struct Setting {
    /// Its key in `tidegate.toml`, with the section: `jobs.session_gap`.
    pub key: &'static str,
    /// What it means, a line each.
    pub doc: &'static [&'static str],
    /// The default, as the file would spell it.
    pub default: &'static str,
    /// The environment name that sets it, if the old stack had one.
    pub variable: Option<Variable>,
    /// How it is read and what is allowed.
    pub kind: &'static dyn AnyKind,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Settings that belong together.
#[derive(Debug)]
pub struct Section {
    /// What they are about.
    pub title: &'static str,
    /// The settings, in the order of the documentation.
    pub settings: &'static [Setting],
}

macro_rules! settings {
    ($(
        $title:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident = $key:literal: $kind:ty { $make:expr } = $default:literal
                $(, $form:ident $name:literal)?;
            )+
        }
    )+) => {
        /// The effective configuration. Fields carry their unit; the keys of the file are in [`SETTINGS`].
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($( $(#[doc = $doc])+ pub $field: <$kind as Kind>::Value, )+)+
            /// Settings of librdkafka, by its names: `kafka.<name>`.
            pub kafka_client: BTreeMap<String, Hidden>,
        }

        /// Every setting.
        pub static SETTINGS: &[Section] = &[$(
            Section { title: $title, settings: &[$(
                Setting {
                    key: $key,
                    doc: &[$($doc.trim_ascii()),+],
                    default: $default,
                    variable: settings!(@variable $($form $name)?),
                    kind: &{ const KIND: $kind = $make; KIND },
                },
            )+] },
        )+];

        impl Config {
            /// Reads every value out of what the layers resolved to, by key.
            pub(super) fn assemble(raw_of: impl Fn(&str) -> Raw) -> Self {
                Self { $($( $field: {
                    let kind: $kind = $make;
                    kind.parse(&raw_of($key)).expect("a value is checked before it is resolved")
                }, )+)+ kafka_client: BTreeMap::new() }
            }
        }
    };
    (@variable) => { None };
    (@variable $form:ident $name:literal) => { Some(Variable { name: $name, form: Form::$form }) };
}

const DAY: i64 = 86_400_000;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// Sizes of windows and gaps: nothing shorter than a millisecond, nothing longer than a year.
const WINDOW: Span = Span { min_ms: 1, max_ms: 366 * DAY };
const TOPIC: Name = Name { max: 249 };

settings! {
    "The process" {
        /// Where the log, the journal and the metric store lie.
        data_dir = "data_dir": FilePath { FilePath } = "tidegate-data";
        /// The name of the deployment in Kafka; it owns the topic of bindings, ids and keys. Another name is
        /// another pipeline. A data directory is one deployment, whatever it is called.
        deployment = "deployment": Name { Name { max: 64 } } = "tidegate";
        /// Worker threads of the dataflow. The rows do not depend on it.
        workers = "workers": Count { Count { min: 1, max: 256, unit: "threads" } } = "2",
            Plain "FLINK_PARALLELISM";
        /// How much is logged.
        log_level = "log_level": Choice<LogLevel> { Choice(LOG_LEVELS) } = "info",
            Level "APP_LOG_LEVEL";
        /// A process that was told to end drains, commits, stores and answers for so long at most. What is left
        /// by then stays in the log, and the next start goes on with it. One that is stuck ends 2 s later.
        shutdown_deadline_ms = "shutdown_deadline": Span { Span { min_ms: 100, max_ms: DAY } } = "25s";
    }
    "Listeners" {
        /// The address that is bound where a setting names a port only.
        listen_host = "listen_host": Address { Address } = "127.0.0.1";
        /// Where events come in.
        ingest_listen = "ingest.listen": Listen { Listen } = "8000";
        /// Where the cache is read.
        api_listen = "api.listen": Listen { Listen } = "8080";
        /// Where the dataflow says how it is.
        dataflow_listen = "dataflow.listen": Listen { Listen } = "8081";
        /// The dataflow's Prometheus metrics.
        dataflow_metrics_listen = "dataflow.metrics_listen": Listen { Listen } = "9249";
        /// The sinks' Prometheus metrics and `/healthz`.
        sink_listen = "sink.listen": Listen { Listen } = "8001",
            Plain "METRICS_PORT";
        /// A second port for the sinks' `/healthz`.
        sink_health_listen = "sink.health_listen": Maybe<Listen> { Maybe(Listen) } = "unset",
            Plain "HEALTH_PORT";
    }
    "HTTP: what one peer may hold" {
        /// So long may a connection take to send the head of its next request; an idle one is closed after the
        /// same time.
        http_header_timeout_ms = "http.header_timeout": Span { Span { min_ms: 10, max_ms: DAY } } = "30s";
        /// How large the head of a request may be.
        http_header_bytes_max = "http.header_bytes_max": Size { Size { min: 1 << 10, max: MIB } } = "16KiB";
        /// Connections that a listener has open at once; further ones wait.
        http_connections_max = "http.connections_max":
            Count { Count { min: 1, max: 1_000_000, unit: "connections" } } = "10000";
        /// So long may a peer take to read the next bytes of its answer.
        http_write_timeout_ms = "http.write_timeout": Span { Span { min_ms: 10, max_ms: DAY } } = "30s";
    }
    "Events over HTTP" {
        /// How large the body of a request may be.
        ingest_body_bytes_max = "ingest.body_bytes_max": Size { Size { min: 1 << 10, max: 16 * MIB } } = "256KiB";
        /// So long may the body of a request take to arrive; it is under way meanwhile.
        ingest_body_timeout_ms = "ingest.body_timeout": Span { Span { min_ms: 10, max_ms: DAY } } = "10s";
        /// Events that are under way at once; further ones are told to come again.
        ingest_in_flight_max = "ingest.in_flight_max":
            Count { Count { min: 1, max: 1_000_000, unit: "requests" } } = "2048";
        /// When they are told to come again.
        ingest_retry_after_ms = "ingest.retry_after": Span { Span { min_ms: 1_000, max_ms: DAY } } = "1s";
        /// The origins whose pages may send events.
        ingest_cors_origins = "ingest.cors_origins": OriginList { OriginList } = "[]";
    }
    "The cache and its API" {
        /// Windows kept of each kind.
        cache_windows_kept = "cache.windows_kept": Count { Count { min: 1, max: 100_000, unit: "windows" } } = "120",
            Plain "WINDOW_RETENTION_COUNT";
        /// So long is a window kept at most after its last change.
        cache_hash_ttl_ms = "cache.hash_ttl": Span { Span { min_ms: 1_000, max_ms: 366 * DAY } } = "6h",
            Seconds "WINDOW_HASH_TTL_SECONDS";
        /// The origins whose pages may read.
        api_cors_origins = "api.cors_origins": OriginList { OriginList } = "[]";
        /// Readers of `/live` at once.
        api_live_readers_max = "api.live_readers_max":
            Count { Count { min: 1, max: 1_000_000, unit: "readers" } } = "1000";
        /// A reader of `/live` that is so many changes behind is let go.
        api_live_backlog_max = "api.live_backlog_max":
            Count { Count { min: 1, max: 1_000_000, unit: "changes" } } = "1024";
        /// Changes that are kept for readers of `/live` who come back.
        api_live_replay_max = "api.live_replay_max":
            Count { Count { min: 1, max: 1_000_000, unit: "changes" } } = "4096";
    }
    "Jobs: what decides the rows" {
        /// Size of the windows of `event_metrics`.
        event_window_ms = "jobs.event_window": Span { WINDOW } = "1m",
            Seconds "PROCESSING_METRICS_WINDOW_SIZE_SECONDS";
        /// Size of the windows of `performance_metrics`.
        performance_window_ms = "jobs.performance_window": Span { WINDOW } = "5m",
            Seconds "PROCESSING_PERFORMANCE_WINDOW_SIZE_SECONDS";
        /// Size of the windows of `session_window_metrics`.
        session_window_ms = "jobs.session_window": Span { WINDOW } = "5m";
        /// Events of a session are at most so far apart.
        session_gap_ms = "jobs.session_gap": Span { WINDOW } = "30m",
            Seconds "PROCESSING_SESSION_GAP_SECONDS";
        /// How long after its end a window or session may still be corrected.
        allowed_lateness_ms = "jobs.allowed_lateness": Span { Span { min_ms: 0, max_ms: 366 * DAY } } = "0s";
        /// The event types that `EventAggregator` counts.
        allowed_event_types = "jobs.allowed_event_types": List { List }
            = r#"["page_view","click","conversion","add_to_cart"]"#,
            Plain "PROCESSING_ALLOWED_EVENT_TYPES";
        /// What a session's `end_time` is: the time of its last event, or, as in the old stack, the end of
        /// its window, a gap later.
        session_end = "jobs.session_end": Choice<SessionEnd> { Choice(SESSION_ENDS) } = "last_event";
    }
    "Time: what moves the frontier" {
        /// Event time is the event's own timestamp; processing time is when the log received it. An import is
        /// always in event time.
        time_mode = "time.mode": Choice<TimeMode> { Choice(TIME_MODES) } = "event_time",
            AppEnvironment "APP_ENVIRONMENT";
        /// How far the frontier stays behind the largest event time. Processing time needs none: it is 0
        /// then, whatever stands here. An import has its own, `import.max_disorder`.
        watermark_bound_ms = "time.watermark_bound": Span { Span { min_ms: 0, max_ms: 30 * DAY } } = "10s",
            Seconds "FLINK_WATERMARK_DELAY_SECONDS";
        /// A partition that is read to its end and silent for so long does not hold the frontier back.
        idle_timeout_ms = "time.idle_timeout": Span { Span { min_ms: 1, max_ms: DAY } } = "5s",
            Seconds "FLINK_IDLE_TIMEOUT_SECONDS";
        /// An event time may be so far ahead of the time of its arrival; beyond it the event is dropped as
        /// `future`.
        future_tolerance_ms = "time.future_tolerance": Span { Span { min_ms: 0, max_ms: 366 * DAY } } = "1m";
        /// On a backlog no partition is read so far ahead of the frontier while others have one, too.
        lead_max_ms = "time.lead_max": Span { Span { min_ms: 1, max_ms: 30 * DAY } } = "10m";
        /// While nothing arrives, the frontier is journaled no more often than this.
        quiet_journal_ms = "time.quiet_journal": Span { Span { min_ms: 1, max_ms: DAY } } = "1s";
        /// How often an epoch ends, and with it how soon a row is visible.
        tick_ms = "time.tick": Span { Span { min_ms: 1, max_ms: 60_000 } } = "100ms";
    }
    "The engine's limits" {
        /// Bytes of events that a worker may have read and not yet committed.
        in_flight_bytes_max = "engine.in_flight_bytes_max": Size { Size { min: MIB, max: TIB } } = "64MiB";
        /// Provisional rows of open windows that an epoch may publish.
        provisional_rows_max = "engine.provisional_rows_max":
            Count { Count { min: 0, max: 1_000_000, unit: "rows" } } = "10000";
        /// An epoch that is not complete after so long ends the process.
        epoch_timeout_ms = "engine.epoch_timeout": Span { Span { min_ms: 1_000, max_ms: DAY } } = "30s";
    }
    "Several processes as one dataflow" {
        /// Where each process of the dataflow listens for the others: `host:port`, separated by commas, in the order of
        /// their numbers. The ports are private: only these processes may reach them.
        cluster_hosts = "cluster.hosts": Maybe<Text> { Maybe(Text { what: "host:port of each process, separated by commas" }) }
            = "unset";
        /// How many there are; `unset` is as many as there are hosts.
        cluster_processes = "cluster.processes": Maybe<Count> { Maybe(Count { min: 1, max: 256, unit: "processes" }) }
            = "unset";
        /// The number of this one. Process 0 decides and commits.
        cluster_process = "cluster.process": Count { Count { min: 0, max: 255, unit: "" } } = "0";
        /// A process of which nothing was heard for so long is gone, and all end with it.
        cluster_silence_ms = "cluster.silence": Span { Span { min_ms: 2_000, max_ms: 600_000 } } = "15s";
    }
    "Snapshots" {
        /// A snapshot of open windows and sessions is made after so many events, so that a start need not read
        /// them again.
        snapshot_records = "snapshot.records":
            Count { Count { min: 1, max: 1_000_000_000_000, unit: "events" } } = "1000000";
        /// And after so long, if anything was committed since the one before.
        snapshot_every_ms = "snapshot.every": Span { Span { min_ms: 100, max_ms: DAY } } = "30s";
        /// So long are bindings kept that no start needs any more, for `tidegate explain` to tell of them: some 2 kB
        /// for each tick in which something happened.
        snapshot_history_ms = "snapshot.history": Span { Span { min_ms: 0, max_ms: 30 * DAY } } = "10m";
    }
    "The log" {
        /// Which log is used: the one in the data directory, or Kafka at these brokers (`kafka://host:port,…`; without
        /// hosts those of `kafka.bootstrap_servers`).
        log_url = "log.url": LogAt { LogAt } = "embedded";
    }
    "The embedded log" {
        /// Bytes of events that may wait to be written; beyond it, appends are told to come again.
        log_queue_bytes_max = "log.queue_bytes_max": Size { Size { min: 16 * MIB, max: TIB } } = "64MiB";
        /// Bytes of events in one append, and in one fsync.
        log_batch_bytes_max = "log.batch_bytes_max": Size { Size { min: 64 << 10, max: 1 << 30 } } = "8MiB";
        /// A segment file of this size is closed and the next one begun.
        log_segment_bytes_max = "log.segment_bytes_max": Size { Size { min: MIB, max: TIB } } = "64MiB";
        /// Bytes of the whole log. When all of them are still needed, appends fail and say so.
        log_total_bytes_max = "log.total_bytes_max": Size { Size { min: MIB, max: 1 << 50 } } = "64GiB";
        /// So long are events and rows kept that neither recovery nor a sink needs any more; `unset` keeps
        /// them until `log.total_bytes_max` wants their space.
        log_retention_ms = "log.retention": Maybe<Span> { Maybe(Span { min_ms: 1_000, max_ms: 36_500 * DAY }) }
            = "unset";
    }
    "The metric store" {
        /// Rows whose window ended so long before the frontier are removed; `unset` keeps all of them.
        store_retention_ms = "store.retention":
            Maybe<Span> { Maybe(Span { min_ms: 1_000, max_ms: 36_500 * DAY }) } = "unset";
        /// An insert is sent when so many rows wait.
        store_batch_rows = "store.batch_rows": Count { Count { min: 1, max: 100_000, unit: "rows" } } = "10000",
            Plain "STORAGE_BATCH_SIZE";
        /// So long are rows gathered for one insert into ClickHouse. The embedded store takes rows as they are committed.
        store_batch_wait_ms = "store.batch_wait": Span { Span { min_ms: 1, max_ms: 60_000 } } = "1s";
        /// Store the rows of dropped events; without it they stay in their topic only.
        store_dropped_events = "store.dropped_events": Switch { Switch } = "true";
    }
    "Import" {
        /// The watermark's bound of an import: how far lines may be out of order.
        import_max_disorder_ms = "import.max_disorder": Span { Span { min_ms: 0, max_ms: 366 * DAY } } = "10m";
        /// What the lines are.
        import_format = "import.format": Choice<InputFormat> { Choice(INPUT_FORMATS) } = "auto";
        /// What an access log's paths are put behind, to make URLs.
        import_base_url = "import.base_url": BaseUrl { BaseUrl } = "http://localhost";
        /// Leave out an access log's static files: style sheets, scripts, images, fonts, films.
        import_pages_only = "import.pages_only": Switch { Switch } = "false";
        /// End at the first malformed line instead of counting it.
        import_strict = "import.strict": Switch { Switch } = "false";
        /// Malformed lines that the report quotes.
        import_malformed_shown_max = "import.malformed_shown_max":
            Count { Count { min: 0, max: 10_000, unit: "lines" } } = "10";
    }
    "Topics" {
        /// Events, in Kafka: the embedded log has only these.
        topic_events = "topics.events": Name { TOPIC } = "analytics_events",
            Plain "KAFKA_TOPIC_EVENTS";
        /// Rows of `EventAggregator`.
        topic_event_metrics = "topics.event_metrics": Name { TOPIC } = "event_metrics",
            Plain "KAFKA_TOPIC_EVENT_METRICS";
        /// Rows of `SessionTracker`.
        topic_session_metrics = "topics.session_metrics": Name { TOPIC } = "session_metrics",
            Plain "KAFKA_TOPIC_SESSION_METRICS";
        /// Rows of `PerformanceTracker`.
        topic_performance_metrics = "topics.performance_metrics": Name { TOPIC } = "performance_metrics",
            Plain "KAFKA_TOPIC_PERFORMANCE_METRICS";
        /// Rows of `SessionOverview`.
        topic_session_window_metrics = "topics.session_window_metrics": Name { TOPIC } = "session_window_metrics";
        /// Provisional rows.
        topic_live_metrics = "topics.live_metrics": Name { TOPIC } = "live_metrics";
        /// Records that no window counts.
        topic_dropped_events = "topics.dropped_events": Name { TOPIC } = "dropped_events";
        /// Partitions of the topic of events, where it is created.
        topic_partitions = "topics.partitions": Count { Count { min: 1, max: 1_024, unit: "partitions" } } = "6",
            Plain "KAFKA_TOPIC_PARTITIONS";
        /// Where a new deployment starts in a topic of Kafka's that has events already.
        startup_mode = "topics.startup_mode": Choice<StartupMode> { Choice(STARTUP_MODES) } = "earliest-offset",
            Plain "PROCESSING_KAFKA_SCAN_STARTUP_MODE";
    }
    "Kafka" {
        /// The brokers to ask first, separated by commas.
        kafka_bootstrap_servers = "kafka.bootstrap_servers": Maybe<Text> { Maybe(Text { what: "host:port, or several separated by commas" }) }
            = "unset",
            Plain "KAFKA_BOOTSTRAP_SERVERS";
        /// Partitions of a topic of rows, where it is created.
        kafka_rows_partitions = "kafka.rows_partitions": Count { Count { min: 1, max: 1_024, unit: "partitions" } } = "3";
        /// Replicas of a topic that is created; `unset` takes the brokers' default.
        kafka_replicas = "kafka.replicas": Maybe<Count> { Maybe(Count { min: 1, max: 16, unit: "replicas" }) } = "unset";
        /// How long Kafka may take for an answer.
        kafka_request_timeout_ms = "kafka.request_timeout": Span { Span { min_ms: 100, max_ms: 300_000 } } = "10s";
    }
    "ClickHouse: the metric store around Kafka" {
        /// The host. When it is set, the metric tables are there, and not in the data directory.
        clickhouse_host = "clickhouse.host": Maybe<Text> { Maybe(Text { what: "a host name" }) } = "unset",
            Plain "CLICKHOUSE_HOST";
        /// The HTTP port.
        clickhouse_port = "clickhouse.port": Port { Port } = "8123",
            ClickhousePort "CLICKHOUSE_PORT";
        /// The database.
        clickhouse_database = "clickhouse.database": Name { Name { max: 128 } } = "analytics",
            Plain "CLICKHOUSE_DB";
        /// The user.
        clickhouse_user = "clickhouse.user": Text { Text { what: "a user's name" } } = "default",
            Plain "CLICKHOUSE_USER";
        /// The password. It is never shown.
        clickhouse_password = "clickhouse.password": Secret { Secret } = "",
            Plain "CLICKHOUSE_PASSWORD";
    }
    "Redis: the cache around Kafka" {
        /// The host. When it or `redis.sentinels` is set, the cache is there: the sink fills it, and every cache-api
        /// answers from it.
        redis_host = "redis.host": Maybe<Text> { Maybe(Text { what: "a host name" }) } = "unset",
            Plain "REDIS_HOST";
        /// The port.
        redis_port = "redis.port": Port { Port } = "6379",
            Plain "REDIS_PORT";
        /// The database.
        redis_db = "redis.db": Count { Count { min: 0, max: 16_383, unit: "" } } = "0",
            Plain "REDIS_DB";
        /// The user; `unset` is the default one.
        redis_user = "redis.user": Maybe<Text> { Maybe(Text { what: "a user's name" }) } = "unset";
        /// The password. It is never shown.
        redis_password = "redis.password": Secret { Secret } = "";
        /// What every key and channel begins with: two deployments on one server need two of these.
        redis_prefix = "redis.prefix": Maybe<Text> { Maybe(Text { what: "the beginning of a key" }) } = "unset";
        /// Sentinels that know which server is the master: `host:port`, separated by commas. Host and port above mean
        /// nothing then.
        redis_sentinels = "redis.sentinels": Maybe<Text> { Maybe(Text { what: "host:port, or several separated by commas" }) }
            = "unset";
        /// What the Sentinels call the master.
        redis_sentinel_master = "redis.sentinel_master": Text { Text { what: "a master's name" } } = "mymaster";
        /// The Sentinels' own password. It is never shown.
        redis_sentinel_password = "redis.sentinel_password": Secret { Secret } = "";
        /// An answer about closed windows is held for so long at most, until the server says that a key of theirs changed
        /// (CLIENT TRACKING). 0s: the server is asked each time.
        redis_answers_held_ms = "redis.answers_held": Span { Span { min_ms: 0, max_ms: 60_000 } } = "1s";
    }
}

/// Every setting, section by section.
pub(super) fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().flat_map(|section| section.settings)
}

/// The setting of that key.
pub(super) fn find(key: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.key == key)
}
