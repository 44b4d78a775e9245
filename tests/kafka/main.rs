//! The pipeline around a real Kafka: each role a process of its own, killed, paused and started twice.

mod cached;
mod clickhouse;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod corrections;
mod doctor;
mod load;
mod migration;
mod namespace;
mod old_stack;
mod onlooker;
mod operator;
mod outage;
mod redis;
mod stack;
mod stores;
mod topics;
mod wire;

use std::time::Duration;

use common::http::Client;
use common::service::{SHORT, Service, up};
use common::{Event, assert_same, now_ms, query, wait_for};
use load::{Sender, Sent};
use stack::{Kept, ROLES, Stack};
use tempfile::TempDir;
use tidegate_log::RowReader as _;
use tidegate_log::kafka::{KafkaLog, Options, TopicNames};
use tidegate_model::{Offset, Schema};
use tidegate_services::{Kafka, test_kafka};
use topics::Admin;

/// Some sessions of some users, one after the other and none late.
fn events(base: i64) -> Vec<Event> {
    let kinds = ["page_view", "click", "page_view", "conversion", "page_view", "add_to_cart", "rating"];
    let event = |index: i64| {
        let kind = kinds[usize::try_from(index).expect("small") % kinds.len()];
        let user = format!("user-{}", index * index % 23);
        let agent = ["Mozilla", "Mobile Safari", "Googlebot Bot", "Tablet"]
            [usize::try_from(index % 4).expect("small")];
        let load_time = (index % 3 > 0).then_some(index * 37 % 900);
        Event { kind, agent: agent.to_owned(), load_time, ..Event::page_view(&user, base + index * 5) }
    };
    (0..400).map(event).collect()
}

