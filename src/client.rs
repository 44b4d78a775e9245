//! A small HTTP/1.1 client: one request at a time over a connection that is kept.
//!
//! It says of every request that got no answer whether it surely did not arrive or may have arrived
//! ([`Failure::is_definite`]). Nothing is sent twice: a request goes over a second connection only when the first
//! one was closed before a byte of it was written. Neither redirects nor TLS.

mod failure;
mod link;
mod target;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use tokio::time::Instant;

pub use failure::{Failure, FailureKind};
use link::{Ended, Link};
pub use target::{Target, TargetError};

/// How large an answer may be.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// When to come again, where the answer says so.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Sends requests to one target, one after the other.
#[derive(Debug)]
pub struct Client {
    target: Arc<Target>,
    timeout: Duration,
    /// The connection of the request before, if it may serve another one.
    link: Option<Link>,
}

impl Client {
    /// A client that is not connected yet. `timeout` is how long a request may take, connecting included.
    pub fn new(target: Arc<Target>, timeout: Duration) -> Self {
        Self { target, timeout, link: None }
    }

    /// Connects, so that the next request need not.
    ///
    /// # Errors
    /// When no connection comes about.
    pub async fn connect(&mut self) -> Result<(), Failure> {
        self.link = Some(self.open(Instant::now() + self.timeout).await?);
        Ok(())
    }

    /// Whether the connection of the request before may serve another one, as far as that is known now.
    pub async fn is_kept(&mut self) -> bool {
        match &mut self.link {
            Some(link) => link.is_ready().await,
            None => false,
        }
    }

    /// Sends a request and waits for the whole answer, of whatever status.
    ///
    /// # Errors
    /// When no complete answer came. After that the next request gets a new connection.
    pub async fn send(&mut self, method: Method, body: Bytes) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut body = body;
        if let Some(link) = self.link.take() {
            match self.over(link, &method, body, deadline).await {
                Err(Ended::Unsent(unsent)) => body = unsent,
                Err(Ended::Failed(failure)) => return Err(failure),
                Ok(answer) => return Ok(answer),
            }
        }
        let link = self.open(deadline).await?;
        self.over(link, &method, body, deadline).await.map_err(|ended| match ended {
            Ended::Unsent(_) => Failure::NotSent,
            Ended::Failed(failure) => failure,
        })
    }

    async fn open(&self, deadline: Instant) -> Result<Link, Failure> {
        let opened = tokio::time::timeout_at(deadline, Link::open(&self.target)).await;
        opened.unwrap_or(Err(Failure::ConnectTimeout { after: self.timeout }))
    }

    async fn over(
        &mut self,
        mut link: Link,
        method: &Method,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Answer, Ended> {
        let exchange = link.exchange(&self.target, method, body);
        let answer = tokio::time::timeout_at(deadline, exchange)
            .await
            .unwrap_or(Err(Ended::Failed(Failure::Timeout { after: self.timeout })))?;
        self.link = Some(link);
        Ok(answer)
    }
}
