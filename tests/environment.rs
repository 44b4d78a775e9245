//! The environment names of the old stack, on the built service: what they set happens.
//!
//! Names of servers are tested where those servers are: `tests/kafka`. Of what no server of the tests asks for,
//! `src/config/tests.rs` holds that it is read.

mod common;

use std::collections::BTreeSet;

use common::http::Client;
use common::service::{Service, up};
use common::{Event, now_ms, wait_for};
use serde_json::Value;
use tempfile::TempDir;
use tidegate::config::SETTINGS;

/// The sources in which names are tested.
const HERE: &str = include_str!("environment.rs");
const CONFIG: &str = include_str!("../src/config/tests.rs");
const KAFKA: &str = include_str!("kafka/old_stack.rs");

/// Which test holds that a name does what it did in the old stack. Of those in [`CONFIG`] it is only held that
/// they are read.
const TESTED: [(&str, &[&str], &str); 4] = [
    (
        "what_the_names_set_happens",
        &[
            "FLINK_IDLE_TIMEOUT_SECONDS",
            "FLINK_PARALLELISM",
            "FLINK_WATERMARK_DELAY_SECONDS",
            "HEALTH_PORT",
            "KAFKA_TOPIC_EVENT_METRICS",
            "KAFKA_TOPIC_PARTITIONS",
            "KAFKA_TOPIC_PERFORMANCE_METRICS",
            "KAFKA_TOPIC_SESSION_METRICS",
            "METRICS_PORT",
            "PROCESSING_ALLOWED_EVENT_TYPES",
            "PROCESSING_METRICS_WINDOW_SIZE_SECONDS",
            "PROCESSING_PERFORMANCE_WINDOW_SIZE_SECONDS",
            "PROCESSING_SESSION_GAP_SECONDS",
            "WINDOW_RETENTION_COUNT",
        ],
        HERE,
    ),
    (
        "outside_production_time_is_when_an_event_arrives",
        &["APP_ENVIRONMENT", "APP_LOG_LEVEL", "STORAGE_BATCH_SIZE", "WINDOW_HASH_TTL_SECONDS"],
        HERE,
    ),
    (
        "the_old_stacks_tests_find_what_they_look_for",
        &[
            "CLICKHOUSE_DB",
            "CLICKHOUSE_HOST",
            "CLICKHOUSE_PORT",
            "CLICKHOUSE_USER",
            "KAFKA_BOOTSTRAP_SERVERS",
            "KAFKA_TOPIC_EVENTS",
            "PROCESSING_KAFKA_SCAN_STARTUP_MODE",
        ],
        KAFKA,
    ),
    (
        "every_name_of_the_contract_is_honoured",
        &["CLICKHOUSE_PASSWORD", "REDIS_DB", "REDIS_HOST", "REDIS_PORT"],
        CONFIG,
    ),
];

#[test]
fn every_name_has_a_test() {
    let mut tested = BTreeSet::new();
    for (test, names, source) in TESTED {
        let test = format!("\nfn {test}() {{\n");
        let body = source.split_once(&test).unwrap_or_else(|| panic!("there is no{test}")).1;
        let body = body.split("\n}\n").next().unwrap_or_default();
        for name in names {
            assert!(body.contains(&format!("\"{name}\"")), "{name} is not in{test}");
            assert!(tested.insert(*name), "{name} stands twice in the table");
        }
    }
    let settings = SETTINGS.iter().flat_map(|section| section.settings);
    let names: BTreeSet<_> = settings.filter_map(|setting| setting.variable.map(|it| it.name)).collect();
    assert_eq!(tested, names);
}

fn send(client: &mut Client, event: &Event) {
    let answer = client.post("/v1/analytics/track", &event.line()).expect("it answers");
    assert_eq!(answer.status, 202, "{}", answer.text());
}

fn windows(api: &mut Client, route: &str) -> Vec<Value> {
    let answer = api.get(&format!("/metrics/{route}/windows?limit=120")).expect("it answers");
    answer.json()["windows"].as_array().expect("a list").clone()
}

