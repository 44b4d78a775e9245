//! Asks routers without a socket.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tidegate_runner::{metrics, web};
use tower::ServiceExt as _;

use super::Deployment;

/// An answer: status, headers as text, body.
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

fn ask(router: Router, path: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.oneshot(request).await.expect("routers always answer");
        let (status, headers) = (response.status().as_u16(), format!("{:?}", response.headers()));
        let body = response.into_body().collect().await.expect("the body is in memory").to_bytes();
        Answer { status, headers, body: String::from_utf8(body.to_vec()).expect("text") }
    })
}

impl Deployment {
    /// Asks port 8081.
    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, Arc::new(Vec::new))
    }

    /// The same, when other parts of the process have reasons not to be ready.
    pub fn get_with(&self, path: &str, further: web::FurtherReasons) -> Answer {
        ask(web::router(Arc::clone(self.running.status()), "1.2.3", further), path)
    }

    /// Asks port 9249.
    pub fn metrics(&self) -> String {
        let mut registry = Registry::default();
        metrics::register(&mut registry, Arc::clone(self.running.status()), "1.2.3");
        let answer = ask(tidegate_server::exposition(Arc::new(registry)), "/metrics");
        assert_eq!(answer.status, 200);
        answer.body
    }
}
