//! The named limits of a cache, whichever implementation it is.

/// The named limits of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many windows of a kind are kept; the oldest make room (`WINDOW_RETENTION_COUNT`).
    pub windows_kept: usize,
    /// A window that nothing was written to for so long goes, in milliseconds
    /// (`WINDOW_HASH_TTL_SECONDS`).
    pub hash_ttl_ms: i64,
    /// How many open windows of a kind are kept; the oldest make room.
    pub live_windows_max: usize,
    /// How many labels a window has; rows of further ones are refused.
    pub labels_max: usize,
    /// How many updates wait for a subscriber; one that is further behind is told that it missed some.
    pub updates_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            windows_kept: 120,
            hash_ttl_ms: 6 * 3_600_000,
            live_windows_max: 120,
            labels_max: 1_000,
            updates_max: 4_096,
        }
    }
}
