//! Where the server is, and the named limits.

use std::fmt;

/// Where the server is, and the named limits of a [`ClickHouseStore`](super::ClickHouseStore).
#[derive(Clone, PartialEq, Eq)]
pub struct ClickHouseConfig {
    /// The server's address for HTTP, such as `http://127.0.0.1:8123`.
    pub url: String,
    /// The database that holds the tables; it is made if it is missing.
    pub database: String,
    /// Who writes.
    pub user: String,
    /// The password; none is sent when there is none.
    pub password: Option<String>,
    /// The name of this machine, for a process that is told who took over from it.
    pub host: String,
    /// Tables that are made forget rows whose window or session ended so many days ago; nothing is
    /// forgotten when there is no such setting. A table that exists keeps what it has.
    pub ttl_days: Option<u16>,
    /// How long the server may take to answer one statement, in milliseconds. A little earlier it is told to give up.
    pub timeout_ms: u64,
    /// One insert holds so many rows at most; a larger batch is stored piece by piece.
    pub insert_rows_max: usize,
    /// So many rows of one insert that the server refuses are put aside; with more of them the step fails.
    pub refused_rows_max: usize,
    /// Keys are looked up and deleted in statements of so many bytes of text at most, but always one key.
    pub keys_bytes_max: usize,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".to_owned(),
            database: "analytics".to_owned(),
            user: "default".to_owned(),
            password: None,
            host: "localhost".to_owned(),
            ttl_days: None,
            timeout_ms: 30_000,
            insert_rows_max: 100_000,
            refused_rows_max: 100,
            keys_bytes_max: 16 * 1024 * 1024,
        }
    }
}

/// Leaves the password out.
impl fmt::Debug for ClickHouseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClickHouseConfig")
            .field("url", &self.url)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("host", &self.host)
            .field("ttl_days", &self.ttl_days)
            .field("timeout_ms", &self.timeout_ms)
            .field("insert_rows_max", &self.insert_rows_max)
            .field("refused_rows_max", &self.refused_rows_max)
            .field("keys_bytes_max", &self.keys_bytes_max)
            .finish()
    }
}
