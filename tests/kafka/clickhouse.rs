//! The metric tables on a real ClickHouse, with the sink and the server killed under load.

use std::time::Duration;

use tempfile::TempDir;
use tidegate_services::clickhouse::Address;
use tidegate_services::{ClickHouse, test_clickhouse, test_kafka};

use crate::common::wait_for;
use crate::load::Sender;
use crate::onlooker::Onlooker;
use crate::stack::Stack;

/// A pipeline whose sink writes to a server.
pub(crate) fn stack_with(bootstrap: &str, server: &Address, database: &str) -> Stack {
    let mut stack = Stack::new(bootstrap);
    let address = server.http_address();
    let (host, port) = address.rsplit_once(':').expect("an address");
    stack.settings = vec![
        format!("clickhouse.host={host}"),
        format!("clickhouse.port={port}"),
        format!("clickhouse.database={database}"),
        "store.batch_wait=200ms".to_owned(),
    ];
    stack
}

/// A database of a test's own, on the server that all tests share.
struct Database {
    server: Address,
    name: String,
}

impl Database {
    fn new(server: Address, name: &str) -> Self {
        Self { server, name: format!("{name}_{}", std::process::id()) }
    }

    /// `$` stands for its name.
    fn query(&self, sql: &str) -> Option<String> {
        self.server.query(&sql.replace('$', &self.name)).ok()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.query("DROP DATABASE IF EXISTS $");
    }
}

#[test]
fn clickhouse_has_every_row_once_whatever_is_killed() {
    let Ok(bootstrap) = test_kafka() else { return };
    // One of its own: it is killed.
    let dir = TempDir::new().expect("a temporary directory");
    let mut server = ClickHouse::start(dir.path()).expect("a server starts");
    let address = server.address().clone();
    let stack = stack_with(&bootstrap, &address, "analytics");
    let (ingest, dataflow) = (stack.start("ingest"), stack.start("dataflow"));
    let mut sink = stack.start("sink");
    let onlooker = Onlooker::start(&address, "analytics");
    let sender = Sender::start(ingest.address("ingest"));
    for _ in 0..2 {
        std::thread::park_timeout(Duration::from_millis(1_500));
        sink.kill();
        sink = stack.start("sink");
        std::thread::park_timeout(Duration::from_millis(700));
        server.kill();
        std::thread::park_timeout(Duration::from_millis(700));
        server.restart().expect("it starts again");
    }
    let ask = |sql: &str| address.query(sql).expect("it answers");
    let number = |text: &str| text.trim().parse().expect("a number");
    let session = |line: &str| {
        let (session, pages) = line.split_once('\t').expect("two columns");
        (session.to_owned(), number(pages))
    };
    sender.end().check_in(
        || ask("SELECT session_id, page_count FROM analytics.session_metrics").lines().map(session).collect(),
        || number(&ask("SELECT sum(event_count) FROM analytics.event_metrics")),
    );
    onlooker.end();
    for role in [ingest, dataflow, sink] {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn of_two_sinks_the_first_ends_by_itself_and_is_told_of_the_second() {
    let (Ok(bootstrap), Ok(server)) = (test_kafka(), test_clickhouse()) else { return };
    let database = Database::new(server.clone(), "fenced");
    let stack = stack_with(&bootstrap, &server, &database.name);
    let (ingest, dataflow) = (stack.start("ingest"), stack.start("dataflow"));
    let wait_for_generations = |count: &str| {
        wait_for("a generation", || {
            database.query("SELECT count() FROM $.sink_generations").filter(|found| found.trim() == count)
        });
    };
    let mut first = stack.start("sink");
    wait_for_generations("1");
    let second = stack.start("sink");
    wait_for_generations("2");
    let sender = Sender::start(ingest.address("ingest"));
    // It is when it has rows that it learns of the other.
    let ended = first.ended();
    assert_eq!(ended.status.code(), Some(6), "{}", ended.err);
    assert!(ended.err.contains("another sink writes database fenced_"), "{}", ended.err);
    let ask = |sql: &str| database.query(sql).expect("it answers");
    let number = |text: &str| text.trim().parse().expect("a number");
    let session = |line: &str| {
        let (session, pages) = line.split_once('\t').expect("two columns");
        (session.to_owned(), number(pages))
    };
    sender.end().check_in(
        || ask("SELECT session_id, page_count FROM $.session_metrics").lines().map(session).collect(),
        || number(&ask("SELECT sum(event_count) FROM $.event_metrics")),
    );
    for role in [ingest, dataflow, second] {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn a_sink_waits_for_a_server_that_is_away_at_the_start() {
    let Ok(bootstrap) = test_kafka() else { return };
    let dir = TempDir::new().expect("a temporary directory");
    let mut server = ClickHouse::start(dir.path()).expect("a server starts");
    let address = server.address().clone();
    server.kill();
    let stack = stack_with(&bootstrap, &address, "analytics");
    let dataflow = stack.start("dataflow");
    let sink = stack.start("sink");
    let waits = "the metric store has to wait";
    wait_for("the sink to say that it waits", || sink.logged().contains(waits).then_some(()));
    server.restart().expect("it starts again");
    wait_for("the sink to go on", || sink.logged().contains("the metric store goes on").then_some(()));
    let tables = address.query("SELECT count() FROM system.tables WHERE database = 'analytics'");
    assert_eq!(tables.expect("it answers").trim(), "9");
    for role in [dataflow, sink] {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn a_sink_ends_at_a_table_that_does_not_fit_and_says_what_to_run() {
    let (Ok(bootstrap), Ok(server)) = (test_kafka(), test_clickhouse()) else { return };
    let database = Database::new(server.clone(), "unfit");
    database.query("CREATE DATABASE $").expect("it is made");
    let old =
        "CREATE TABLE $.event_metrics (window_start DateTime64(3)) ENGINE = MergeTree ORDER BY window_start";
    database.query(old).expect("it is made");
    let stack = stack_with(&bootstrap, &server, &database.name);
    let ended = stack.start("sink").ended();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.err);
    assert!(ended.err.contains("its engine is MergeTree, expected "), "{}", ended.err);
    assert!(ended.err.contains("RENAME TABLE "), "{}", ended.err);
}
