//! The metric tables on a real ClickHouse, with the sink and the server killed under load.

use std::collections::BTreeSet;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_services::{ClickHouse, test_kafka};

use crate::common::wait_for;
use crate::load::Sender;
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
    let sent = sender.end();
    let sessions = || {
        let rows = address.query("SELECT session_id, page_count FROM analytics.session_metrics");
        let rows = rows.expect("it answers");
        let row = |line: &str| {
            line.split_once('\t').map(|(id, pages)| (id.to_owned(), pages.to_owned())).expect("two columns")
        };
        rows.lines().map(row).collect::<Vec<_>>()
    };
    wait_for("every acknowledged event to have a row", || {
        let found: BTreeSet<String> = sessions().into_iter().map(|(session, _)| session).collect();
        sent.acknowledged.is_subset(&found).then_some(())
    });
    let found = sessions();
    let distinct: BTreeSet<&String> = found.iter().map(|(session, _)| session).collect();
    assert_eq!(distinct.len(), found.len(), "each session once");
    assert!(found.iter().all(|(session, pages)| sent.events.contains(session) && pages == "1"));
    let counted =
        || address.query("SELECT sum(event_count) FROM analytics.event_metrics").expect("it answers");
    wait_for("the windows to say the same", || (counted().trim() == found.len().to_string()).then_some(()));
    println!(
        "sent {}, acknowledged {}, in rows {}, lost 0, twice 0",
        sent.events.len(),
        sent.acknowledged.len(),
        found.len()
    );
    for role in [ingest, dataflow, sink] {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}
