//! Every route that is read once, over a real socket.

mod common;

use std::io::Read as _;

use axum::http::{Method, StatusCode};
use serde_json::json;
use tidegate_cache_api::Config;
use tidegate_model::EventTime;
use tidegate_server::Origins;

use common::{Server, events, open_events, performance, sessions};

/// 2015-05-17T10:05:00Z, in minutes.
const MINUTE: i64 = 23_864_285;
const START: i64 = MINUTE * 60_000;

async fn server() -> Server {
    Server::start(Config::default()).await
}

/// A server with rows of every kind.
async fn filled() -> Server {
    let mut server = server().await;
    server.apply(vec![
        events(5, MINUTE, "page_view", 2),
        events(5, MINUTE, "click", 1),
        events(5, MINUTE - 1, "click", 7),
        open_events(6, MINUTE + 1, "page_view", 3),
        performance(5, MINUTE, "Mobile", 120.0, 250.25),
        sessions(5, MINUTE, "Desktop", 4),
    ]);
    server.set_as_of(1_431_857_160_100, EventTime::from_millis(START + 60_000));
    server
}

#[tokio::test]
async fn every_route_answers_as_the_contract_says() {
    let server = filled().await;
    let latest = format!(
        r#"{{"window_start":{START},"click.count":1,"click.users":1,"page_view.count":2,"page_view.users":1}}"#
    );
    let earlier = format!(r#"{{"window_start":{},"click.count":7,"click.users":1}}"#, START - 60_000);
    let perf =
        format!(r#"{{"window_start":{START},"Mobile.avg_load_time":120.0,"Mobile.p95_load_time":250.25}}"#);
    let session = format!(
        r#"{{"window_start":{START},"Desktop.avg_duration":1500.5,"Desktop.avg_page_count":2.0,"Desktop.bounces":1,"Desktop.sessions":4}}"#
    );
    let open = format!(
        r#"{{"window_end":{},"window_start":{},"page_view.count":3,"page_view.users":1}}"#,
        START + 120_000,
        START + 60_000
    );
    for (path, body) in [
        ("/healthz", r#"{"redis":true,"status":"ok"}"#.to_owned()),
        ("/readyz", r#"{"status":"ready"}"#.to_owned()),
        ("/metrics/overview", format!(r#"{{"event_latest":{latest},"performance_latest":{perf}}}"#)),
        ("/metrics/event/latest", latest.clone()),
        ("/metrics/event/windows", format!(r#"{{"windows":[{latest},{earlier}]}}"#)),
        ("/metrics/event/windows?limit=20", format!(r#"{{"windows":[{latest},{earlier}]}}"#)),
        ("/metrics/event/windows?limit=1", format!(r#"{{"windows":[{latest}]}}"#)),
        ("/metrics/performance/windows?limit=20", format!(r#"{{"windows":[{perf}]}}"#)),
        ("/metrics/session/windows?limit=20", format!(r#"{{"windows":[{session}]}}"#)),
        ("/metrics/performance/latest", perf.clone()),
        ("/metrics/session/latest", session.clone()),
        ("/live/overview", format!(r#"{{"event":{{"windows":[{open}]}},"performance":{{"windows":[]}}}}"#)),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, &*body), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        if path.starts_with("/metrics") || path.starts_with("/live") {
            assert_eq!(answer.header("tidegate-frontier"), Some("2015-05-17T10:06:00.000Z"), "{path}");
            assert_eq!(answer.header("tidegate-epoch"), Some("1431857160100"), "{path}");
            assert_eq!(answer.header("cache-control"), Some("no-cache"), "{path}");
        }
    }
    let head = server.ask(Method::HEAD, "/metrics/event/latest", &[]).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    let page = server.get("/metrics").await;
    assert!(page.text().contains(r#"tidegate_http_requests_total{route="/metrics/event/latest""#));
    server.shut_down().await;
}

#[tokio::test]
async fn an_empty_cache_is_no_error_but_is_not_ready() {
    let server = server().await;
    for (path, body) in [
        ("/healthz", r#"{"redis":true,"status":"ok"}"#),
        ("/metrics/overview", r#"{"event_latest":{},"performance_latest":{}}"#),
        ("/metrics/event/latest", "{}"),
        ("/metrics/event/windows", r#"{"windows":[]}"#),
        ("/metrics/session/windows", r#"{"windows":[]}"#),
        ("/live/overview", r#"{"event":{"windows":[]},"performance":{"windows":[]}}"#),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::OK, body), "{path}");
        assert_eq!(answer.header("tidegate-frontier"), None, "{path}");
        assert_eq!(answer.header("tidegate-epoch"), None, "{path}");
    }
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.header("content-type"), Some("application/problem+json"));
    assert_eq!(ready.header("retry-after"), Some("2"));
    assert_eq!(ready.json()["title"], "Not Ready");
}

#[tokio::test]
async fn a_frontier_that_has_not_moved_is_left_out() {
    let mut server = server().await;
    server.set_as_of(7, EventTime::MIN);
    let answer = server.get("/metrics/event/latest").await;
    assert_eq!((answer.header("tidegate-epoch"), answer.header("tidegate-frontier")), (Some("7"), None));
    assert_eq!(server.get("/readyz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_limit_is_from_1_to_120() {
    let mut server = server().await;
    server.apply((0..130).map(|minute| events(5, MINUTE + minute, "click", 1)).collect());
    for (query, windows) in [
        ("", 20),
        ("?limit=1", 1),
        ("?limit=119", 119),
        ("?limit=120", 120),
        ("?", 20),
        ("?limit=1&limit=2", 2),
        ("?offset=1", 20),
        ("?_=1700000000000&limit=3", 3),
    ] {
        let answer = server.get(&format!("/metrics/event/windows{query}")).await;
        let found = answer.json()["windows"].as_array().expect("a list").clone();
        assert_eq!(found.len(), windows, "{query}");
        assert_eq!(found[0]["window_start"], (MINUTE + 129) * 60_000, "newest first");
    }
    for query in [
        "limit=0",
        "limit=121",
        "limit=-5",
        "limit=ten",
        "limit=1.0",
        "limit=",
        "limit=99999999999999999999",
        "limit=1&limit=0",
        "limit=0&offset=1",
    ] {
        let answer = server.get(&format!("/metrics/event/windows?{query}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{query}");
        let problem = answer.json();
        let errors = problem["errors"].as_array().expect("a list");
        let found: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        assert_eq!(found, ["limit"], "{query}");
    }
    for path in ["/metrics/overview", "/metrics/event/latest", "/live/overview"] {
        assert_eq!(server.get(&format!("{path}?_=1")).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn what_there_is_not_is_a_problem() {
    let server = server().await;
    for (method, path, status) in [
        (Method::GET, "/", 404),
        (Method::GET, "/metrics/unheard_of/windows", 404),
        (Method::GET, "/metrics/event/windows/", 404),
        (Method::GET, "/live/", 404),
        (Method::POST, "/metrics/event/windows", 405),
        (Method::DELETE, "/metrics", 405),
        (Method::PUT, "/live", 405),
        (Method::PATCH, "/healthz", 405),
    ] {
        let answer = server.ask(method.clone(), path, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{method} {path}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(path)), "{problem}");
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn whoever_has_it_already_is_told_so() {
    let mut server = filled().await;
    let path = "/metrics/event/windows?limit=5";
    let first = server.get(path).await;
    let tag = first.header("etag").expect("a tag").to_owned();
    server.set_as_of(1_431_857_160_200, EventTime::from_millis(START + 61_000));
    for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = server.ask(Method::GET, path, &[("if-none-match", &known)]).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
        assert_eq!(again.header("etag"), Some(&*tag));
        assert_eq!(again.header("tidegate-epoch"), Some("1431857160200"), "it is as of now");
    }
    server.apply(vec![events(7, MINUTE, "click", 2)]);
    let changed = server.ask(Method::GET, path, &[("if-none-match", &tag)]).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_ne!(changed.header("etag"), Some(&*tag));
    // A new label of the same numbers in another window is another answer as well.
    let overview = server.get("/metrics/overview").await;
    assert_ne!(overview.header("etag"), changed.header("etag"));
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_can_read_it() {
    let server = filled().await;
    let path = "/metrics/event/windows";
    let plain = server.get(path).await;
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(
        plain.header("vary").map(str::to_lowercase).as_deref().map(|vary| vary.contains("accept-encoding")),
        Some(true)
    );
    let packed = server.ask(Method::GET, path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert_eq!(packed.header("etag"), plain.header("etag"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*packed.body).read_to_string(&mut text).expect("gzip");
    assert_eq!(text, plain.text());
    let live = server.follow(&[("accept-encoding", "gzip")]).await;
    assert_eq!(live.headers.get("content-encoding"), None, "events must not wait for a block to be full");
}

#[tokio::test]
async fn pages_of_configured_origins_may_read() {
    let origins = Origins::parse(&["https://shop.example"]).expect("an origin");
    let server = Server::start(Config { origins, ..Config::default() }).await;
    let own = [("origin", "https://shop.example")];
    let answer = server.ask(Method::GET, "/metrics/event/latest", &own).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    let exposed = answer.header("access-control-expose-headers").expect("some are");
    for header in ["tidegate-frontier", "tidegate-epoch", "etag"] {
        assert!(exposed.contains(header), "{exposed}");
    }
    let preflight = [own[0], ("access-control-request-method", "GET")];
    let answer = server.ask(Method::OPTIONS, "/live", &preflight).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD"));
    let other = server.ask(Method::GET, "/metrics/event/latest", &[("origin", "https://else.example")]).await;
    assert_eq!(other.header("access-control-allow-origin"), None);

    let closed = Server::start(Config::default()).await;
    let answer = closed.ask(Method::GET, "/metrics/event/latest", &own).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.json(), json!({}));
}
