//! Why a Redis did not do what it was asked to, and what to do about it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::config::{HostPort, RedisAt, RedisConfig};
use crate::read::ReadError;
use crate::write::WriteError;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody answers, or not yet; the request may have been carried out.
    Unreachable(String),
    /// The server answers that it will not.
    Refused(String),
    /// The server can never be a cache, whatever is tried again.
    Unfit(String),
    /// The server is a replica now: nothing was done.
    Demoted(String),
    /// The library is not in the server: nothing was done.
    NotLoaded,
}

impl Failure {
    /// What an error of the client stands for.
    pub(super) fn of(error: &RedisError) -> Self {
        let text = error.to_string();
        if text.contains("Function not found") {
            return Self::NotLoaded;
        }
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::Demoted(text),
            ErrorKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::TryAgain,
            )
            | ErrorKind::Io
            | ErrorKind::Client
            | ErrorKind::Parse => Self::Unreachable(text),
            _ => Self::Refused(match remedy(error) {
                Some(remedy) => format!("{text}; {remedy}"),
                None => text,
            }),
        }
    }

    /// What an error stands for that came before there was a connection.
    pub(super) fn of_connecting(error: &RedisError) -> Self {
        match Self::of(error) {
            Self::Unreachable(reason) if error.kind() == ErrorKind::Io => {
                Self::Unreachable(format!("{reason}; start a Redis there, or correct host and port"))
            }
            other => other,
        }
    }

    /// The same, said of a server that is not the only one of the configuration.
    pub(super) fn met_at(self, server: &HostPort, config: &RedisConfig) -> Self {
        let told = |reason| format!("{server}: {reason}");
        match self {
            _ if matches!(config.at, RedisAt::Server(_)) => self,
            Self::Unreachable(reason) => Self::Unreachable(told(reason)),
            Self::Refused(reason) => Self::Refused(told(reason)),
            Self::Unfit(reason) => Self::Unfit(told(reason)),
            Self::Demoted(reason) => Self::Demoted(told(reason)),
            Self::NotLoaded => Self::NotLoaded,
        }
    }

    /// An answer that no version of ours gives.
    pub(super) fn odd(answer: &redis::Value) -> Self {
        let shown = format!("{answer:?}").chars().take(200).collect::<String>();
        Self::Refused(format!("the answer makes no sense: {shown}"))
    }

    /// What it says.
    pub(super) fn into_reason(self) -> String {
        match self {
            Self::Unreachable(reason)
            | Self::Refused(reason)
            | Self::Unfit(reason)
            | Self::Demoted(reason) => reason,
            Self::NotLoaded => NOT_LOADED.to_owned(),
        }
    }

    /// As a writer says it.
    pub(super) fn write(self, address: &str) -> WriteError {
        let address = address.to_owned();
        match self {
            Self::Unreachable(reason) => WriteError::Unreachable { address, reason },
            Self::Refused(reason) | Self::Demoted(reason) => WriteError::Refused { address, reason },
            Self::Unfit(reason) => WriteError::Unfit { address, reason },
            Self::NotLoaded => WriteError::Refused { address, reason: NOT_LOADED.to_owned() },
        }
    }

    /// As a reader says it.
    pub(super) fn read(self, address: &str) -> ReadError {
        let address = address.to_owned();
        match self {
            Self::Unreachable(reason) => ReadError::Unreachable { address, reason },
            Self::Refused(reason) | Self::Demoted(reason) | Self::Unfit(reason) => {
                ReadError::Refused { address, reason }
            }
            Self::NotLoaded => ReadError::Refused { address, reason: NOT_LOADED.to_owned() },
        }
    }
}

const NOT_LOADED: &str = "it does not keep the function that was loaded; something else removes functions";

/// What to do about an error of the server's.
fn remedy(error: &RedisError) -> Option<&'static str> {
    if matches!(error.kind(), ErrorKind::AuthenticationFailed) {
        return Some("check the password (and the user)");
    }
    let text = error.to_string();
    Some(match error.code() {
        Some("NOAUTH") => "it wants a password",
        Some("WRONGPASS") => "check the password (and the user)",
        Some("NOPERM") => "give the user the rights that docs/cache-api.md lists",
        Some("NOREPLICAS") => "it waits for its replicas (min-replicas-to-write)",
        Some("OOM") => "raise its maxmemory, or give the cache a Redis of its own",
        Some("MISCONF") => "it cannot write to its disk: see its log",
        Some("WRONGTYPE") => {
            "a key of the cache belongs to something else: use another database, or remove the key"
        }
        _ if text.contains("WRONGTYPE") => {
            "a key of the cache belongs to something else: use another database, or remove the key"
        }
        _ if text.contains("unknown command") || text.contains("unknown subcommand") => {
            "Redis 7.0 or a later version is needed"
        }
        _ if matches!(error.kind(), ErrorKind::RESP3NotSupported) => "Redis 7.0 or a later version is needed",
        _ => return None,
    })
}
