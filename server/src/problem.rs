//! What went wrong, as RFC 9457 says it over HTTP.

use std::future::{Ready, ready};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem: status, title, what is wrong in this case, and every fault of what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    faults: Vec<ProblemFault>,
    retry_after: Option<Duration>,
}

/// One fault of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProblemFault {
    /// Where: a JSON pointer into the body, or the name of a parameter.
    pub pointer: String,
    /// What is wrong there, and what would have fitted.
    pub detail: String,
}

/// The JSON form.
#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ProblemFault],
}

impl Problem {
    /// A problem. `title` is the same for all problems of a kind; `detail` names culprit, value and remedy.
    pub fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into(), faults: Vec::new(), retry_after: None }
    }

    /// Adds the faults of what was sent.
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<ProblemFault>) -> Self {
        self.faults = faults;
        self
    }

    /// Says when to come again; rounded up to whole seconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong in this case.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            r#type: "about:blank",
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.faults,
        };
        serde_json::to_vec(&document).expect("strings and numbers can be said in JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.to_json()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The answer where there is no such route.
#[expect(clippy::needless_pass_by_value, reason = "axum hands over what it extracts")]
pub fn not_found(uri: axum::http::Uri) -> Ready<Problem> {
    ready(Problem::new(StatusCode::NOT_FOUND, "Not Found", format!("there is nothing at {}", uri.path())))
}

/// The answer where the route does not know the method. The router adds which ones it knows (`Allow`).
#[expect(clippy::needless_pass_by_value, reason = "axum hands over what it extracts")]
pub fn method_not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Ready<Problem> {
    let detail = format!("{} does not take {method}; the header Allow says what it takes", uri.path());
    ready(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_rfc() {
        let fault = ProblemFault { pointer: "/user/id".to_owned(), detail: "expected a string".to_owned() };
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Does Not Fit", "1 fault")
            .with_faults(vec![fault])
            .retry_after(Duration::from_millis(1001));
        let json: serde_json::Value = serde_json::from_slice(&problem.to_json()).expect("JSON");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Does Not Fit", "status": 422, "detail": "1 fault",
            "errors": [{"pointer": "/user/id", "detail": "expected a string"}],
        });
        assert_eq!(json, expected);
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
}
