//! One thing that was looked at.

use std::fmt::Display;

/// How a thing is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// As it should be.
    Ok,
    /// The pipeline works, and something about it should be known.
    Warning,
    /// It could not be looked at: nobody answers, or not to this user.
    Away,
    /// The pipeline, or a part of it, would refuse to start, or would lose something.
    Wrong,
}

impl State {
    /// As it is printed.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Away => "away",
            Self::Wrong => "wrong",
        }
    }
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The part of the deployment: `kafka`, `clickhouse`, …
    pub(super) part: &'static str,
    /// What of it: a topic, a table, `version`, …
    pub(super) what: String,
    pub(super) state: State,
    /// What it is.
    pub(super) found: String,
    /// What to do about it; there is something unless it is as it should be.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn new(
        part: &'static str,
        what: impl Into<String>,
        state: State,
        found: impl Into<String>,
    ) -> Self {
        Self { part, what: what.into(), state, found: found.into(), remedy: None }
    }

    pub(super) fn ok(part: &'static str, what: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(part, what, State::Ok, found)
    }

    pub(super) fn with_remedy(self, remedy: impl Display) -> Self {
        Self { remedy: Some(remedy.to_string()), ..self }
    }
}
