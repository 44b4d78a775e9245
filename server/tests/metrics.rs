//! What the metrics of requests say, and that whoever calls cannot make labels.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use tidegate_server::{HttpMetrics, exposition, problem, process};
use tower::ServiceExt as _;

async fn ask(router: &Router, method: &str, path: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("a router always answers");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body in memory").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let mut registry = Registry::default();
    let http = HttpMetrics::register(&mut registry);
    process::register(&mut registry);
    let things = Router::new()
        .route("/things/{id}", get(async || "a thing"))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed);
    let router = http.instrument(things).merge(exposition(Arc::new(registry)));

    assert_eq!(ask(&router, "GET", "/things/1").await.0, 200);
    assert_eq!(ask(&router, "GET", "/things/2").await.0, 200);
    assert_eq!(ask(&router, "DELETE", "/things/2").await.0, 405);
    assert_eq!(ask(&router, "MAKEUP", "/nothing").await.0, 404);
    assert_eq!(ask(&router, "GET", "/nothing/else").await.0, 404);

    let (status, page) = ask(&router, "GET", "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        r#"tidegate_http_requests_total{route="/things/{id}",method="GET",status="200"} 2"#,
        r#"tidegate_http_requests_total{route="/things/{id}",method="DELETE",status="405"} 1"#,
        r#"tidegate_http_requests_total{route="none",method="other",status="404"} 1"#,
        r#"tidegate_http_requests_total{route="none",method="GET",status="404"} 1"#,
        r#"tidegate_http_request_duration_seconds_count{route="/things/{id}",method="GET"} 2"#,
        "tidegate_http_requests_in_flight 0",
        "# TYPE process_cpu_seconds counter",
        "# EOF",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
    }
}
