//! `tidegate healthcheck`.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use hyper::Method;

use super::load::target;
use crate::cli::args::HealthcheckArgs;
use crate::client::{Answer, Client};
use crate::config::Config;
use crate::exit::{CommandError, Exit};

/// What an instance says when it is asked whether it is ready.
const PATH: &str = "/v1/readyz";
/// Characters of an answer that are shown.
const EXCERPT_CHARS_MAX: usize = 300;

pub(crate) fn run(
    args: &HealthcheckArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    // A URL that was given is meant as it is.
    let path = if args.url.is_some() { "/" } else { PATH };
    let target = Arc::new(target(args.url.as_deref(), config, path)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = Client::new(target.clone(), args.timeout);
    let answered = runtime.block_on(client.send(Method::GET, Bytes::new()));
    let bad = |reason: String| CommandError::new(Exit::Failure, format!("{target}: {reason}"));
    let answer = answered.map_err(|failure| bad(failure.to_string()))?;
    if !answer.status.is_success() {
        return Err(bad(format!("answered {}{}", answer.status, reason(&answer))));
    }
    writeln!(out, "{target}: {}", answer.status)?;
    Ok(Exit::Done)
}

/// The beginning of the body, on one line.
fn reason(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS_MAX).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
}
