//! Whether what comes out of the API is what was sent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_model::Counts;

use crate::client::{Client, Target};
use crate::exit::{CommandError, Exit};
use crate::load::Totals;
use crate::service::Service;

/// All windows that the cache keeps.
const WINDOWS: &str = "/metrics/event/windows?limit=120";
const TIMEOUT: Duration = Duration::from_secs(10);

/// Events of a window and type, by start and type.
pub(super) type ByWindow = BTreeMap<(i64, String), u64>;

#[derive(Deserialize)]
struct Page {
    windows: Vec<Map<String, Value>>,
}

/// The closed windows, read back over HTTP.
pub(super) fn read_back(service: &Service) -> Result<ByWindow, CommandError> {
    let failure = |text: String| CommandError::new(Exit::Failure, text);
    let url = format!("http://{}", service.addresses().api);
    let target = Target::parse(&url, WINDOWS).map_err(|error| failure(error.to_string()))?;
    let mut client = Client::new(Arc::new(target), TIMEOUT);
    let answer = service.runtime().block_on(client.send(Method::GET, Bytes::new()));
    let answer = answer.map_err(|error| failure(format!("the windows cannot be read back: {error}")))?;
    let page: Page = serde_json::from_slice(&answer.body)
        .map_err(|error| failure(format!("{url}{WINDOWS} answered {}: {error}", answer.status)))?;
    Ok(by_window(&page.windows))
}

fn by_window(windows: &[Map<String, Value>]) -> ByWindow {
    let mut counts = ByWindow::new();
    for window in windows {
        let Some(start) = window.get("window_start").and_then(Value::as_i64) else { continue };
        for (name, value) in window {
            if let Some((event_type, count)) = name.strip_suffix(".count").zip(value.as_u64()) {
                counts.insert((start, event_type.to_owned()), count);
            }
        }
    }
    counts
}

/// What the comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) holds: bool,
    text: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Compares what was read back with what was acknowledged. Only what the ledger counts as expired may be
/// missing from a window, and only what was sent without an answer may be there besides.
pub(super) fn verdict(found: &ByWindow, totals: &Totals, counts: &Counts) -> Verdict {
    let oldest = found.keys().next().map_or(i64::MAX, |(start, _)| *start);
    // The cache keeps the newest windows only.
    let kept = totals.windows.iter().filter(|row| row.window_start >= oldest);
    let sent: ByWindow =
        kept.map(|row| ((row.window_start, row.event_type.to_owned()), row.events)).collect();
    let (mut equal, mut missing, mut besides) = (0_u64, 0_u64, 0_u64);
    for key in sent.keys().chain(found.keys().filter(|key| !sent.contains_key(*key))) {
        let of = |counts: &ByWindow| counts.get(key).copied().unwrap_or(0);
        let (sent, found) = (of(&sent), of(found));
        equal += u64::from(sent == found);
        missing += sent.saturating_sub(found);
        besides += found.saturating_sub(sent);
    }
    let holds = missing <= counts.expired && besides <= totals.unanswered;
    let word = if holds { "as it must be" } else { "WHICH IS WRONG" };
    let text = format!(
        "read back over HTTP: {} events in {} windows and types, {equal} of them exactly what was acknowledged; \
         {missing} events are missing and {besides} are there besides, {word}: {} expired, {} had no answer",
        found.values().sum::<u64>(),
        found.len(),
        counts.expired,
        totals.unanswered,
    );
    Verdict { holds, text }
}
