//! The shape of the old stack's end-to-end tests: the services are told what to do by its environment names,
//! windows of 5 s in processing time, one scenario after another with tables truncated in between, and reads
//! through the native port of ClickHouse.

use std::collections::BTreeMap;
use std::process::Command;

use klickhouse::{Client as Native, ClientOptions, RawRow};
use tempfile::TempDir;
use tidegate_services::{ClickHouse, test_kafka};
use tokio::runtime::Runtime;

use crate::common::http::Client;
use crate::common::service::Service;
use crate::common::{Event, now_ms, tidegate, wait_for};
use crate::stack::{ROLES, start};

/// What the old stack's tables were called, and its topics.
const TABLES: [&str; 3] = ["event_metrics", "session_metrics", "performance_metrics"];

/// A role as the old stack's compose file would have started it.
fn command(role: &str, dir: &TempDir, environment: &BTreeMap<&str, String>) -> Command {
    let mut command = tidegate(dir.path());
    command.arg(role).envs(environment);
    let listen: &[&str] = match role {
        "ingest" => &["--ingest-listen", "0"],
        "dataflow" => &["--dataflow-listen", "0", "--metrics-listen", "0", "--data-dir", "data"],
        "sink" => &["--sink-listen", "0", "--data-dir", "data"],
        _ => &["--api-listen", "0"],
    };
    command.args(listen);
    command
}

/// The tables as a client of the native protocol sees them.
struct Tables {
    runtime: Runtime,
    client: Native,
}

impl Tables {
    fn connect(address: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = ClientOptions { default_database: "analytics".to_owned(), ..ClientOptions::default() };
        let client = runtime.block_on(Native::connect(address, options)).expect("it answers");
        Self { runtime, client }
    }

    fn execute(&self, sql: &str) {
        self.runtime.block_on(self.client.execute(sql)).expect(sql);
    }

    fn rows(&self, sql: &str) -> Vec<RawRow> {
        self.runtime.block_on(self.client.query_collect(sql)).expect(sql)
    }

    /// A name and two numbers of each row.
    fn numbers(&self, sql: &str) -> BTreeMap<String, (u64, u64)> {
        let row = |mut row: RawRow| (row.get(0_usize), (row.get(1_usize), row.get(2_usize)));
        self.rows(sql).into_iter().map(row).collect()
    }
}

