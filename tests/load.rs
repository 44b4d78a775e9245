//! The load generator against real servers that are slow, broken or away.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::stub::{Reply, Stub};
use common::{run as run_program, tidegate, wait_for};
use hyper::Method;
use tempfile::TempDir;
use tidegate::client::{Client, FailureKind, Target};
use tidegate::load::{self, LoadConfig, LoadStats, Rate, Totals, TrafficConfig};
use tidegate_runner::clock::SystemClock;
use tokio_util::sync::CancellationToken;

fn config(url: &str, rate: f64, connections: usize, duration: Duration) -> LoadConfig {
    LoadConfig {
        target: Arc::new(Target::parse(url, load::PATH).expect("a URL")),
        rate: Rate::per_second(rate).expect("a rate"),
        duration: Some(duration),
        connections,
        timeout: Duration::from_secs(20),
        traffic: TrafficConfig::default(),
        truth_window_ms: None,
    }
}

fn run(config: LoadConfig, stats: Arc<LoadStats>, stop: CancellationToken) -> Totals {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let run = load::run(config, &SystemClock, stats, stop);
    runtime.expect("a runtime").block_on(run).expect("a run")
}

fn run_to_its_end(config: LoadConfig) -> Totals {
    run(config, Arc::default(), CancellationToken::new())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn everything_that_is_due_is_sent_once_and_acknowledged() {
    let bodies = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let stub = Stub::start(move |request| {
        assert!(request.head.starts_with("POST /v1/analytics/track HTTP/1.1\r\n"), "{}", request.head);
        seen.lock().expect("no panic").push(request.body.clone());
        Reply::accepted()
    });
    let mut load = config(&stub.url(), 1_000.0, 8, ms(300));
    load.traffic = TrafficConfig { disorder_ms: 50, late: 0.1, ..TrafficConfig::default() };
    load.truth_window_ms = Some(60_000);
    let totals = run_to_its_end(load.clone());
    assert_eq!((totals.due, totals.sent, totals.acknowledged, totals.unsent()), (300, 300, 300, 0));
    assert!(totals.is_complete() && totals.latency.count == 300, "{totals:?}");
    assert!(totals.late > 0 && totals.late <= 54, "{}", totals.late);
    assert_eq!(totals.acknowledged_by_type.values().sum::<u64>(), 300);
    assert_eq!(totals.windows.iter().map(|row| row.events).sum::<u64>(), 300);

    // The same seed at another rate: the same events but for their times.
    let strip = |bodies: &mut Vec<Vec<u8>>| -> Vec<serde_json::Value> {
        let mut events: Vec<serde_json::Value> =
            bodies.drain(..).map(|body| serde_json::from_slice(&body).expect("JSON")).collect();
        for event in &mut events {
            event["timestamp"] = 0.into();
        }
        events.sort_by_key(|event| event["event"]["id"].as_str().map(str::to_owned));
        events
    };
    let first = strip(&mut bodies.lock().expect("no panic"));
    run_to_its_end(LoadConfig {
        rate: Rate::per_second(3_000.0).expect("a rate"),
        duration: Some(ms(100)),
        ..load
    });
    assert_eq!(strip(&mut bodies.lock().expect("no panic")), first);
}

/// One connection, and a server that holds the first request until twenty more are due: each of those is
/// answered at once when its turn comes, and has waited all the same.
#[test]
fn latency_counts_from_when_a_request_is_due() {
    let stats = Arc::new(LoadStats::default());
    let shown = stats.clone();
    let stub = Stub::start(move |request| {
        if request.number == 0 {
            wait_for("twenty due requests", || (shown.snapshot().due > 20).then_some(()));
        }
        Reply::accepted()
    });
    let totals = run(config(&stub.url(), 100.0, 1, ms(300)), stats, CancellationToken::new());
    assert_eq!((totals.due, totals.acknowledged), (30, 30));
    // Request 20 was due after 200 ms, and none was answered before; so request 5 waited for 150 ms at least.
    assert!(totals.latency.max_ms >= 199.0, "{:?}", totals.latency);
    assert!(totals.latency.p50_ms >= 40.0, "{:?}", totals.latency);
    assert!(totals.latency.min_ms < totals.latency.p50_ms, "{:?}", totals.latency);
}

#[test]
fn what_is_still_waiting_when_patience_ends_is_unsent_and_what_is_silent_unanswered() {
    let stub = Stub::start(|request| if request.number == 0 { Reply::Silence } else { Reply::accepted() });
    let silent = LoadConfig { timeout: ms(2_000), ..config(&stub.url(), 100.0, 1, ms(100)) };
    let totals = run_to_its_end(silent);
    // The one connection was given up at about the time at which waiting ended; how many went over the next one
    // is a matter of luck.
    assert_eq!((totals.due, totals.unanswered), (10, 1));
    assert_eq!(totals.failures[&FailureKind::Timeout], 1);
    assert_eq!(totals.sent + totals.unsent(), 10);
    assert_eq!(totals.sent, totals.acknowledged + totals.unanswered);
    assert!(totals.latency.max_ms >= 1_999.0 && !totals.is_complete(), "{totals:?}");
}

#[test]
fn every_way_to_fail_has_its_count() {
    let stub = Stub::start(|request| match request.number % 6 {
        0 => Reply::Answer(503, "retry-after: 1\r\n", String::new()),
        1 => Reply::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()),
        2 => Reply::Bytes(Vec::new()),
        3 => Reply::Bytes(b"HTTP/1.1 202 x\r\ncontent-length: 100\r\n\r\nshort".to_vec()),
        4 => Reply::Answer(202, "", " ".repeat(100_000)),
        _ => Reply::accepted(),
    });
    let totals = run_to_its_end(config(&stub.url(), 1_000.0, 1, ms(60)));
    assert_eq!(
        (totals.sent, totals.acknowledged, totals.refused, totals.unanswered),
        (60, 10, 10, 40),
        "{totals:?}"
    );
    assert_eq!(totals.statuses.iter().collect::<Vec<_>>(), [(&202, &10), (&503, &10)]);
    let failures: Vec<_> = totals.failures.iter().map(|(kind, count)| (*kind, *count)).collect();
    let expected = [(FailureKind::Lost, 20), (FailureKind::NotHttp, 10), (FailureKind::TooLarge, 10)];
    assert_eq!(failures, expected);
}

