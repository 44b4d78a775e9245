//! What one peer may hold, and for how long.

use std::time::Duration;

/// The limits of a listener. A request has at most 100 headers besides; that is hyper's own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// So long may a connection take to send the head of its next request; one that is idle between two
    /// requests is closed after the same time (30 s).
    pub header_timeout: Duration,
    /// How large the head of a request may be (16 KiB); beyond it the answer is 431.
    pub header_bytes_max: usize,
    /// Connections that are open at once (10,000); further ones wait until one is closed.
    pub connections_max: usize,
    /// So long may a peer take to read the next bytes of its answer before the connection is closed (30 s).
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            header_bytes_max: 16 << 10,
            connections_max: 10_000,
            write_timeout: Duration::from_secs(30),
        }
    }
}