fn send_all(client: &mut Client, events: &[Event]) {
    for event in events {
        let answer = client.post("/v1/analytics/track", &event.line()).expect("it answers");
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
}

/// The rows of every table that has some, in an order of their own.
fn tables(dir: &std::path::Path) -> Vec<(String, String)> {
    let rows = |(table, columns): &(&str, &str)| {
        let sql = format!("SELECT {columns} FROM {table} ORDER BY {columns}");
        let rows: Vec<String> = query(dir, &sql).iter().map(ToString::to_string).collect();
        ((*table).to_owned(), rows.join("\n"))
    };
    common::TABLES.iter().filter(|(table, _)| *table != "dropped_events").map(rows).collect()
}

fn counted(dir: &std::path::Path) -> u64 {
    let sum = &query(dir, "SELECT coalesce(sum(page_count), 0) AS n FROM session_metrics")[0]["n"];
    sum.as_u64().expect("a number")
}

#[test]
fn roles_around_kafka_make_the_rows_of_one_process() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    // Both ways take longer than that for nothing.
    let patient = ["time.watermark_bound=3s", "time.idle_timeout=3s"];
    stack.settings = patient.map(str::to_owned).into();
    let roles: Vec<Service> = ROLES.iter().map(|(role, _)| stack.start(role)).collect();
    let events = events(now_ms());
    let pages = events.iter().filter(|event| event.kind == "page_view").count() as u64;
    // A clock that is wrong: it is dropped, with a copy for whoever looks into it.
    let wrong = [Event::page_view("future", now_ms() + 600_000)];
    send_all(&mut roles[0].client("ingest"), &wrong);
    send_all(&mut roles[0].client("ingest"), &events);

    let alone = TempDir::new().expect("a temporary directory");
    let mut command = up(alone.path(), "data");
    command.args(SHORT).args(patient.iter().flat_map(|setting| ["--set", setting]));
    let one = Service::start(&mut command);
    send_all(&mut one.client("ingest"), &wrong);
    send_all(&mut one.client("ingest"), &events);

    for dir in [alone.path(), stack.dir()] {
        wait_for("every page view to be in a session", || (counted(dir) == pages).then_some(()));
        let dropped = "SELECT reason, count(*) AS n FROM dropped_events GROUP BY reason";
        wait_for("the dropped event to be kept", || {
            let rows = query(dir, dropped);
            (rows.len() == 1 && rows[0]["reason"] == "future" && rows[0]["n"] == 1).then_some(())
        });
        wait_for("the windows over sessions to close", || {
            let sql = "SELECT (SELECT sum(sessions) FROM session_window_metrics) = count(*) AS n FROM session_metrics";
            (query(dir, sql)[0]["n"] == 1).then_some(())
        });
    }
    // The cache has what the tables have.
    let mut api = roles[3].client("api");
    wait_for("the cache to have every window", || {
        let windows = api.get("/metrics/event/windows?limit=100").expect("it answers").json();
        let counts =
            windows["windows"].as_array()?.iter().flat_map(|window| window.as_object().expect("an object"));
        let counts = counts.filter(|(name, _)| name.split('.').next_back() == Some("count"));
        let sum: u64 = counts.map(|(_, count)| count.as_u64().expect("a number")).sum();
        let expected = events.iter().filter(|event| event.kind != "rating").count() as u64;
        (sum == expected).then_some(())
    });
    assert!(one.terminate().status.success());
    for role in roles {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
    // The ledger of the deployment is in Kafka; the tables are here.
    let ledger = stack.ledger();
    assert_eq!(ledger["EventAggregator"]["accepted"], events.len() + 1, "{ledger}");
    assert_same(&tables(stack.dir()), &tables(alone.path()), "around Kafka");
    rows_have_exactly_the_columns(&stack, &bootstrap);
}

/// What the services of the old stack build their statements from.
fn rows_have_exactly_the_columns(stack: &Stack, bootstrap: &str) {
    let options = Options {
        bootstrap: bootstrap.to_owned(),
        deployment: stack.topic("events").replace("-events", ""),
        topics: TopicNames { events: stack.topic("events"), rows: Vec::new() },
        ..Options::default()
    };
    let log = KafkaLog::open(options).expect("the broker answers");
    let mut rows = log.row_reader().expect("the settings are right");
    for (schema, columns) in Schema::ALL.iter().zip([
        &["event_count", "event_type", "user_count", "window_end", "window_start"][..],
        &["device_category", "duration", "end_time", "page_count", "session_id", "start_time", "user_id"],
        &["avg_load_time", "device_category", "p95_load_time", "window_end", "window_start"],
    ]) {
        let topic = stack.topic(schema.table);
        let mut seen = 0;
        for partition in rows.partitions(&topic).expect("the topic is there") {
            let read = rows.read(&topic, partition, Offset(0), 1_000, &mut |row| {
                let value: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_slice(row.value).expect("an object");
                let mut names: Vec<&str> = value.keys().map(String::as_str).collect();
                names.sort_unstable();
                assert_eq!(names, columns, "{topic}");
                seen += 1;
            });
            read.expect("the rows can be read");
        }
        assert!(seen > 0, "{topic} has rows");
    }
}

#[test]
fn a_role_that_is_killed_loses_nothing_and_doubles_nothing() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["snapshot.every=300ms".to_owned()];
    let mut roles: Vec<Service> = ROLES.iter().map(|(role, _)| stack.start(role)).collect();
    let sender = Sender::start(roles[0].address("ingest"));
    for round in 0..8 {
        // A moment under load, longer than anybody is idle in some rounds.
        std::thread::park_timeout(Duration::from_millis([150, 900, 400][round % 3]));
        let at = round % ROLES.len();
        let workers = ["1", "4", "2"][round % 3];
        let args: &[&str] = if ROLES[at].0 == "dataflow" { &["--workers", workers] } else { &[] };
        roles.remove(at).kill();
        roles.insert(at, stack.start_with(ROLES[at].0, args));
        sender.send_to(roles[0].address("ingest"));
    }
    let sent = sender.end();
    sent.check(stack.dir());
    assert!(sent.acknowledged.len() > 100, "{}", sent.acknowledged.len());
    for role in roles {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn a_dataflow_that_was_paused_is_fenced_and_changes_nothing() {
    let Ok(bootstrap) = test_kafka() else { return };
    let stack = Stack::new(&bootstrap);
    let (ingest, _sink) = (stack.start("ingest"), stack.start("sink"));
    let mut paused = stack.start("dataflow");
    let (mut sent, mut client) = (Sent::default(), ingest.client("ingest"));
    for _ in 0..50 {
        sent.send(&mut client);
    }
    paused.signal("STOP");
    let mut successor = stack.start("dataflow");
    for _ in 0..50 {
        sent.send(&mut client);
    }
    sent.check(stack.dir());
    paused.signal("CONT");
    let ended = paused.ended();
    assert_eq!(ended.status.code(), Some(6), "{}", ended.err);
    assert!(ended.err.contains("has taken over from generation"), "{}", ended.err);
    for _ in 0..20 {
        sent.send(&mut client);
    }
    sent.check(stack.dir());
    assert!(!successor.is_over());
    assert!(successor.terminate().status.success());
}

#[test]
fn a_dataflow_that_is_started_twice_loses_nothing_and_doubles_nothing() {
    let Ok(bootstrap) = test_kafka() else { return };
    let stack = Stack::new(&bootstrap);
    let (ingest, sink) = (stack.start("ingest"), stack.start("sink"));
    let sender = Sender::start(ingest.address("ingest"));
    let mut newest = stack.start("dataflow");
    for _ in 0..3 {
        std::thread::park_timeout(Duration::from_millis(400));
        let other = stack.start("dataflow");
        // Whoever was there learns of it by the next commit, and says so.
        let ended = newest.ended();
        assert_eq!(ended.status.code(), Some(6), "{}", ended.err);
        assert!(ended.err.contains("has taken over from generation"), "{}", ended.err);
        newest = other;
    }
    sender.end().check(stack.dir());
    for role in [newest, ingest, sink] {
        assert!(role.terminate().status.success());
    }
}

#[test]
fn a_broker_that_is_killed_loses_nothing_and_doubles_nothing() {
    if test_kafka().is_err() {
        return;
    }
    // One of its own: the other tests need theirs.
    let dir = TempDir::new().expect("a temporary directory");
    let mut broker = Kafka::start(dir.path()).expect("a broker starts");
    let stack = Stack::new(broker.address());
    let mut roles = ["ingest", "sink", "cache-api"].map(|role| stack.start(role));
    // It may end at any time, for an epoch that could not be committed; whoever runs it starts it again.
    let dataflow = Kept::start(stack.command("dataflow"));
    let sender = Sender::start(roles[0].address("ingest"));
    for _ in 0..3 {
        std::thread::park_timeout(Duration::from_millis(500));
        broker.kill();
        broker.restart().expect("it starts again");
        std::thread::park_timeout(Duration::from_millis(1_500));
    }
    std::thread::park_timeout(Duration::from_millis(500));
    let mut sent = sender.end();
    let mut client = roles[0].client("ingest");
    wait_for("events to be taken again", || {
        let before = sent.acknowledged.len();
        sent.send(&mut client);
        (sent.acknowledged.len() > before).then_some(())
    });
    sent.check(stack.dir());
    // One at a time, which waits while nobody answers.
    assert!(sent.acknowledged.len() > 30, "{}", sent.acknowledged.len());
    assert!(!roles.iter_mut().any(Service::is_over), "only the dataflow may end");
    drop(dataflow);
    for role in roles {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn a_partition_that_is_added_is_read() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    // Longer than it takes the dataflow to hear of new partitions: what lies there until then is not late.
    stack.settings = vec!["time.watermark_bound=6s".to_owned()];
    let roles: Vec<Service> = ROLES[..3].iter().map(|(role, _)| stack.start(role)).collect();
    let sender = Sender::start(roles[0].address("ingest"));
    std::thread::park_timeout(Duration::from_millis(300));
    Admin::new(&bootstrap).add_partitions(&stack.topic("events"), 9);
    let mut dataflow = roles[1].client("dataflow");
    wait_for("the new partitions to be read", || {
        let status = dataflow.get("/v1/status").expect("it answers").json();
        let partitions = status["partitions"].as_array().expect("a list");
        let position = |partition: &serde_json::Value| partition["offset"].as_u64().unwrap_or(0);
        (partitions.len() == 9 && partitions[6..].iter().all(|partition| position(partition) > 0))
            .then_some(())
    });
    sender.end().check(stack.dir());
    for role in roles {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn a_topic_of_events_that_was_made_anew_is_refused_until_the_gap_is_accepted() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["time.future_tolerance=0ms".to_owned()];
    let mut roles: Vec<Service> = ROLES[..3].iter().map(|(role, _)| stack.start(role)).collect();
    let (mut sent, mut client) = (Sent::default(), roles[0].client("ingest"));
    for _ in 0..30 {
        sent.send(&mut client);
    }
    sent.check(stack.dir());
    let sink = roles.pop().expect("three were started");
    for role in roles {
        assert!(role.terminate().status.success());
    }
    Admin::new(&bootstrap).make_anew(&stack.topic("events"), 6);
    let refused = |parts: &[&str]| {
        let refused = common::run(&mut stack.command("dataflow"));
        assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
        for part in parts {
            assert!(refused.err.contains(part), "no {part:?} in {}", refused.err);
        }
    };
    refused(&["but the log holds offsets 0 to 0", "the log was cut off or replaced", "--accept-gap"]);
    // When there is more in it than was read of the one before, its offsets do not tell.
    let ingest = stack.start("ingest");
    let mut client = ingest.client("ingest");
    let mut others = Sent::default();
    for _ in 0..200 {
        others.send(&mut client);
    }
    assert_eq!(others.acknowledged.len(), 200);
    refused(&["but the one there now was appended at", "replaced, and filled again", "--accept-gap"]);
    let dataflow = stack.start_with("dataflow", &["--accept-gap"]);
    // Those before are in the tables, and so is whatever begins after the gap.
    wait_for("a session that began after it", || {
        sent.send(&mut client);
        (counted(stack.dir()) > 30).then_some(())
    });
    let found =
        query(stack.dir(), "SELECT count(*) AS n, count(DISTINCT session_id) AS m FROM session_metrics");
    assert_eq!(found[0]["n"], found[0]["m"], "none is there twice");
    for role in [dataflow, ingest, sink] {
        assert!(role.terminate().status.success());
    }
}

#[test]
fn events_that_retention_removed_before_they_were_read_are_refused_until_the_gap_is_accepted() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["time.future_tolerance=0ms".to_owned()];
    let (ingest, sink, dataflow) = (stack.start("ingest"), stack.start("sink"), stack.start("dataflow"));
    let (mut sent, mut client) = (Sent::default(), ingest.client("ingest"));
    for _ in 0..30 {
        sent.send(&mut client);
    }
    sent.check(stack.dir());
    assert!(dataflow.terminate().status.success());
    // Acknowledged while nobody reads, and gone before anybody does.
    let mut gone = Sent::default();
    for _ in 0..60 {
        gone.send(&mut client);
    }
    assert_eq!(gone.acknowledged.len(), 60);
    Admin::new(&bootstrap).remove_all(&stack.topic("events"), 6);
    let refused = common::run(&mut stack.command("dataflow"));
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("--accept-gap"), "{}", refused.err);
    let dataflow = stack.start_with("dataflow", &["--accept-gap"]);
    wait_for("a session that began after it", || {
        sent.send(&mut client);
        (counted(stack.dir()) > 30).then_some(())
    });
    assert!(dataflow.terminate().status.success());
    assert_eq!(stack.ledger()["EventAggregator"]["missing"], 60, "{}", stack.ledger());
    for role in [ingest, sink] {
        assert!(role.terminate().status.success());
    }
}

#[test]
fn a_new_deployment_counts_what_retention_has_left() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["time.future_tolerance=0ms".to_owned()];
    let ingest = stack.start("ingest");
    let early = events(now_ms());
    send_all(&mut ingest.client("ingest"), &early);
    // In windows that begin later than any of those.
    let pause = Duration::from_secs(3);
    std::thread::park_timeout(pause);
    let late = events(now_ms());
    send_all(&mut ingest.client("ingest"), &late);
    let countable = late.iter().filter(|event| event.kind != "rating").count() as u64;
    let removed = Admin::new(&bootstrap).remove_first(&stack.topic("events"), 6);
    assert!(removed > 0, "somebody is in some partition");
    let dataflow = stack.start("dataflow");
    let mut client = dataflow.client("dataflow");
    wait_for("what is left to be read", || {
        let ledger = client.get("/v1/ledger").expect("it answers").json();
        let counts = &ledger["jobs"]["EventAggregator"];
        let (accepted, counted) = (counts["accepted"].as_u64()?, counts["counted"].as_u64()?);
        // Of the windows that were under way when the first event left was appended nothing is counted.
        let is_all = accepted == (early.len() + late.len() - removed) as u64;
        is_all.then(|| assert!(counted >= countable, "{ledger}"))
    });
    for role in [ingest, dataflow] {
        assert!(role.terminate().status.success());
    }
}
