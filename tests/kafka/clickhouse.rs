//! The metric tables on a real ClickHouse, with the sink and the server killed under load.

use std::time::Duration;

use tempfile::TempDir;
use tidegate_services::{ClickHouse, test_kafka};

use crate::load::Sender;
use crate::onlooker::Onlooker;
use crate::stack::Stack;

#[test]
fn clickhouse_has_every_row_once_whatever_is_killed() {
    let Ok(bootstrap) = test_kafka() else { return };
    // One of its own: it is killed.
    let dir = TempDir::new().expect("a temporary directory");
    let mut server = ClickHouse::start(dir.path()).expect("a server starts");
    let address = server.address().clone();
    let mut stack = Stack::new(&bootstrap);
    let (host, port) = address
        .http_address()
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .expect("an address");
    stack.settings = vec![
        format!("clickhouse.host={host}"),
        format!("clickhouse.port={port}"),
        "clickhouse.database=analytics".to_owned(),
        "store.batch_wait=200ms".to_owned(),
    ];
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
