//! Whether what comes out of the API is what was sent.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::load::{Totals, TruthRow};
use crate::service::Service;

/// The newest windows, as many as an answer may hold.
const WINDOWS: &str = "/metrics/event/windows?limit=120";
const ANSWER_MAX: usize = 120;
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
    let url = format!("http://{}", service.addresses().of("api"));
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

/// What of all that was sent can be in the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    /// The types of events that are counted.
    pub(super) types: &'a [String],
    /// Windows that the cache keeps.
    pub(super) windows_kept: usize,
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
pub(super) fn verdict(found: &ByWindow, totals: &Totals, counts: &Counts, scope: Scope<'_>) -> Verdict {
    let starts: BTreeSet<i64> = found.keys().map(|(start, _)| *start).collect();
    // Older windows were forgotten only where there are as many as there may be: an answer with fewer of
    // them, or with none, has to have everything.
    let is_full = starts.len() >= scope.windows_kept.clamp(1, ANSWER_MAX);
    let oldest = starts.first().copied().filter(|_| is_full).unwrap_or(i64::MIN);
    let counted = |row: &&TruthRow| scope.types.iter().any(|name| name == row.event_type);
    let kept = totals.windows.iter().filter(counted).filter(|row| row.window_start >= oldest);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows that were acknowledged, or found: start, type and number of events.
    type Rows<'a> = &'a [(i64, &'static str, u64)];

    const KEPT: usize = 3;

    fn judge(found: Rows<'_>, sent: Rows<'_>, expired: u64, unanswered: u64) -> Verdict {
        let found =
            found.iter().map(|(start, kind, events)| ((*start, (*kind).to_owned()), *events)).collect();
        let row = |(window_start, event_type, events): &(i64, &'static str, u64)| TruthRow {
            window_start: *window_start,
            event_type,
            events: *events,
            users: 1,
        };
        let windows = sent.iter().map(row).collect();
        let totals = Totals { unanswered, windows, ..Totals::default() };
        let types = ["click".to_owned(), "page_view".to_owned()];
        let scope = Scope { types: &types, windows_kept: KEPT };
        verdict(&found, &totals, &Counts { expired, ..Counts::default() }, scope)
    }

    #[test]
    fn what_may_be_missing_or_besides_is_what_expired_or_had_no_answer() {
        let sent: Rows<'_> = &[(0, "click", 5), (0, "page_view", 2), (10, "click", 7)];
        let less: Rows<'_> = &[(0, "click", 3), (0, "page_view", 2), (10, "click", 7)];
        let gone: Rows<'_> = &[(0, "click", 5), (10, "click", 7)];
        let more: Rows<'_> = &[(0, "click", 5), (0, "page_view", 2), (10, "click", 8), (20, "click", 1)];
        // One too many and one too few are two faults, and not none.
        let moved: Rows<'_> = &[(0, "click", 4), (0, "page_view", 2), (10, "click", 8)];
        for (what, found, expired, unanswered, holds) in [
            ("equal", sent, 0, 0, true),
            ("equal, and some had no answer and did not arrive", sent, 1, 1, true),
            ("less, all of it expired", less, 2, 0, true),
            ("less than expired", less, 1, 0, false),
            ("a type is gone, all of it expired", gone, 2, 0, true),
            ("a type is gone", gone, 0, 9, false),
            ("more, all of it without an answer", more, 0, 2, true),
            ("more than had no answer", more, 9, 1, false),
            ("in another window", moved, 0, 0, false),
            ("in another window, one expired", moved, 1, 0, false),
            ("in another window, one expired and one without an answer", moved, 1, 1, true),
        ] {
            let verdict = judge(found, sent, expired, unanswered);
            assert_eq!(verdict.holds, holds, "{what}: {verdict}");
            assert_eq!(verdict.to_string().contains("as it must be"), holds, "{what}: {verdict}");
        }
    }

    #[test]
    fn windows_that_a_full_cache_has_forgotten_are_left_out() {
        let sent: Rows<'_> = &[(0, "click", 1), (10, "click", 2), (20, "click", 3), (30, "click", 4)];
        assert!(judge(&sent[1..], sent, 0, 0).holds);
        assert!(!judge(&[(10, "click", 2), (20, "click", 3), (30, "click", 3)], sent, 0, 0).holds);
    }

    #[test]
    fn an_answer_without_windows_is_no_proof() {
        let sent: Rows<'_> = &[(0, "click", 5), (10, "click", 7)];
        assert!(!judge(&[], sent, 0, 0).holds);
        assert!(!judge(&sent[1..], sent, 0, 0).holds, "the cache has room for the oldest window");
        assert!(judge(&[], sent, 12, 0).holds);
        assert!(judge(&[], &[], 0, 0).holds);
    }

    #[test]
    fn types_that_are_not_counted_are_not_missing() {
        assert!(judge(&[(0, "click", 5)], &[(0, "click", 5), (0, "conversion", 2)], 0, 0).holds);
    }

    #[test]
    fn counts_are_read_by_window_and_type() {
        let page = r#"{"windows":[{"window_start":10,"click.count":2,"click.users":1},{"click.count":9}]}"#;
        let page: Page = serde_json::from_str(page).expect("a page");
        assert_eq!(by_window(&page.windows), ByWindow::from([((10, "click".to_owned()), 2)]));
    }
}
