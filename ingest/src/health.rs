//! `/v1/healthz` and `/v1/readyz`, and what is remembered of the log's last answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tidegate_log::{AppendError, EventAppender};

use crate::answer::{self, JSON};
use crate::ingest::Shared;

/// So long does a failed append make us unready. A balancer that asks `/v1/readyz` sends nothing
/// meanwhile, and without an append nobody learns that the log works again.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(5);

/// `GET /v1/healthz`: the process lives.
pub(crate) async fn alive() -> Response {
    ([(header::CONTENT_TYPE, JSON)], r#"{"status":"ok"}"#).into_response()
}

/// `GET /v1/readyz`: events are welcome, or the reason why not.
pub(crate) async fn ready<A: EventAppender>(State(shared): State<Arc<Shared<A>>>) -> Response {
    match (shared.parts.ready)().and_then(|()| shared.health.state(Instant::now())) {
        Ok(()) => ([(header::CONTENT_TYPE, JSON)], r#"{"status":"ready"}"#).into_response(),
        Err(reason) => answer::not_ready(&reason, &shared.config).into_response(),
    }
}

/// How the log answered last, as far as that says something about the next append.
#[derive(Debug, Default)]
pub(crate) struct LogHealth {
    /// Whether `failure` holds something; looked at without the lock, by every append.
    failing: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

#[derive(Debug)]
struct Failure {
    reason: String,
    /// When it is forgotten; never, when the log is closed.
    until: Option<Instant>,
}

impl LogHealth {
    fn lock(&self) -> MutexGuard<'_, Option<Failure>> {
        // Nothing panics while it holds the lock, so what a poisoned one guards is whole.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers how an append went. A log line is written when the log begins to fail and when it
    /// works again, not for each request.
    pub(crate) fn note<T>(&self, result: &Result<T, AppendError>, now: Instant) {
        match result {
            Ok(_) => {
                if self.failing.load(Ordering::Relaxed) && self.lock().take().is_some() {
                    self.failing.store(false, Ordering::Relaxed);
                    tracing::info!("the log takes events again");
                }
            }
            // A full queue and a large event say nothing about the log; a panic's partition neither.
            Err(
                AppendError::QueueFull { .. }
                | AppendError::TooLarge { .. }
                | AppendError::UnknownPartition { .. },
            ) => {}
            Err(error) => {
                let until = (!matches!(error, AppendError::Closed)).then(|| now + FAILURE_REMEMBERED);
                let failure = Failure { reason: answer::said(error), until };
                let before = self.lock().replace(failure);
                self.failing.store(true, Ordering::Relaxed);
                if before.is_none() {
                    tracing::warn!(%error, "the log does not take events; clients are told to come again");
                }
            }
        }
    }

    /// Whether the log can be expected to take the next event.
    fn state(&self, now: Instant) -> Result<(), String> {
        match &*self.lock() {
            Some(failure) if failure.until.is_none_or(|until| now < until) => Err(failure.reason.clone()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_until_an_append_succeeds_or_time_has_passed() {
        let (health, now) = (LogHealth::default(), Instant::now());
        assert_eq!(health.state(now), Ok(()));
        let full = || Err::<(), _>(AppendError::DiskFull { path: "/secret".to_owned() });
        health.note(&full(), now);
        let reason = health.state(now).expect_err("the disk is full");
        assert!(reason.starts_with("no space is left") && !reason.contains("secret"), "{reason}");
        assert_eq!(health.state(now + FAILURE_REMEMBERED), Ok(()));
        health.note(&Ok(()), now);
        assert_eq!(health.state(now), Ok(()));
    }

    #[test]
    fn a_closed_log_stays_closed_and_a_full_queue_is_no_failure() {
        let (health, now) = (LogHealth::default(), Instant::now());
        let full = AppendError::QueueFull { queued_bytes: 1, limit_bytes: 1, setting: "queue_bytes_max" };
        health.note(&Err::<(), _>(full), now);
        assert_eq!(health.state(now), Ok(()));
        health.note(&Err::<(), _>(AppendError::Closed), now);
        assert!(health.state(now + FAILURE_REMEMBERED * 2).is_err());
    }
}