/// A port that is free now.
fn free_port() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    socket.local_addr().expect("an address").port().to_string()
}

#[test]
fn what_the_names_set_happens() {
    let dir = TempDir::new().expect("a temporary directory");
    let (metrics_port, health_port) = (free_port(), free_port());
    let mut command = common::tidegate(dir.path());
    command.args(["up", "--data-dir", "data", "--ingest-listen", "0", "--api-listen", "0"]);
    command.args(["--dataflow-listen", "0", "--metrics-listen", "0"]);
    command.envs([
        ("METRICS_PORT", &*metrics_port),
        ("HEALTH_PORT", &*health_port),
        ("KAFKA_TOPIC_PARTITIONS", "3"),
        ("FLINK_PARALLELISM", "1"),
        ("PROCESSING_METRICS_WINDOW_SIZE_SECONDS", "1"),
        ("PROCESSING_PERFORMANCE_WINDOW_SIZE_SECONDS", "2"),
        ("PROCESSING_SESSION_GAP_SECONDS", "1"),
        ("FLINK_WATERMARK_DELAY_SECONDS", "0"),
        ("FLINK_IDLE_TIMEOUT_SECONDS", "1"),
        ("PROCESSING_ALLOWED_EVENT_TYPES", r#"["page_view","signup"]"#),
        ("WINDOW_RETENTION_COUNT", "2"),
        ("KAFKA_TOPIC_EVENT_METRICS", "em"),
        ("KAFKA_TOPIC_SESSION_METRICS", "sm"),
        ("KAFKA_TOPIC_PERFORMANCE_METRICS", "pm"),
        ("APP_LOG_LEVEL", "DEBUG"),
        ("APP_ENVIRONMENT", "production"),
        ("FLINK_CHECKPOINT_INTERVAL_MS", "30000"),
    ]);
    let service = Service::start(&mut command);

    assert_eq!(service.address("sinks").port().to_string(), metrics_port);
    let health = format!("127.0.0.1:{health_port}").parse().expect("an address");
    assert_eq!(Client::new(health).get("/healthz").expect("it answers").status, 200);
    let status = service.client("dataflow").get("/v1/status").expect("it answers").json();
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(1), "{status}");
    let limits = &status["limits"];
    let (bound, idle) = (limits["bound_ms"].as_i64(), limits["idle_timeout_ms"].as_i64());
    assert_eq!((bound, idle), (Some(0), Some(1_000)), "{status}");
    wait_for("the partitions to be looked at", || {
        let status = service.client("dataflow").get("/v1/status").expect("it answers").json();
        let partitions = status["partitions"].as_array().map_or(0, Vec::len);
        assert!(partitions <= 3, "{status}");
        (partitions == 3).then_some(())
    });
    let partitions = std::fs::read_dir(dir.path().join("data/events")).expect("a directory").count();
    assert_eq!(partitions, 3);

    // Four windows of a second; the cache keeps two of them.
    let mut client = service.client("ingest");
    let mut first = None;
    for index in 0..4 {
        let began = now_ms();
        first.get_or_insert(began);
        for kind in ["signup", "click", "page_view"] {
            let user = format!("u{index}");
            send(&mut client, &Event { kind, load_time: Some(5), ..Event::page_view(&user, now_ms()) });
        }
        wait_for("a second to pass", || (now_ms() >= began + 1_000).then_some(()));
    }
    let mut api = service.client("api");
    let kept = wait_for("the last window to close", || {
        let windows = windows(&mut api, "event");
        let newest = windows.first().and_then(|window| window["window_start"].as_i64()).unwrap_or(0);
        (newest > first.expect("it was sent") + 1_500).then_some(windows)
    });
    assert_eq!(kept.len(), 2, "{kept:?}");
    for window in &kept {
        assert_eq!(window["window_start"].as_i64().map(|start| start % 1_000), Some(0), "{window}");
        assert!(window.get("click.count").is_none(), "{window}");
        assert_eq!(window["signup.count"], 1, "{window}");
    }
    // Windows of load times are twice as long.
    let starts = wait_for("two windows of load times to close", || {
        let windows = windows(&mut api, "performance");
        (windows.len() == 2).then(|| windows.iter().map(|it| it["window_start"].as_i64()).collect::<Vec<_>>())
    });
    assert!(starts.iter().all(|start| start.is_some_and(|start| start % 2_000 == 0)), "{starts:?}");

    let journal = rusqlite::Connection::open(dir.path().join("data/journal.db")).expect("the journal");
    let has = |topic: &str| {
        let sql = "SELECT count(*) FROM topics WHERE name = ?1";
        journal.query_row(sql, [topic], |row| row.get::<_, i64>(0)).expect("a count") == 1
    };
    wait_for("a session to close", || has("sm").then_some(()));
    assert!(has("em") && has("pm") && !has("event_metrics"), "rows lie in other topics");
    let store = rusqlite::Connection::open(dir.path().join("data/metrics.db")).expect("the store");
    for (table, seconds) in [("event_metrics", 1), ("performance_metrics", 2)] {
        let sql = format!(
            "SELECT count(*), sum(round((julianday(window_end) - julianday(window_start)) * 86400) = {seconds}) \
             FROM {table}"
        );
        let (rows, right): (i64, i64) =
            store.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("two counts");
        assert!(rows > 0 && rows == right, "{right} of {rows} windows of {table} are {seconds} s long");
    }

    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains(r#""level":"DEBUG""#), "nothing was logged for those who look for faults");
    let unused = "FLINK_CHECKPOINT_INTERVAL_MS is set but has no counterpart here";
    assert_eq!(ended.err.matches(unused).count(), 1, "{}", ended.err);
}

/// The value of a series of a page of metrics.
fn value(page: &str, series: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {series} in {page}"))
}

#[test]
fn outside_production_time_is_when_an_event_arrives() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut command = up(dir.path(), "data");
    command.env("APP_ENVIRONMENT", "development").env("APP_LOG_LEVEL", "WARNING");
    command.envs([("PROCESSING_METRICS_WINDOW_SIZE_SECONDS", "1"), ("FLINK_IDLE_TIMEOUT_SECONDS", "1")]);
    command.envs([("STORAGE_BATCH_SIZE", "1"), ("WINDOW_HASH_TTL_SECONDS", "5")]);
    let service = Service::start(&mut command);
    let mut client = service.client("ingest");
    let began = now_ms();
    // In event time these would be of last year, and close nothing.
    let year_ago = began - 366 * 86_400_000;
    for kind in ["page_view", "click", "add_to_cart", "conversion"] {
        send(&mut client, &Event { kind, ..Event::page_view("u", year_ago) });
    }
    let ended_ms = now_ms();
    let mut api = service.client("api");
    let window = wait_for("the window to close", || windows(&mut api, "event").pop());
    let start = window["window_start"].as_i64().expect("a number");
    assert!((began - 1_000..=ended_ms).contains(&start), "{window} is not of when it arrived, {began}");

    // Four rows at the end of a window, and each of them in a batch of its own.
    let page = wait_for("the rows to be stored", || {
        let page = service.client("sinks").get("/metrics").expect("it answers").text();
        (value(&page, "storage_records_total") == 4).then_some(page)
    });
    assert_eq!(value(&page, "storage_batch_size_bucket{le=\"1.0\"}"), 4, "{page}");

    // Nothing changes it any more, and so the cache forgets it.
    wait_for("the window to be forgotten", || windows(&mut api, "event").is_empty().then_some(()));
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    for level in ["TRACE", "DEBUG", "INFO"] {
        assert!(!ended.err.contains(&format!(r#""level":"{level}""#)), "{}", ended.err);
    }
}
