//! Statements to one server, over HTTP, each waited for.
//!
//! The client is asynchronous and a sink is stepped, so a runtime of one thread, this one, runs while a
//! statement does.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error;
use tokio::runtime::{Builder, Runtime};

use super::ClickHouseConfig;
use super::error::Failure;

/// Statements may be longer than the server expects by default: keys travel in them.
const QUERY_BYTES_MAX: &str = "67108864";

/// An insert is one part, which is there whole or not at all: its rows are read and written by one thread, and
/// gathered until they end. (No insert has so many.)
const ONE_PART: [(&str, &str); 6] = [
    ("max_threads", "1"),
    ("max_insert_threads", "1"),
    ("max_block_size", "1048576"),
    ("max_insert_block_size", "1048576"),
    ("min_insert_block_size_rows", "1000000000000"),
    ("min_insert_block_size_bytes", "0"),
];

pub(super) struct Server {
    runtime: Runtime,
    client: Client,
    /// The same without settings of ours.
    plain: Client,
    timeout: Duration,
    pub(super) url: String,
    pub(super) database: String,
}

impl Server {
    pub(super) fn new(config: &ClickHouseConfig) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let mut client = Client::default()
            .with_url(&config.url)
            .with_user(&config.user)
            .with_product_info("tidegate", env!("CARGO_PKG_VERSION"));
        if let Some(password) = &config.password {
            client = client.with_password(password);
        }
        let plain = client.clone();
        let client = client
            // An error is in the answer's head, not behind a part of the answer.
            .with_setting("wait_end_of_query", "1")
            .with_setting("lightweight_deletes_sync", "2")
            .with_setting("mutations_sync", "2")
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            // Every row is looked at, also those that a profile would have merged away.
            .with_setting("final", "0")
            .with_setting("max_query_size", QUERY_BYTES_MAX)
            // Nobody waits any more when the server gives up: it does so first.
            .with_setting("max_execution_time", seconds(config.timeout_ms / 10 * 9))
            .with_setting("timeout_overflow_mode", "throw")
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        let timeout = Duration::from_millis(config.timeout_ms);
        Ok(Self {
            runtime,
            client,
            plain,
            timeout,
            url: config.url.clone(),
            database: config.database.clone(),
        })
    }

    /// Carries out a statement that has no result.
    pub(super) fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.wait(self.client.query_raw(sql).execute())
    }

    /// As [`Server::execute`], and the server calls the statement by a name while it is carried out.
    pub(super) fn execute_as(&self, sql: &str, query_id: &str) -> Result<(), Failure> {
        self.wait(self.client.query_raw(sql).with_setting("query_id", query_id).execute())
    }

    /// The result of a statement, as `RowBinary`.
    pub(super) fn read(&self, sql: &str) -> Result<Vec<u8>, Failure> {
        self.read_by(&self.client, sql)
    }

    /// As [`Server::read`], with the settings of the user's profile and no others.
    pub(super) fn read_in_profile(&self, sql: &str) -> Result<Vec<u8>, Failure> {
        self.read_by(&self.plain, sql)
    }

    fn read_by(&self, client: &Client, sql: &str) -> Result<Vec<u8>, Failure> {
        self.wait(async {
            let mut cursor = client.query_raw(sql).fetch_bytes("RowBinary")?;
            Ok(cursor.collect().await?.to_vec())
        })
    }

    /// Sends an insert with its rows. The server takes one with a token that it has seen as done, and
    /// refuses one while another with its token is on its way. (Without a token it would go by the rows.)
    pub(super) fn insert(&self, insert: &Insert) -> Result<(), Failure> {
        let Insert { sql, token, setting, rows } = insert;
        let request = self.client.insert_formatted_with(sql).with_setting("query_id", token);
        let mut request = request.with_setting("insert_deduplication_token", token);
        for (name, value) in ONE_PART.iter().chain(setting) {
            request = request.with_setting(*name, *value);
        }
        // Its own timeouts end the request and the connection; one around it would leave both.
        let mut request = request.with_timeouts(Some(self.timeout), Some(self.timeout));
        let sent = self.runtime.block_on(async {
            let sent = match request.send(rows.clone()).await {
                Ok(()) => request.end().await,
                Err(error) => Err(error),
            };
            let_go().await;
            sent
        });
        sent.map_err(|error| self.failure(&error))
    }

    fn wait<T>(&self, answer: impl Future<Output = clickhouse::error::Result<T>>) -> Result<T, Failure> {
        let answer = async {
            let answered = tokio::time::timeout(self.timeout, answer).await;
            let_go().await;
            answered
        };
        let answered = self.runtime.block_on(answer).unwrap_or(Err(Error::TimedOut));
        answered.map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &Error) -> Failure {
        if matches!(error, Error::TimedOut) { Failure::late(self.timeout) } else { Failure::of(error) }
    }
}

/// Has the tasks run that end what was given up: nothing runs until the next statement otherwise.
async fn let_go() {
    tokio::task::yield_now().await;
}

/// An insert, as it is sent.
pub(super) struct Insert {
    pub(super) sql: String,
    /// What the server knows it by when it comes again.
    pub(super) token: String,
    /// What that needs.
    pub(super) setting: Option<(&'static str, &'static str)>,
    /// As `RowBinary`.
    pub(super) rows: Bytes,
}

/// As the server reads it; at least a tenth, because 0 would mean for ever.
fn seconds(ms: u64) -> String {
    let tenths = (ms / 100).max(1);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_may_take_for_ever() {
        assert_eq!([27_000, 950, 99, 0].map(seconds), ["27.0", "0.9", "0.1", "0.1"]);
    }
}
