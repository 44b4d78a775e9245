//! `openapi.json` says what is true: every route and every status in it exists, and the page that shows
//! it loads nothing from elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate_ingest::{Config, OPENAPI, Parts};
use tidegate_log::AppendError;
use tidegate_server::Origins;

use crate::client::{Answer, Connection, TRACK, VALID, ask, get, send, track};
use crate::service::{Deployment, Service, Stub, parts};

fn document() -> Value {
    serde_json::from_str(OPENAPI).expect("JSON")
}

/// What is behind a `$ref`, or the value itself.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference}")),
        None => value,
    }
}

fn taking() -> Parts<Stub> {
    let log = Stub::waiting();
    log.answers.add_permits(1000);
    parts(log)
}

/// Answers of every kind, with method and path.
async fn answers() -> Vec<(&'static str, &'static str, Answer)> {
    let well = Service::start(Config::default(), taking()).await;
    let impatient = Config { body_timeout: Duration::from_millis(20), ..Config::default() };
    let impatient = Service::start(impatient, taking()).await;
    let failing = Service::start(Config::default(), parts(Stub::failing(AppendError::Closed))).await;
    let panicking = Parts { clock: Arc::new(|| panic!("a fault of ours")), ..taking() };
    let panicking = Service::start(Config::default(), panicking).await;
    let unready = Parts { ready: Arc::new(|| Err("not yet".to_owned())), ..taking() };
    let unready = Service::start(Config::default(), unready).await;

    let mut slow = Connection::open(impatient.address).await;
    let whole = track(VALID.as_bytes());
    slow.send(&whole[..whole.len() - 1]).await;
    let slow = slow.answer().await.expect("an answer");
    let xml = ask(well.address, "POST", TRACK, &[("content-type", "text/xml")], VALID.as_bytes()).await;
    let large = vec![b' '; 300_000];
    let mut answers = vec![
        ("post", TRACK, send(well.address, VALID.as_bytes()).await),
        ("post", TRACK, send(well.address, b"nonsense").await),
        ("post", TRACK, slow),
        ("post", TRACK, send(well.address, &large).await),
        ("post", TRACK, xml),
        ("post", TRACK, send(well.address, b"{}").await),
        ("post", TRACK, send(panicking.address, VALID.as_bytes()).await),
        ("post", TRACK, send(failing.address, VALID.as_bytes()).await),
        ("get", "/v1/readyz", get(unready.address, "/v1/readyz").await),
    ];
    for path in ["/v1/healthz", "/v1/readyz", "/metrics", "/openapi.json"] {
        answers.push(("get", path, get(well.address, path).await));
    }
    answers
}

#[tokio::test]
async fn every_status_in_the_document_is_answered_and_none_besides() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            for status in operation["responses"].as_object().expect("responses").keys() {
                described.insert((method.clone(), path.clone(), status.clone()));
            }
        }
    }
    let mut met = BTreeSet::new();
    for (method, path, answer) in answers().await {
        let status = answer.status.to_string();
        let response = &document["paths"][path][method]["responses"][&status];
        let response = resolved(&document, response);
        let content_type = answer.header("content-type").expect("every answer here has a body");
        assert!(response["content"][content_type].is_object(), "{method} {path} {status}: {content_type}");
        if response["headers"]["Retry-After"].is_object() {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
        if answer.status >= 400 {
            answer.detail();
        }
        met.insert((method.to_owned(), path.to_owned(), status));
    }
    assert_eq!(met, described);
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_goes_on() {
    let panicking = Parts { clock: Arc::new(|| panic!("jane@example.com")), ..taking() };
    let service = Service::start(Config { in_flight_max: 1, ..Config::default() }, panicking).await;
    let mut connection = Connection::open(service.address).await;
    for _ in 0..3 {
        // Were the permit of a request lost with it, the second one would find no room.
        connection.send(&track(VALID.as_bytes())).await;
        let answer = connection.answer().await.expect("an answer");
        assert_eq!(answer.status, 500);
        assert!(!answer.detail().contains("jane"), "{answer:?}");
    }
}

#[tokio::test]
async fn the_examples_of_the_document_are_accepted() {
    let deployment = Deployment::with(Config::default()).await;
    let document = document();
    let examples = document
        .pointer("/paths/~1v1~1analytics~1track/post/requestBody/content/application~1json/examples")
        .and_then(Value::as_object)
        .expect("there are examples");
    assert!(examples.len() >= 2);
    for (name, example) in examples {
        let answer = send(deployment.address(), example["value"].to_string().as_bytes()).await;
        assert_eq!(answer.status, 202, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn the_document_has_no_dangling_reference_and_says_the_limits_of_the_model() {
    let document = document();
    let mut values = vec![&document];
    while let Some(value) = values.pop() {
        resolved(&document, value);
        match value {
            Value::Array(items) => values.extend(items),
            Value::Object(members) => values.extend(members.values()),
            _ => {}
        }
    }
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["HttpUrl"]["maxLength"], tidegate_model::event::URL_BYTES_MAX);
    assert_eq!(schemas["Integer"]["anyOf"][0]["maximum"], i64::MAX);
    assert_eq!(schemas["Integer"]["anyOf"][0]["minimum"], i64::MIN);
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let deployment = Deployment::with(Config::default()).await;
    let address = deployment.address();
    let moved = get(address, "/docs").await;
    assert_eq!((moved.status, moved.header("location")), (303, Some("/docs/")));
    let page = get(address, "/docs/").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("http"), "{policy}");

    // Everything that the page names is a file of ours, and is there.
    let names = page
        .body
        .split(['"', '\''])
        .filter(|text| [".js", ".css", ".png"].iter().any(|extension| text.ends_with(extension)));
    let names: Vec<_> = names.collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        assert!(!name.contains("//"), "{name} is elsewhere");
        let file = get(address, &format!("/docs/{}", name.trim_start_matches("./"))).await;
        assert_eq!(file.status, 200, "{name}");
    }
    assert!(!page.body.contains("http:") && !page.body.contains("https:"), "{}", page.body);
    let start = get(address, "/docs/swagger-initializer.js").await.body;
    assert!(start.contains(r#""url": "/openapi.json""#), "{start}");
    // Otherwise the page would show a badge from swagger.io, and tell it where we are.
    assert!(start.contains(r#""validatorUrl": "none""#), "{start}");
    assert!(!start.contains("http:") && !start.contains("https:"), "{start}");
    let nothing = get(address, "/docs/nothing").await;
    assert_eq!((nothing.status, nothing.header("content-type")), (404, Some("application/problem+json")));
    assert!(nothing.body.contains("there is nothing at /docs/nothing"), "{}", nothing.body);
}

#[tokio::test]
async fn a_page_of_another_origin_may_read_the_document_when_configured() {
    let deployment = Deployment::with(Config { origins: Origins::Any, ..Config::default() }).await;
    let answer =
        ask(deployment.address(), "GET", "/openapi.json", &[("origin", "https://a.example")], b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(answer.body, OPENAPI);
}
