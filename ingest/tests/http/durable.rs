//! What is acknowledged is in the log, complete; whoever goes away early changes nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_ingest::Config;
use tidegate_log::AppendError;

use crate::client::{Connection, VALID, get, send, track};
use crate::service::{Deployment, ID, Service, Stub, eventually, parts};

/// What the contract shows, byte for byte.
const CONTRACT: &str = r#"{
      "event": {"type": "page_view"}, "user": {"id": "user-1"},
      "device": {"user_agent": "Mozilla/5.0", "screen_width": 1920, "screen_height": 1080},
      "context": {"url": "https://example.com", "session_id": "sess-1"},
      "metrics": {"load_time": 120, "interaction_time": 400}, "properties": {} }"#;

fn valid_of(user: usize) -> String {
    VALID.replace("user-1", &format!("user-{user}"))
}

#[tokio::test]
async fn the_contracts_example_is_stored_with_every_default() {
    let deployment = Deployment::with(Config::default()).await;
    let answer = send(deployment.address(), CONTRACT.as_bytes()).await;
    assert_eq!((answer.status, &*answer.body), (202, r#"{"status":"accepted"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let stored: Vec<Value> =
        deployment.events().iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let expected = json!({
        "event": {"id": ID, "type": "page_view"},
        "user": {"id": "user-1"},
        "device": {"user_agent": "Mozilla/5.0", "screen_width": 1920, "screen_height": 1080},
        "context": {"url": "https://example.com", "referrer": null, "ip_address": null, "session_id": "sess-1"},
        "properties": {},
        "metrics": {"load_time": 120, "interaction_time": 400},
        "timestamp": 1_700_000_000_000_i64,
    });
    assert_eq!(stored, [expected]);
}

#[tokio::test]
async fn many_senders_lose_and_double_nothing_and_users_stay_in_their_partition() {
    const SENDERS: usize = 16;
    const EACH: usize = 25;
    let deployment = Deployment::with(Config::default()).await;
    let address = deployment.address();
    let senders = (0..SENDERS).map(|sender| {
        tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            for number in 0..EACH {
                let body = valid_of(sender).replace("sess-1", &format!("{sender}-{number}"));
                connection.send(&track(body.as_bytes())).await;
                assert_eq!(connection.answer().await.map(|answer| answer.status), Some(202));
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.expect("a sender does not panic");
    }
    let mut sessions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in deployment.events() {
        let event: Value = serde_json::from_str(&event).expect("JSON");
        let text =
            |pointer: &str| event.pointer(pointer).and_then(Value::as_str).expect("a string").to_owned();
        sessions.entry(text("/user/id")).or_default().push(text("/context/session_id"));
    }
    assert_eq!(sessions.len(), SENDERS);
    for (user, sessions) in sessions {
        let sender = user.strip_prefix("user-").expect("a name of ours");
        // In the order in which they were sent, because one partition has them all.
        let expected: Vec<_> = (0..EACH).map(|number| format!("{sender}-{number}")).collect();
        assert_eq!(sessions, expected, "{user}");
    }
}

#[tokio::test]
async fn no_answer_comes_before_the_log_has_answered() {
    let log = Stub::waiting();
    let service = Service::start(Config::default(), parts(log.clone())).await;
    let mut connection = Connection::open(service.address).await;
    connection.send(&track(VALID.as_bytes())).await;
    let in_flight = "tidegate_ingest_in_flight 1";
    eventually("it is under way", async || get(service.address, "/metrics").await.body.contains(in_flight))
        .await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(50), connection.answer()).await;
    assert!(early.is_err(), "it was answered before it was stored");
    log.answers.add_permits(1);
    assert_eq!(connection.answer().await.map(|answer| answer.status), Some(202));
    service.stop().await;
}

#[tokio::test]
async fn an_event_is_stored_and_counted_although_its_client_has_gone() {
    let log = Stub::waiting();
    let service = Service::start(Config::default(), parts(log.clone())).await;
    let address = service.address;
    let mut connection = Connection::open(address).await;
    connection.send(&track(VALID.as_bytes())).await;
    let shows = async |line: &str| get(address, "/metrics").await.body.lines().any(|found| found == line);
    eventually("it is under way", async || shows("tidegate_ingest_in_flight 1").await).await;
    drop(connection);
    let gone = "tidegate_http_requests_in_flight 1";
    eventually("the server has seen it go", async || shows(gone).await).await;
    // It still counts against the limit, because the log still holds it.
    assert!(shows("tidegate_ingest_in_flight 1").await);
    log.answers.add_permits(1);
    eventually("it is counted", async || shows("tidegate_ingest_events_accepted_total 1").await).await;
    assert!(shows("tidegate_ingest_in_flight 0").await);
    assert_eq!(log.taken().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn stopping_answers_what_is_under_way() {
    let log = Stub::waiting();
    let service = Service::start(Config::default(), parts(log.clone())).await;
    let address = service.address;
    let mut connection = Connection::open(address).await;
    connection.send(&track(VALID.as_bytes())).await;
    let in_flight = "tidegate_ingest_in_flight 1";
    eventually("it is under way", async || get(address, "/metrics").await.body.contains(in_flight)).await;
    let stopping = tokio::spawn(service.stop());
    log.answers.add_permits(1);
    assert_eq!(connection.answer().await.map(|answer| answer.status), Some(202));
    stopping.await.expect("it stops");
    assert_eq!(log.taken().len(), 1);
}

#[tokio::test]
async fn an_append_of_unknown_outcome_says_that_a_retry_may_count_twice() {
    let (path, reason) = ("/var/lib/secret".to_owned(), "I/O error".to_owned());
    let log = Stub::failing(AppendError::Indefinite { path, reason });
    let service = Service::start(Config::default(), parts(log)).await;
    let answer = send(service.address, VALID.as_bytes()).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), None, "a client that retries must not be told to");
    let detail = answer.detail();
    assert!(detail.contains("may or may not have been stored") && detail.contains("twice"), "{detail}");
    assert!(!answer.body.contains("secret"), "{answer:?}");
}
