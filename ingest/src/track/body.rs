//! The body of a request, within its limits of size and time.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::config::Config;
use crate::refusal::Refusal;

/// Reads all of `body`. One that says that it is too large is not read at all.
pub(super) async fn read(body: Body, config: &Config) -> Result<Bytes, Refusal> {
    let Config { body_bytes_max, body_timeout, .. } = *config;
    if body.size_hint().lower() > body_bytes_max as u64 {
        return Err(Refusal::BodyTooLarge);
    }
    within(body, body_bytes_max, body_timeout).await
}

async fn within(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, Refusal> {
    let collected = tokio::time::timeout(timeout, Limited::new(body, bytes_max).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge),
        Ok(Err(_)) => Err(Refusal::BodyBroken),
        Err(_) => Err(Refusal::BodyTooSlow),
    }
}
