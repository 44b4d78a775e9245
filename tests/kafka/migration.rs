//! What the old stack left behind, in ClickHouse and in Kafka, and the sink that goes on with it.

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_services::clickhouse::Address;
use tidegate_services::{ClickHouse, test_kafka};

use crate::common::{Ran, run, wait_for};
use crate::stack::Stack;
use crate::topics::Admin;

/// The tables as the old stack's own statements made them.
const OLD_TABLES: [&str; 3] = [
    "CREATE TABLE analytics.event_metrics (window_start DateTime64(3), window_end DateTime64(3), \
     event_type String, event_count UInt64, user_count UInt64) \
     ENGINE = MergeTree() ORDER BY (window_start, event_type)",
    "CREATE TABLE analytics.session_metrics (session_id String, user_id String, start_time DateTime64(3), \
     end_time DateTime64(3), duration UInt64, page_count UInt64, device_category String) \
     ENGINE = MergeTree() ORDER BY (start_time, session_id)",
    "CREATE TABLE analytics.performance_metrics (window_start DateTime64(3), window_end DateTime64(3), \
     device_category String, avg_load_time Float64, p95_load_time Float64) \
     ENGINE = MergeTree() ORDER BY (window_start, device_category)",
];

/// What the old storage service inserts, with its columns only.
fn insert(minute: u32, count: u32) -> String {
    format!(
        "INSERT INTO analytics.event_metrics (window_start, window_end, event_type, event_count, user_count) \
         VALUES ('2024-03-01 10:{minute:02}:00', '2024-03-01 10:{:02}:00', 'click', {count}, 1)",
        minute + 1
    )
}

/// A row in the form of the Flink job: no headers, instants without a zone.
fn flink_row(minute: u32, count: u32) -> String {
    format!(
        r#"{{"window_start":"2024-03-01 10:{minute:02}:00","window_end":"2024-03-01 10:{:02}:00","event_type":"click","event_count":{count},"user_count":1}}"#,
        minute + 1
    )
}

/// The rows of `event_metrics` as a plain `SELECT` shows them: minute and count.
fn rows(address: &Address) -> Vec<String> {
    let sql = "SELECT toMinute(window_start), event_count FROM analytics.event_metrics ORDER BY ALL";
    address.query(sql).expect("it answers").lines().map(|line| line.replace('\t', ": ")).collect()
}

/// What the doctor found of a part of the deployment that is not as it should be.
fn wrong(ran: &Ran) -> Vec<String> {
    let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
    let findings = found["findings"].as_array().expect("a list").iter();
    let wrong = findings.filter(|it| it["state"] == "wrong" || it["state"] == "away");
    wrong.map(|it| it["what"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn tables_of_the_old_stack_are_refused_then_migrated_then_gone_on_with() {
    let Ok(bootstrap) = test_kafka() else { return };
    let dir = TempDir::new().expect("a temporary directory");
    // One of its own: the database has the old stack's name.
    let server = ClickHouse::start(dir.path()).expect("a server starts");
    let address = server.address().clone();
    let execute = |sql: &str| drop(address.query(sql).unwrap_or_else(|error| panic!("{sql}: {error}")));
    execute("CREATE DATABASE analytics");
    for sql in OLD_TABLES {
        execute(sql);
    }
    // A window twice, as after a failure of the old storage service.
    for (minute, count) in [(0, 1), (1, 2), (1, 2), (2, 3)] {
        execute(&insert(minute, count));
    }
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec![
        format!("clickhouse.host={}", address.host),
        format!("clickhouse.port={}", address.http),
        "clickhouse.database=analytics".to_owned(),
        "store.batch_wait=50ms".to_owned(),
    ];
    let topic = stack.topic("event_metrics");
    Admin::new(&bootstrap).make(&topic, 1, &[]);
    let flink = ClientConfig::new().set("bootstrap.servers", &bootstrap).create::<BaseProducer>();
    let flink = flink.expect("the settings are right");
    let send = |minute, count| {
        let row = flink_row(minute, count);
        flink
            .send(BaseRecord::to(&topic).key("click").payload(&row))
            .map_err(|(error, _)| error)
            .expect("room");
        flink.flush(std::time::Duration::from_secs(30)).expect("it is sent");
    };
    // Flink too writes a window again after a failure; the topic has two windows that the table has.
    for (minute, count) in [(1, 2), (2, 3), (3, 4), (3, 4)] {
        send(minute, count);
    }

    let refused = run(&mut stack.command("sink"));
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    assert!(
        refused.err.contains("analytics.event_metrics") && refused.err.contains("RENAME TABLE"),
        "{}",
        refused.err
    );
    let doctor = || run(&mut stack.tool(&["doctor", "--format", "json"]));
    let found = doctor();
    let tables = ["table event_metrics", "table session_metrics", "table performance_metrics"];
    assert_eq!((found.code, wrong(&found)), (Some(3), tables.map(str::to_owned).to_vec()), "{}", found.out);

    let migrate = |args: &[&str]| {
        let mut command = crate::common::tidegate(stack.dir());
        command.args(["migrate", "clickhouse"]).args(args);
        for setting in &stack.settings {
            command.args(["--set", setting]);
        }
        run(&mut command)
    };
    let before = rows(&address);
    let dry = migrate(&["--dry-run"]);
    assert_eq!(dry.code, Some(3), "{}{}", dry.out, dry.err);
    for part in [
        "-- event_metrics: its engine is MergeTree",
        "4 rows, 1 of them for a key",
        "CREATE TABLE",
        "RENAME TABLE",
    ] {
        assert!(dry.out.contains(part), "no {part:?} in {}", dry.out);
    }
    assert_eq!(rows(&address), before, "nothing was changed");
    let done = migrate(&[]);
    assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
    assert_eq!(rows(&address), ["0: 1", "1: 2", "2: 3"], "a row of each key was copied");
    let kept =
        address.query("SELECT count() FROM analytics.event_metrics_before_tidegate").expect("it answers");
    assert_eq!(kept.trim(), "4");
    for args in [&["--dry-run"][..], &[]] {
        let again = migrate(args);
        assert_eq!(again.code, Some(0), "{}{}", again.out, again.err);
        assert!(!again.out.contains("RENAME TABLE"), "{}", again.out);
    }
    let found = doctor();
    assert_eq!((found.code, wrong(&found)), (Some(0), Vec::new()), "{}", found.out);

    // The old service may still insert, with its columns only.
    execute(&insert(4, 5));
    let sink = stack.start("sink");
    wait_for("Flink's rows", || (rows(&address).len() >= 5).then_some(()));
    assert_eq!(rows(&address), ["0: 1", "1: 2", "2: 3", "3: 4", "4: 5"]);
    // Of two rows of a window the later one counts.
    send(3, 9);
    wait_for("the later row", || rows(&address).contains(&"3: 9".to_owned()).then_some(()));
    assert_eq!(rows(&address), ["0: 1", "1: 2", "2: 3", "3: 9", "4: 5"]);
    let ended = sink.terminate();
    assert!(ended.status.success(), "{}", ended.err);
}
