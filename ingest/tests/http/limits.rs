//! Every limit of the service: what happens at it, and that it heals.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidegate_ingest::Config;
use tidegate_log::AppendError;
use tidegate_log::EventReader as _;
use tidegate_log::embedded::{EmbeddedLog, Needed, Options};
use tidegate_model::PartitionId;

use crate::client::{Connection, TRACK, VALID, get, send, track};
use crate::full_disk::FullDisk;
use crate::service::{Deployment, NOW, Service, Stub, events, eventually, parts, send_until_accepted};

/// An event with so many bytes that the log takes `bytes` or a little more for it.
fn large(bytes: usize) -> Vec<u8> {
    VALID.replace("Mozilla/5.0", &"x".repeat(bytes)).into_bytes()
}

#[tokio::test]
async fn an_event_beyond_those_under_way_is_refused_before_its_body_is_read() {
    let log = Stub::waiting();
    let config = Config { in_flight_max: 1, retry_after: Duration::from_millis(2500), ..Config::default() };
    let service = Service::start(config, parts(log.clone())).await;
    let address = service.address;
    let mut first = Connection::open(address).await;
    first.send(&track(VALID.as_bytes())).await;
    let in_flight = "tidegate_ingest_in_flight 1";
    eventually("it is under way", async || get(address, "/metrics").await.body.contains(in_flight)).await;

    let mut second = Connection::open(address).await;
    let head = format!("POST {TRACK} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n");
    second.send(head.as_bytes()).await;
    let answer = second.answer().await.expect("it is answered although no body came");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3")));
    assert!(
        answer.detail().contains("1 events are under way") && answer.body.contains("ingest.in_flight_max")
    );

    log.answers.add_permits(2);
    assert_eq!(first.answer().await.map(|answer| answer.status), Some(202));
    assert_eq!(send_until_accepted(address, VALID.as_bytes()).await, BTreeSet::new());
    assert_eq!(log.taken().len(), 2);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_and_without_a_length() {
    let config = Config { body_bytes_max: 1000, ..Config::default() };
    let deployment = Deployment::with(config).await;
    let fits = large(1000 - VALID.len() + "Mozilla/5.0".len());
    assert_eq!(fits.len(), 1000);
    assert_eq!(send(deployment.address(), &fits).await.status, 202);

    // Not a byte of the body is sent: what the head says is enough.
    let mut connection = Connection::open(deployment.address()).await;
    connection
        .send(format!("POST {TRACK} HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n").as_bytes())
        .await;
    let answer = connection.answer().await.expect("an answer");
    assert_eq!(answer.status, 413);
    let detail = answer.detail();
    assert!(detail.contains("1000 bytes (ingest.body_bytes_max)"), "{detail}");

    let mut connection = Connection::open(deployment.address()).await;
    let head = format!("POST {TRACK} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    connection.send(head.as_bytes()).await;
    let mut chunk = b"1f4\r\n".to_vec();
    chunk.extend_from_slice(&[b' '; 0x1f4]);
    chunk.extend_from_slice(b"\r\n");
    // The body never ends; the third chunk is beyond the limit.
    for _ in 0..3 {
        connection.send(&chunk).await;
    }
    assert_eq!(connection.answer().await.map(|answer| answer.status), Some(413));
    connection.closed().await;
    assert_eq!(deployment.events().len(), 1);
}

#[tokio::test]
async fn a_slow_body_is_given_up_and_its_connection_closed() {
    let config = Config { body_timeout: Duration::from_millis(50), in_flight_max: 1, ..Config::default() };
    let deployment = Deployment::with(config).await;
    let whole = track(VALID.as_bytes());
    for sent in [whole.len() - VALID.len(), whole.len() - 1] {
        let mut connection = Connection::open(deployment.address()).await;
        connection.send(&whole[..sent]).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, 408);
        assert!(answer.detail().contains("50 ms (ingest.body_timeout)"), "{answer:?}");
        connection.closed().await;
    }
    assert_eq!(deployment.events(), Vec::<String>::new());
    // What was given up is not under way any more.
    assert_eq!(send(deployment.address(), VALID.as_bytes()).await.status, 202);
}

#[tokio::test]
async fn a_full_log_refuses_and_heals_when_there_is_room_again() {
    let options =
        Options { partitions: 1, segment_bytes_max: 4096, total_bytes_max: 16 << 10, ..Options::default() };
    let deployment = Deployment::start(Config::default(), options).await;
    let body = large(2000);
    let mut accepted = 0;
    let refusal = loop {
        let answer = send(deployment.address(), &body).await;
        match answer.status {
            202 => accepted += 1,
            _ => break answer,
        }
        assert!(accepted < 100, "the limit is never met");
    };
    assert_eq!((refusal.status, refusal.header("retry-after")), (503, Some("1")));
    let detail = refusal.detail();
    assert!(detail.contains("of 16384 bytes") && detail.contains("log.total_bytes_max"), "{detail}");
    assert_eq!(deployment.events().len(), accepted);
    let ready = get(deployment.address(), "/v1/readyz").await;
    assert_eq!((ready.status, ready.detail()), (503, detail));

    let end = deployment.log.reader().bounds(PartitionId(0)).expect("the partition exists").end;
    let needed = Needed { events_from: [(PartitionId(0), end)].into(), ..Needed::default() };
    deployment.log.retain(&needed).expect("what nobody needs can be removed");
    assert_eq!(send_until_accepted(deployment.address(), &body).await, BTreeSet::new());
    assert_eq!(get(deployment.address(), "/v1/readyz").await.status, 200);
}

#[tokio::test]
async fn a_full_disk_refuses_and_heals_by_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = FullDisk::with_room();
    let files = Arc::new(disk.clone());
    let log = EmbeddedLog::open_with(dir.path(), Options::default(), files, Arc::new(|| NOW))
        .expect("an empty directory can be opened");
    let service = Service::start(Config::default(), parts(log.appender())).await;
    assert_eq!(send(service.address, VALID.as_bytes()).await.status, 202);

    disk.set_full(true);
    let answer = send(service.address, VALID.as_bytes()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let detail = answer.detail();
    assert!(detail.starts_with("no space is left on the log's disk; the event was not taken"), "{detail}");
    let shown = dir.path().display().to_string();
    assert!(!answer.body.contains(&shown), "{answer:?}");
    let ready = get(service.address, "/v1/readyz").await;
    assert_eq!((ready.status, ready.detail()), (503, detail));
    let page = get(service.address, "/metrics").await.body;
    assert!(page.contains("tidegate_ingest_appends_failed_total{reason=\"disk_full\"} 1"), "{page}");
    assert!(page.contains("kafka_producer_errors_total 1"), "{page}");

    disk.set_full(false);
    let others = send_until_accepted(service.address, VALID.as_bytes()).await;
    assert!(others.is_subset(&BTreeSet::from([503])), "{others:?}");
    assert_eq!(get(service.address, "/v1/readyz").await.status, 200);
    assert_eq!(events(&log).len(), 2);
}

#[tokio::test]
async fn a_closed_log_is_told() {
    let deployment = Deployment::with(Config::default()).await;
    let Deployment { service, log, .. } = deployment;
    log.close();
    let answer = send(service.address, VALID.as_bytes()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.detail().starts_with("the log is shutting down"), "{answer:?}");
}

#[tokio::test]
async fn an_event_that_is_too_large_for_the_log_is_refused() {
    let options = Options { append_bytes_max: 1000, ..Options::default() };
    let deployment = Deployment::start(Config::default(), options).await;
    let answer = send(deployment.address(), &large(1000)).await;
    assert_eq!(answer.status, 413);
    assert!(answer.detail().contains("append_bytes_max"), "{answer:?}");
}

#[tokio::test]
async fn the_service_is_as_ready_as_the_process() {
    let recovered = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&recovered);
    let mut parts = parts(Stub::failing(AppendError::Closed));
    parts.ready = Arc::new(move || {
        asked.load(Ordering::Relaxed).then_some(()).ok_or_else(|| "3 of 5 epochs are replayed".to_owned())
    });
    let service = Service::start(Config::default(), parts).await;
    let answer = get(service.address, "/v1/readyz").await;
    assert_eq!((answer.status, &*answer.detail()), (503, "3 of 5 epochs are replayed"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    recovered.store(true, Ordering::Relaxed);
    let answer = get(service.address, "/v1/readyz").await;
    assert_eq!((answer.status, &*answer.body), (200, r#"{"status":"ready"}"#));
    assert_eq!(get(service.address, "/v1/healthz").await.body, r#"{"status":"ok"}"#);
}
