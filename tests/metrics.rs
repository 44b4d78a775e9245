//! The pages of metrics, and the page that explains them: each names what the other does.

mod common;

use std::collections::BTreeSet;

use common::Event;
use common::service::{SHORT, Service, up};
use common::wait_for;
use tempfile::TempDir;

/// The families of a page of metrics, counters with their suffix.
fn families(page: &str) -> BTreeSet<String> {
    let of_line = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        Some(format!("{name}{suffix}"))
    };
    page.lines().filter_map(of_line).collect()
}

/// The sections of the page of operations that explain metrics, and the listeners that show them.
const SECTIONS: [(&str, &[&str]); 6] = [
    ("## The dataflow's metrics: port 9249", &["metrics"]),
    ("### Ingest: port 8000", &["ingest"]),
    ("### The cache API: port 8080", &["api"]),
    ("### The sinks: port 8001", &["sinks"]),
    ("### On every listener", &["ingest", "api", "metrics", "sinks"]),
    ("### Freshness", &["metrics"]),
];

/// The metrics of requests are those of the listeners that people ask.
fn is_shown(name: &str, listener: &str) -> bool {
    !name.starts_with("tidegate_http_") || ["ingest", "api"].contains(&listener)
}

/// The metrics that the page of operations names in backticks for a listener, without their labels.
fn explained(listener: &str) -> BTreeSet<String> {
    const PREFIXES: [&str; 8] = [
        "tidegate_",
        "process_",
        "http_",
        "ingestion_",
        "kafka_",
        "storage_",
        "cache_kafka_",
        "cache_redis_",
    ];
    let page = include_str!("../docs/operations.md");
    let name = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let whole =
        |name: &String| !name.ends_with('_') && PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let of_listener = SECTIONS.iter().filter(|(_, listeners)| listeners.contains(&listener));
    let quoted = of_listener.flat_map(|(heading, _)| {
        let (_, after) = page.split_once(&format!("\n{heading}\n")).expect(heading);
        let end = after.find("\n#").unwrap_or(after.len());
        after[..end].split('`').skip(1).step_by(2)
    });
    quoted.map(name).filter(whole).filter(|name| is_shown(name, listener)).collect()
}

#[test]
fn every_metric_is_explained_and_every_explanation_has_its_metric() {
    let dir = TempDir::new().expect("a temporary directory");
    // What it knows of snapshots is told by one that begins with the snapshot of another, and soon makes its own.
    let start = || Service::start(up(dir.path(), "data").args(SHORT).args(["--set", "snapshot.every=200ms"]));
    assert!(start().terminate().status.success(), "it ends in order");
    let service = start();
    let mut client = service.client("ingest");
    // What was never counted has no label yet, and some have to be asked for.
    assert_eq!(client.post("/v1/analytics/track", "{}").expect("it answers").status, 422);
    let event = Event { load_time: Some(7), ..Event::page_view("u", 1) }.line();
    let now = event.replace(",\"timestamp\":1", "");
    assert_eq!(client.post("/v1/analytics/track", &now).expect("it answers").status, 202);
    service.client("api").get("/metrics/overview").expect("it answers");
    // The limits are the defaults of docs/configuration.md.
    let lines = [
        "tidegate_log_group_events_sum 1.0",
        "tidegate_log_group_duration_seconds_count 1",
        "tidegate_log_queue_bytes 0",
        "tidegate_log_queue_limit_bytes 67108864",
        "tidegate_log_size_limit_bytes 68719476736",
        "tidegate_log_refusing 0",
    ];
    wait_for("the log to tell of the event", || {
        let page = client.get("/metrics").expect("it answers").text();
        lines.iter().all(|line| page.lines().any(|found| found == *line)).then_some(())
    });
    // The dataflow's own listener has its metrics on a port beside it.
    assert_eq!(service.client("dataflow").get("/metrics").expect("it answers").status, 404);
    for listener in ["ingest", "api", "metrics", "sinks"] {
        let explained = explained(listener);
        let mut client = service.client(listener);
        let mut missing = Vec::new();
        wait_for(&format!("every explained metric of {listener}"), || {
            let answer = client.get("/metrics").expect("it answers");
            assert_eq!(answer.status, 200, "{listener}: {}", answer.text());
            let found = families(&answer.text());
            let unexplained: Vec<_> = found.difference(&explained).collect();
            assert!(unexplained.is_empty(), "not in docs/operations.md for {listener}: {unexplained:?}");
            let still: Vec<_> = explained.difference(&found).cloned().collect();
            if still != missing {
                eprintln!("{listener}: not there yet: {still:?}");
                missing = still;
            }
            missing.is_empty().then_some(())
        });
    }
}
