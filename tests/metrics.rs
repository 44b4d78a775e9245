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

/// The metrics that the page of operations names in backticks, without their labels.
fn explained() -> BTreeSet<String> {
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
    let quoted = page.split('`').skip(1).step_by(2);
    let name = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        text[..end].to_owned()
    };
    let whole =
        |name: &String| !name.ends_with('_') && PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    quoted.map(name).filter(whole).collect()
}

#[test]
fn every_metric_is_explained_and_every_explanation_has_its_metric() {
    let dir = TempDir::new().expect("a temporary directory");
    let service = Service::start(up(dir.path(), "data").args(SHORT));
    let mut client = service.client("ingest");
    // What was never counted has no label yet, and some have to be asked for.
    assert_eq!(client.post("/v1/analytics/track", "{}").expect("it answers").status, 422);
    let event = Event { load_time: Some(7), ..Event::page_view("u", 1) }.line();
    let now = event.replace(",\"timestamp\":1", "");
    assert_eq!(client.post("/v1/analytics/track", &now).expect("it answers").status, 202);
    service.client("api").get("/metrics/overview").expect("it answers");
    let explained = explained();
    let listeners = ["ingest", "api", "metrics", "sinks"];
    wait_for("every explained metric", || {
        let pages =
            listeners.map(|listener| service.client(listener).get("/metrics").expect("it answers").text());
        let found: BTreeSet<String> = pages.iter().flat_map(|page| families(page)).collect();
        let unexplained: Vec<_> = found.difference(&explained).collect();
        assert!(unexplained.is_empty(), "not in docs/operations.md: {unexplained:?}");
        let missing: Vec<_> = explained.difference(&found).collect();
        if !missing.is_empty() {
            eprintln!("not there yet: {missing:?}");
        }
        missing.is_empty().then_some(())
    });
}
