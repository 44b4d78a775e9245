//! Why a request got no answer, and whether it may have arrived all the same.

use std::time::Duration;

use serde::Serialize;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No connection came about.
    #[error("cannot connect: {reason}")]
    Connect {
        /// What the system said.
        reason: String,
    },
    /// No connection came about in time.
    #[error("cannot connect within {after:?}")]
    ConnectTimeout {
        /// How long was waited.
        after: Duration,
    },
    /// The connection was closed before the request was written.
    #[error("the connection was closed before the request was sent")]
    NotSent,
    /// The connection ended before the whole answer was there.
    #[error("the connection was lost before the answer was complete: {reason}")]
    Lost {
        /// What the system said.
        reason: String,
    },
    /// The answer did not come in time.
    #[error("no answer within {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// What came is no HTTP.
    #[error("the answer is not HTTP: {reason}")]
    NotHttp {
        /// What is wrong with it.
        reason: String,
    },
    /// The answer is larger than any answer that is expected.
    #[error("the answer is larger than {} bytes", super::ANSWER_BYTES_MAX)]
    TooLarge,
}

/// The kind of a failure, to count by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// [`Failure::Connect`].
    Connect,
    /// [`Failure::ConnectTimeout`].
    ConnectTimeout,
    /// [`Failure::NotSent`].
    NotSent,
    /// [`Failure::Lost`].
    Lost,
    /// [`Failure::Timeout`].
    Timeout,
    /// [`Failure::NotHttp`].
    NotHttp,
    /// [`Failure::TooLarge`].
    TooLarge,
}

impl Failure {
    /// Its kind.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Connect { .. } => FailureKind::Connect,
            Self::ConnectTimeout { .. } => FailureKind::ConnectTimeout,
            Self::NotSent => FailureKind::NotSent,
            Self::Lost { .. } => FailureKind::Lost,
            Self::Timeout { .. } => FailureKind::Timeout,
            Self::NotHttp { .. } => FailureKind::NotHttp,
            Self::TooLarge => FailureKind::TooLarge,
        }
    }

    /// Whether the request surely did not arrive; otherwise it may have.
    pub fn is_definite(&self) -> bool {
        self.kind().is_definite()
    }
}

impl FailureKind {
    /// Whether the request surely did not arrive; otherwise it may have.
    pub fn is_definite(self) -> bool {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::NotSent => true,
            Self::Lost | Self::Timeout | Self::NotHttp | Self::TooLarge => false,
        }
    }

    /// In words, for a table.
    pub fn words(self) -> &'static str {
        match self {
            Self::Connect => "cannot connect",
            Self::ConnectTimeout => "cannot connect in time",
            Self::NotSent => "closed before the request was sent",
            Self::Lost => "connection lost before the answer was complete",
            Self::Timeout => "no answer in time",
            Self::NotHttp => "the answer is not HTTP",
            Self::TooLarge => "the answer is too large",
        }
    }
}
