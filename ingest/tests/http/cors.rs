//! Browsers: preflights, what a page may read, and `sendBeacon`.

use tidegate_ingest::Config;
use tidegate_server::Origins;

use crate::client::{TRACK, VALID, ask};
use crate::service::Deployment;

const SHOP: &str = "https://shop.example";

async fn listed() -> Deployment {
    let origins = Origins::parse(&[SHOP]).expect("an origin");
    Deployment::with(Config { origins, ..Config::default() }).await
}

fn preflight(origin: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ]
}

#[tokio::test]
async fn a_preflight_is_answered_for_a_listed_origin_only() {
    let deployment = listed().await;
    let answer = ask(deployment.address(), "OPTIONS", TRACK, &preflight(SHOP), b"").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(SHOP));
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")));
    assert!(
        answer.header("access-control-allow-headers").is_some_and(|names| names.contains("content-type"))
    );
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert!(answer.header("access-control-max-age").is_some());

    let answer = ask(deployment.address(), "OPTIONS", TRACK, &preflight("https://evil.example"), b"").await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_page_may_read_answers_and_refusals() {
    let deployment = listed().await;
    let headers = [("origin", SHOP), ("content-type", "application/json")];
    for (body, status) in [(VALID, 202), ("{}", 422)] {
        let answer = ask(deployment.address(), "POST", TRACK, &headers, body.as_bytes()).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, Some(SHOP)));
        assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"));
    }
    assert_eq!(deployment.events().len(), 1);
}

#[tokio::test]
async fn every_origin_may_send_when_configured() {
    let deployment = Deployment::with(Config { origins: Origins::Any, ..Config::default() }).await;
    let answer = ask(deployment.address(), "OPTIONS", TRACK, &preflight(SHOP), b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
}

#[tokio::test]
async fn without_origins_no_page_may_read_and_a_preflight_is_refused() {
    let deployment = Deployment::with(Config::default()).await;
    let answer = ask(deployment.address(), "OPTIONS", TRACK, &preflight(SHOP), b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
}

/// What `navigator.sendBeacon(url, JSON.stringify(event))` sends: no preflight, and no answer is read.
#[tokio::test]
async fn a_beacon_is_taken() {
    let deployment = Deployment::with(Config::default()).await;
    let headers =
        [("origin", SHOP), ("content-type", "text/plain;charset=UTF-8"), ("sec-fetch-mode", "no-cors")];
    let answer = ask(deployment.address(), "POST", TRACK, &headers, VALID.as_bytes()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(deployment.events().len(), 1);
}
