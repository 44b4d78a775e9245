//! The limits of ingest, each with a name and a default.

use std::time::Duration;

use tidegate_server::Origins;

/// The limits of ingest, and who may send from a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How large the body of a request may be (256 KiB); `ingest.body_bytes_max`.
    pub body_bytes_max: usize,
    /// So long may the body of a request take to arrive (10 s); `ingest.body_timeout`.
    pub body_timeout: Duration,
    /// Events that are under way at once (2048), from before their body is read until the log has answered;
    /// `ingest.in_flight_max`.
    pub in_flight_max: usize,
    /// When a client is told to come again that could not be served now (1 s); `ingest.retry_after`.
    pub retry_after: Duration,
    /// Origins whose pages may send events (none); `ingest.cors_origins`.
    pub origins: Origins,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_bytes_max: 256 << 10,
            body_timeout: Duration::from_secs(10),
            in_flight_max: 2048,
            retry_after: Duration::from_secs(1),
            origins: Origins::None,
        }
    }
}