#[test]
fn the_old_stacks_tests_find_what_they_look_for() {
    let Ok(bootstrap) = test_kafka() else { return };
    // One of its own: the database has the old stack's name.
    let dir = TempDir::new().expect("a temporary directory");
    let server = ClickHouse::start(dir.path()).expect("a server starts");
    let native = server.address().native_address().expect("it has a native port");
    let (name, host) = (format!("old-{}", std::process::id()), server.address().host.clone());
    let mut environment: BTreeMap<&str, String> = [
        ("APP_ENVIRONMENT", "test".to_owned()),
        ("CLICKHOUSE_DB", "analytics".to_owned()),
        ("CLICKHOUSE_HOST", host),
        ("CLICKHOUSE_PORT", server.address().http.to_string()),
        ("CLICKHOUSE_USER", "default".to_owned()),
        ("KAFKA_BOOTSTRAP_SERVERS", bootstrap.clone()),
        ("KAFKA_TOPIC_EVENTS", format!("{name}-events")),
        ("PROCESSING_KAFKA_SCAN_STARTUP_MODE", "earliest-offset".to_owned()),
        ("PROCESSING_METRICS_WINDOW_SIZE_SECONDS", "5".to_owned()),
        ("PROCESSING_PERFORMANCE_WINDOW_SIZE_SECONDS", "5".to_owned()),
        ("PROCESSING_SESSION_GAP_SECONDS", "5".to_owned()),
        ("STORAGE_BATCH_SIZE", "100".to_owned()),
    ]
    .into();
    for (variable, table) in [
        ("KAFKA_TOPIC_EVENT_METRICS", "event_metrics"),
        ("KAFKA_TOPIC_SESSION_METRICS", "session_metrics"),
        ("KAFKA_TOPIC_PERFORMANCE_METRICS", "performance_metrics"),
    ] {
        environment.insert(variable, format!("{name}-{table}"));
    }
    // What the old stack had no names for, so that tests beside this one are not disturbed.
    let own = [
        format!("deployment={name}"),
        format!("topics.session_window_metrics={name}-session_window_metrics"),
        format!("topics.live_metrics={name}-live"),
        format!("topics.dropped_events={name}-dropped"),
    ];
    let running: Vec<Service> = ROLES
        .map(|(role, _)| {
            let mut command = command(role, &dir, &environment);
            for setting in &own {
                command.args(["--set", setting]);
            }
            start(role, &mut command)
        })
        .into();
    let tables = Tables::connect(&native);
    let mut client = Client::new(running[0].address("ingest"));
    // In processing time nobody looks at the clocks of clients, which may be wrong.
    let now = now_ms();
    for (scenario, clock) in [("first", now - 86_400_000), ("second", now), ("third", now + 86_400_000)] {
        for table in TABLES {
            tables.execute(&format!("TRUNCATE TABLE {table}"));
        }
        run_scenario(scenario, clock, &mut client, &tables);
    }
    for service in running {
        let ended = service.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

/// Two users look at pages and click; what the tables say of it, and of nothing else.
fn run_scenario(scenario: &str, clock: i64, client: &mut Client, tables: &Tables) {
    let user = |number: u32| format!("{scenario}-{number}");
    let view = |number: u32, agent: &str, load_time: i64| Event {
        agent: agent.to_owned(),
        load_time: Some(load_time),
        ..Event::page_view(&user(number), clock)
    };
    let other = |kind| Event { kind, ..Event::page_view(&user(1), clock) };
    let events = [
        view(1, "Mozilla/5.0", 100),
        view(1, "Mozilla/5.0", 300),
        view(2, "Mozilla/5.0 (iPhone) Mobile", 50),
        other("click"),
        other("conversion"),
        other("add_to_cart"),
        other("mouse_move"),
    ];
    for event in events {
        let answer = client.post("/v1/analytics/track", &event.line()).expect("it answers");
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    // A scenario may lie in two windows; then each of them has a row.
    let counts = wait_for("all events to be counted", || {
        let counts = tables.numbers(
            "SELECT toString(event_type), sum(event_count), max(user_count) FROM event_metrics GROUP BY 1",
        );
        (counts.values().map(|(events, _)| events).sum::<u64>() >= 6).then_some(counts)
    });
    let kinds: Vec<(&str, u64)> = counts.iter().map(|(kind, (events, _))| (kind.as_str(), *events)).collect();
    assert_eq!(kinds, [("add_to_cart", 1), ("click", 1), ("conversion", 1), ("page_view", 3)]);
    assert!(counts.values().all(|(_, users)| (1..=2).contains(users)), "{counts:?}");
    let sessions = wait_for("both sessions to end", || {
        let sessions = tables.numbers(
            "SELECT user_id, page_count, toUInt64(duration = toUnixTimestamp64Milli(end_time) \
             - toUnixTimestamp64Milli(start_time)) FROM session_metrics",
        );
        (sessions.len() >= 2).then_some(sessions)
    });
    assert_eq!(sessions, [(user(1), (2, 1)), (user(2), (1, 1))].into());
    let loads = wait_for("load times", || {
        let loads = tables.numbers(
            "SELECT toString(device_category), toUInt64(min(avg_load_time)), toUInt64(max(p95_load_time)) \
             FROM performance_metrics GROUP BY 1",
        );
        (loads.len() >= 2).then_some(loads)
    });
    assert_eq!(loads["Mobile"], (50, 50));
    // Both views of the first user in one window, or each in its own.
    assert!([(200, 290), (100, 300)].contains(&loads["Desktop"]), "{loads:?}");
    // A plain SELECT, as the old tests send it: each window once.
    for (table, key) in [
        ("event_metrics", "window_start, event_type"),
        ("session_metrics", "session_id, user_id, start_time"),
        ("performance_metrics", "window_start, device_category"),
    ] {
        let sql = format!("SELECT '{table}', count(), uniqExact({key}) FROM {table}");
        let (rows, keys) = tables.numbers(&sql)[table];
        assert_eq!(rows, keys, "{table}");
    }
}
