//! One connection.
//!
//! Connection and request are driven by the task that sends, without a task of their own: a request costs no
//! change of task, which is what a generator of load is measured by.

use std::fmt;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Fuse, FutureExt as _};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{ANSWER_BYTES_MAX, Answer, Failure, Target};

const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));

type Http = Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// A connection and what sends over it.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// After its end it is never polled again, and everything that waits for it is told.
    connection: Pin<Box<Fuse<Http>>>,
}

/// How an exchange ended without an answer.
pub(super) enum Ended {
    /// Nothing of the request was written; here is its body back.
    Unsent(Bytes),
    /// Otherwise.
    Failed(Failure),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    pub(super) async fn open(target: &Target) -> Result<Self, Failure> {
        let refused = |reason: std::io::Error| Failure::Connect { reason: reason.to_string() };
        let stream = TcpStream::connect((target.host(), target.port())).await.map_err(refused)?;
        stream.set_nodelay(true).map_err(refused)?;
        let shaken = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|reason| Failure::Connect { reason: words(&reason) })?;
        Ok(Self { sender, connection: Box::pin(connection.fuse()) })
    }

    /// Sends a request and reads the whole answer. After an error the connection is not to be used again.
    pub(super) async fn exchange(
        &mut self,
        target: &Target,
        method: &Method,
        body: Bytes,
    ) -> Result<Answer, Ended> {
        if !self.is_ready().await {
            return Err(Ended::Unsent(body));
        }
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = target.path().clone();
        let headers = request.headers_mut();
        headers.insert(HOST, target.authority().clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if *method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let sent = self.sender.try_send_request(request);
        let answer = async {
            match sent.await {
                Ok(response) => read(response).await.map_err(Ended::Failed),
                // Whoever gets the request back knows that none of it was written.
                Err(error) if error.message().is_some() => Err(Ended::Unsent(body)),
                Err(error) => Err(Ended::Failed(failure(error.error()))),
            }
        };
        let mut answer = pin!(answer);
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut self.connection => {}
        }
        // The connection has ended; what it knew has reached the answer.
        answer.await
    }

    /// Waits until the connection takes a request; `false` when it has ended.
    pub(super) async fn is_ready(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = &mut self.connection => false,
            ready = self.sender.ready() => ready.is_ok(),
        }
    }
}

async fn read(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Failure::TooLarge;
        }
        match error.downcast_ref::<hyper::Error>() {
            Some(error) => failure(error),
            None => Failure::Lost { reason: error.to_string() },
        }
    })?;
    let retry_after = head.headers.get(RETRY_AFTER).and_then(seconds);
    Ok(Answer { status: head.status, retry_after, body: body.to_bytes() })
}

/// The form of `Retry-After` that a machine that waits can use; dates are not read.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    Some(Duration::from_secs(value.to_str().ok()?.trim().parse().ok()?))
}

/// What hyper's error means for a request that was written, or may have been.
fn failure(error: &hyper::Error) -> Failure {
    if error.is_parse() {
        Failure::NotHttp { reason: words(error) }
    } else {
        Failure::Lost { reason: words(error) }
    }
}

/// An error and its causes, in one line.
fn words(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
