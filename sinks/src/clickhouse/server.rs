//! Statements to one server, over HTTP, each waited for.
//!
//! The client is asynchronous and a sink is stepped, so a runtime of one thread, this one, runs while a
//! statement does.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use tokio::runtime::{Builder, Runtime};

use super::ClickHouseConfig;
use super::error::Failure;

/// Statements may be longer than the server expects by default: keys travel in them.
const QUERY_BYTES_MAX: &str = "67108864";

pub(super) struct Server {
    runtime: Runtime,
    client: Client,
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
            .with_product_info("tidegate", env!("CARGO_PKG_VERSION"))
            // An error is in the answer's head, not behind a part of the answer.
            .with_setting("wait_end_of_query", "1")
            .with_setting("lightweight_deletes_sync", "2")
            .with_setting("mutations_sync", "2")
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "1")
            // Every row is looked at, also those that a profile would have merged away.
            .with_setting("final", "0")
            .with_setting("max_query_size", QUERY_BYTES_MAX);
        if let Some(password) = &config.password {
            client = client.with_password(password);
        }
        let timeout = Duration::from_millis(config.timeout_ms);
        Ok(Self { runtime, client, timeout, url: config.url.clone(), database: config.database.clone() })
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
        self.wait(async {
            let mut cursor = self.client.query_raw(sql).fetch_bytes("RowBinary")?;
            Ok(cursor.collect().await?.to_vec())
        })
    }

    /// Sends an insert with its rows. The server takes one with a token that it has seen as done, and
    /// refuses one while another with its token is on its way. (Without a token it would go by the rows.)
    pub(super) fn insert(&self, sql: &str, token: &str, rows: &Bytes) -> Result<(), Failure> {
        self.wait(async {
            let insert = self.client.insert_formatted_with(sql).with_setting("query_id", token);
            let mut insert = insert.with_setting("insert_deduplication_token", token);
            insert.send(rows.clone()).await?;
            insert.end().await
        })
    }

    fn wait<T>(&self, answer: impl Future<Output = clickhouse::error::Result<T>>) -> Result<T, Failure> {
        let answer = async { tokio::time::timeout(self.timeout, answer).await };
        match self.runtime.block_on(answer) {
            Ok(answered) => answered.map_err(|error| Failure::of(&error)),
            Err(_) => Err(Failure::late(self.timeout)),
        }
    }
}
