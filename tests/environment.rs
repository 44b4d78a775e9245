//! The environment names of the old stack, on the built service: what they set happens.
//!
//! Names of servers that there are not yet (Kafka, ClickHouse, Redis, and where a topic that exists already is
//! begun) set nothing here; `src/config/tests.rs` holds that they are read.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::http::Client;
use common::service::{Service, up};
use common::{Event, wait_for};
use serde_json::Value;
use tempfile::TempDir;

#[expect(clippy::disallowed_methods, reason = "a client has a clock of its own")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_millis()).expect("it is")
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
        ("WINDOW_HASH_TTL_SECONDS", "3600"),
        ("STORAGE_BATCH_SIZE", "77"),
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
    let sinks = service.client("sinks").get("/metrics").expect("it answers").text();
    assert!(sinks.contains("storage_adaptive_batch_target 77\n"), "{sinks}");
    let status = service.client("dataflow").get("/v1/status").expect("it answers").json();
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(1), "{status}");
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
    wait_for("a window of load times to close", || {
        (!windows(&mut api, "performance").is_empty()).then_some(())
    });

    let journal = rusqlite::Connection::open(dir.path().join("data/journal.db")).expect("the journal");
    let has = |topic: &str| {
        let sql = "SELECT count(*) FROM topics WHERE name = ?1";
        journal.query_row(sql, [topic], |row| row.get::<_, i64>(0)).expect("a count") == 1
    };
    wait_for("a session to close", || has("sm").then_some(()));
    assert!(has("em") && has("pm") && !has("event_metrics"), "rows lie in other topics");
    let store = rusqlite::Connection::open(dir.path().join("data/metrics.db")).expect("the store");
    let longer = "SELECT count(*), sum(julianday(window_end) - julianday(window_start) > 1.5 / 86400) FROM event_metrics";
    let (rows, longer): (i64, i64) =
        store.query_row(longer, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("two counts");
    assert!(rows > 0 && longer == 0, "{longer} of {rows} windows are longer than a second");

    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains(r#""level":"DEBUG""#), "nothing was logged for those who look for faults");
    let unused = "FLINK_CHECKPOINT_INTERVAL_MS is set but has no counterpart here";
    assert_eq!(ended.err.matches(unused).count(), 1, "{}", ended.err);
}

#[test]
fn outside_production_time_is_when_an_event_arrives() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut command = up(dir.path(), "data");
    command.env("APP_ENVIRONMENT", "development").env("APP_LOG_LEVEL", "WARNING");
    command.envs([("PROCESSING_METRICS_WINDOW_SIZE_SECONDS", "1"), ("FLINK_IDLE_TIMEOUT_SECONDS", "1")]);
    let service = Service::start(&mut command);
    let began = now_ms();
    // In event time this one would be of last year, and close nothing.
    send(&mut service.client("ingest"), &Event::page_view("u", began - 366 * 86_400_000));
    let mut api = service.client("api");
    let window = wait_for("the window to close", || windows(&mut api, "event").pop());
    let start = window["window_start"].as_i64().expect("a number");
    assert!(start > began - 2_000, "{window} is not of when it arrived, {began}");
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert!(!ended.err.contains(r#""level":"INFO""#), "{}", ended.err);
}
