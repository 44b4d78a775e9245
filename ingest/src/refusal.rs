//! Why an event was not taken, or may not have been.

use tidegate_log::AppendError;
use tidegate_model::event::{DecodeError, Fault};

/// Why an event was not taken. [`crate::answer`] says it over HTTP.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// As many as may be are under way.
    #[error("too many events are under way")]
    TooManyInFlight,
    /// The body says that it is something else than JSON.
    #[error("the content type is {0}")]
    ContentType(String),
    /// The body is compressed, or encoded in another way.
    #[error("the content encoding is {0}")]
    ContentEncoding(String),
    /// The body is larger than a body may be.
    #[error("the body is too large")]
    BodyTooLarge,
    /// The body was not there in time.
    #[error("the body is too slow")]
    BodyTooSlow,
    /// The body ended early, or its chunks are none.
    #[error("the body did not arrive whole")]
    BodyBroken,
    /// The body is no JSON.
    #[error("not JSON at line {line}, column {column}: {reason}")]
    NotJson {
        /// The line, counted from 1.
        line: usize,
        /// The column, in bytes.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The body is JSON, but no event.
    #[error("{} faults", .0.len())]
    Faults(Vec<Fault>),
    /// The log did not take it, or may not have.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::NotJson { line, column, reason } => Self::NotJson { line, column, reason },
            DecodeError::Faults(faults) => Self::Faults(faults),
        }
    }
}
