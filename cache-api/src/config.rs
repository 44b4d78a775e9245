//! What the API is told, and its named limits.

use std::time::Duration;

use tidegate_server::Origins;

/// What the API is told, and its named limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Pages of other origins that may read (`api.cors_origins`).
    pub origins: Origins,
    /// How many windows an answer has at most: the largest `limit` that is allowed (120).
    pub windows_max: usize,
    /// How many it has when nothing is asked for (20).
    pub windows_default: usize,
    /// Readers of `/live` at once (`api.live_readers_max`); beyond them the answer is 503.
    pub live_readers_max: usize,
    /// A reader of `/live` that falls behind by more changes is dropped (`api.live_backlog_max`).
    pub live_backlog_max: usize,
    /// A reader that comes back gets what it missed, if that is not more changes than this
    /// (`api.live_replay_max`).
    pub live_replay_max: usize,
    /// Readers of `/live` are told of the frontier no more often than this.
    pub frontier_every: Duration,
    /// When nothing happens for so long, a reader of `/live` is sent a comment, so that whoever is in
    /// between does not close the connection.
    pub keep_alive_every: Duration,
    /// When one who was turned away may come again.
    pub retry_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            origins: Origins::None,
            windows_max: 120,
            windows_default: 20,
            live_readers_max: 1_000,
            live_backlog_max: 1_024,
            live_replay_max: 4_096,
            frontier_every: Duration::from_millis(250),
            keep_alive_every: Duration::from_secs(15),
            retry_after: Duration::from_secs(2),
        }
    }
}
