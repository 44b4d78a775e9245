//! What goes over HTTP: the one place where a status is chosen.
//!
//! A detail is for whoever sent the request. It may repeat what they sent, and names limits by their
//! setting; it never holds a path of this machine. None of it goes into a log line.

use std::any::Any;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tidegate_log::AppendError;
use tidegate_model::event::Fault;
use tidegate_server::{Problem, ProblemFault};

use crate::config::Config;
use crate::refusal::Refusal;

/// 202: the event is in the log.
pub(crate) fn accepted() -> Response {
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, JSON)], r#"{"status":"accepted"}"#).into_response()
}

/// The media type of what is no problem.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Refusal {
    /// The answer to the sender.
    pub(crate) fn answer(self, config: &Config) -> Response {
        let problem = match self {
            Self::TooManyInFlight => {
                let max = config.in_flight_max;
                unavailable(
                    config,
                    format!(
                        "{max} events are under way, which is the limit (ingest.in_flight_max); this one was not \
                         taken: send it again later"
                    ),
                )
            }
            Self::ContentType(found) => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Unsupported Media Type",
                format!(
                    "the content type is {found}; send application/json, text/plain as sendBeacon does, or none"
                ),
            ),
            Self::ContentEncoding(found) => {
                let detail = format!("the content encoding is {found}; send the body as it is");
                let problem =
                    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Content Encoding", detail);
                let mut response = problem.into_response();
                response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
                return response;
            }
            Self::BodyTooLarge => {
                let max = config.body_bytes_max;
                too_large(format!(
                    "the body is larger than {max} bytes (ingest.body_bytes_max); send less, or have the limit \
                     raised"
                ))
            }
            Self::BodyTooSlow => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "Request Timeout",
                format!(
                    "the body was not complete within {} ms (ingest.body_timeout); nothing was taken: send it \
                     again",
                    config.body_timeout.as_millis()
                ),
            ),
            Self::BodyBroken => Problem::new(
                StatusCode::BAD_REQUEST,
                "Incomplete Body",
                "the body did not arrive as its head or its chunks say; send it again, whole",
            ),
            Self::NotJson { line, column, reason } => {
                let detail = format!("not JSON at line {line}, column {column}: {reason}");
                let fault = ProblemFault { pointer: String::new(), detail: detail.clone() };
                Problem::new(StatusCode::BAD_REQUEST, "Not JSON", detail).with_faults(vec![fault])
            }
            Self::Faults(faults) => does_not_fit(&faults),
            Self::Append(error) => append_failed(&error, config),
        };
        problem.into_response()
    }
}

fn does_not_fit(faults: &[Fault]) -> Problem {
    let number = faults.len();
    let detail = if number == 1 {
        "the event has 1 fault".to_owned()
    } else {
        format!("the event has {number} faults")
    };
    let told = |fault: &Fault| ProblemFault {
        pointer: fault.pointer.clone(),
        detail: format!("expected {}, found {}", fault.expected, fault.value),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Does Not Fit", detail)
        .with_faults(faults.iter().map(told).collect())
}

/// The answer when the log refused the event, or may have.
fn append_failed(error: &AppendError, config: &Config) -> Problem {
    match error {
        AppendError::TooLarge { .. } => too_large(said(error)),
        AppendError::UnknownPartition { .. } => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error", said(error))
        }
        // Who is told when to come again may take it that the event is surely not there.
        error if !error.is_definite() => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", said(error))
        }
        // What a later log adds is no fault of the sender's either.
        _ => unavailable(config, said(error)),
    }
}

/// What is told of a failed append to whoever sent the event: which limit, whether it was taken, what to do. It
/// names no path of this machine.
pub fn said(error: &AppendError) -> String {
    match error {
        AppendError::QueueFull { queued_bytes, limit_bytes, setting } => format!(
            "the log's queue is full: {queued_bytes} of {limit_bytes} bytes wait (log.{setting}); the event was \
             not taken: send it again later"
        ),
        AppendError::TooLarge { bytes, limit_bytes, setting } => format!(
            "the event takes {bytes} bytes in the log, more than {limit_bytes} ({setting}, which is fixed); send less"
        ),
        AppendError::LogFull { used_bytes, limit_bytes, setting } => format!(
            "the log is full: {used_bytes} of {limit_bytes} bytes are used and still needed; the event was not \
             taken, and none will be until the operator raises log.{setting}"
        ),
        AppendError::DiskFull { .. } => {
            "no space is left on the log's disk; the event was not taken: send it again when there is room"
                .to_owned()
        }
        AppendError::Storage { .. } => {
            "the log cannot be written now; the event was not taken: send it again later".to_owned()
        }
        AppendError::Closed => {
            "the log is shutting down; the event was not taken: send it again later".to_owned()
        }
        AppendError::Indefinite { .. } => {
            "the log failed half-way: the event may or may not have been stored, and sending it again may count \
             it twice"
                .to_owned()
        }
        AppendError::UnknownPartition { .. } => {
            "the event belongs to a partition that the log does not have; it was not taken".to_owned()
        }
        other if other.is_definite() => "the log refused the event: send it again later".to_owned(),
        _ => "the event may or may not have been stored, and sending it again may count it twice".to_owned(),
    }
}

fn unavailable(config: &Config, detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", detail)
        .retry_after(config.retry_after)
}

fn too_large(detail: String) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Content Too Large", detail)
}

/// 503 of `/v1/readyz`.
pub(crate) fn not_ready(reason: &str, config: &Config) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Not Ready", reason).retry_after(config.retry_after)
}

/// The answer when a handler panicked. What it panicked with may hold what was sent, and is not told.
pub(crate) fn panicked(_thrown: Box<dyn Any + Send>) -> Response {
    tracing::error!("the handler of a request panicked; its client was answered 500");
    let detail = "a fault of the server's; whether the event was stored is not known";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error", detail).into_response()
}

#[cfg(test)]
mod tests;