/// A server closes kept connections when it likes. A request that meets this was not sent, so another connection
/// takes it.
#[test]
fn a_kept_connection_that_was_closed_costs_nothing() {
    // It does not say that it is going to close, but does.
    let stub = Stub::start(|_| Reply::Bytes(b"HTTP/1.1 202 x\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let target = Arc::new(Target::parse(&stub.url(), "/").expect("a URL"));
    let mut client = Client::new(target, Duration::from_secs(20));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let stub = Arc::new(stub);
    runtime.block_on(async {
        for count in 1..=5 {
            let answer = client.send(Method::POST, Bytes::from_static(b"{}")).await.expect("an answer");
            assert_eq!(answer.status, 202);
            let stub = stub.clone();
            let closed =
                move || wait_for("the connection to be closed", || (stub.closed() == count).then_some(()));
            tokio::task::spawn_blocking(closed).await.expect("it closes");
            // It is told of it in its own time.
            while client.is_kept().await {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn requests_to_nobody_have_failed_for_sure() {
    let stub = Stub::start(|_| Reply::accepted());
    let url = stub.url();
    drop(stub);
    wait_for("the port to be closed", || std::net::TcpStream::connect(&url[7..]).is_err().then_some(()));
    let totals = run_to_its_end(config(&url, 1_000.0, 2, ms(20)));
    assert_eq!(
        (totals.sent, totals.failed, totals.failures[&FailureKind::Connect]),
        (20, 20, 20),
        "{totals:?}"
    );
}

#[test]
fn being_told_to_stop_ends_a_run_without_end() {
    let (stats, stop) = (Arc::new(LoadStats::default()), CancellationToken::new());
    let (shown, told) = (stats.clone(), stop.clone());
    let stub = Stub::start(move |_| {
        if shown.snapshot().acknowledged >= 50 {
            told.cancel();
        }
        Reply::accepted()
    });
    let endless = LoadConfig { duration: None, ..config(&stub.url(), 2_000.0, 4, ms(0)) };
    let totals = run(endless, stats, stop);
    assert!(
        totals.is_interrupted && totals.acknowledged >= 50 && totals.acknowledged == totals.sent,
        "{totals:?}"
    );
}

#[test]
fn the_rate_max_sends_as_fast_as_the_answers_come() {
    let stub = Stub::start(|_| Reply::accepted());
    let load = LoadConfig { rate: Rate::Max, ..config(&stub.url(), 1.0, 4, ms(200)) };
    let totals = run_to_its_end(load);
    assert!(
        totals.is_complete() && totals.acknowledged > 20 && totals.asked_per_second.is_none(),
        "{totals:?}"
    );
}

#[test]
fn the_program_reports_and_its_exit_code_says_whether_all_were_acknowledged() {
    let dir = TempDir::new().expect("a directory");
    let stub = Stub::start(|_| Reply::accepted());
    let load = |url: &str, format: &str| {
        let fixed = ["load", "--rate", "200", "--duration", "100ms", "--late", "0.2", "--format", format];
        run_program(tidegate(dir.path()).args(fixed).args(["--url", url]))
    };
    let ran = load(&stub.url(), "table");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    for part in
        [" 200 events/s\n", "  acknowledged              20  202: durable\n", "\nAnswers by status:\n"]
    {
        assert!(ran.out.contains(part), "{part:?} in\n{}", ran.out);
    }
    let refusing = Stub::start(|_| Reply::Answer(429, "", String::new()));
    let ran = load(&refusing.url(), "json");
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&report["refused"], &report["statuses"]["429"]), (&20.into(), &20.into()));
}

#[test]
fn the_program_sends_nothing_where_nobody_listens_and_asks_for_a_plain_url() {
    let dir = TempDir::new().expect("a directory");
    let begun = Instant::now();
    for (url, code, said) in [
        (
            "http://127.0.0.1:1",
            1,
            "nothing was sent to http://127.0.0.1:1/v1/analytics/track: cannot connect",
        ),
        ("https://example.com", 2, "wants TLS"),
        ("localhost:8000", 2, "does not begin with http://"),
    ] {
        let ran = run_program(tidegate(dir.path()).args(["load", "--duration", "10m", "--url", url]));
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{}", ran.err);
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    assert!(begun.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_health_check_says_in_one_line_what_is_wrong() {
    let dir = TempDir::new().expect("a directory");
    let check = |url: &str| {
        let timeout = if url.ends_with("silent") { "300ms" } else { "1m" };
        let ran = run_program(tidegate(dir.path()).args(["healthcheck", "--timeout", timeout, url]));
        assert!(ran.err.lines().count() <= 1, "{}", ran.err);
        (ran.code, ran.out, ran.err)
    };
    let stub = Stub::start(|request| match request.head.split(' ').nth(1) {
        Some("/v1/readyz") => Reply::Answer(204, "", String::new()),
        Some("/silent") => Reply::Silence,
        _ => Reply::Answer(503, "", "{\n  \"detail\": \"no space is left\"\n}".to_owned()),
    });
    let ready = format!("{}/v1/readyz", stub.url());
    assert_eq!(check(&ready), (Some(0), format!("{ready}: 204 No Content\n"), String::new()));
    for (path, said) in [
        ("/", "/: answered 503 Service Unavailable: { \"detail\": \"no space is left\" }\n"),
        ("/silent", "/silent: no answer within 300ms\n"),
    ] {
        let (code, out, err) = check(&format!("{}{path}", stub.url()));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.ends_with(said), "{err}");
    }
    // Without a URL it asks where this configuration listens.
    let own = run_program(
        tidegate(dir.path()).args(["healthcheck", "--set"]).arg(format!("ingest.listen={}", stub.address)),
    );
    assert_eq!((own.code, own.out), (Some(0), format!("{ready}: 204 No Content\n")), "{}", own.err);
}
