//! What a run says at its end: a function of what was counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::{Latency, TruthRow};
use crate::client::FailureKind;
use crate::print::grouped;

/// Everything that was counted. `sent` is the sum of `acknowledged`, `refused`, `failed` and `unanswered`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// The rate that was asked for; `None` for the rate `max`.
    pub asked_per_second: Option<f64>,
    /// From when the first request was due to when nothing more was, and the last one was over.
    pub elapsed_seconds: f64,
    /// Whether the run was told to stop before its time.
    pub is_interrupted: bool,
    /// Requests that were due.
    pub due: u64,
    /// Requests that a connection took up. The others waited for one until the end.
    pub sent: u64,
    /// How many of these events happened while their device was offline.
    pub late: u64,
    /// Answered with 202.
    pub acknowledged: u64,
    /// Answered with another status.
    pub refused: u64,
    /// Surely not arrived: no connection.
    pub failed: u64,
    /// Perhaps arrived: no complete answer.
    pub unanswered: u64,
    /// Bytes of the bodies that were sent.
    pub bytes_sent: u64,
    /// From when a request was due until its answer was complete: of those acknowledged, and of those that were
    /// given up for lack of an answer.
    pub latency: Latency,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer, by why.
    pub failures: BTreeMap<FailureKind, u64>,
    /// Acknowledged events by type.
    pub acknowledged_by_type: BTreeMap<&'static str, u64>,
    /// Acknowledged events by window and type, where that was asked for.
    pub windows: Vec<TruthRow>,
}

impl Totals {
    /// Requests that were due and never sent, because all connections were busy until the end.
    pub fn unsent(&self) -> u64 {
        self.due.saturating_sub(self.sent)
    }

    /// Acknowledged events a second.
    pub fn reached_per_second(&self) -> f64 {
        if self.elapsed_seconds > 0.0 { self.acknowledged as f64 / self.elapsed_seconds } else { 0.0 }
    }

    /// Whether everything that was due was sent and acknowledged. What a run that was told to stop has not sent
    /// is none of its faults.
    pub fn is_complete(&self) -> bool {
        self.acknowledged == self.sent && (self.is_interrupted || self.unsent() == 0)
    }

    /// The report for people.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let interrupted = if self.is_interrupted { ", then told to stop" } else { "" };
        let _ = writeln!(text, "Sent for {:.2} s{interrupted}\n", self.elapsed_seconds);
        self.rates(&mut text);
        self.counts(&mut text);
        self.latency(&mut text);
        let rows = self.statuses.iter().map(|(status, count)| (status.to_string(), *count));
        table(&mut text, "Answers by status", rows);
        let rows = self.failures.iter().map(|(kind, count)| (kind.words().to_owned(), *count));
        table(&mut text, "No answer", rows);
        let rows = self.acknowledged_by_type.iter().map(|(kind, count)| ((*kind).to_owned(), *count));
        table(&mut text, "Acknowledged by type", rows);
        text
    }

    /// The report for programs: one object.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(flatten)]
            totals: &'a Totals,
            unsent: u64,
            reached_per_second: f64,
        }
        let (unsent, reached_per_second) = (self.unsent(), self.reached_per_second());
        let document = Document { totals: self, unsent, reached_per_second };
        serde_json::to_string_pretty(&document).expect("names and numbers are plain JSON") + "\n"
    }

    fn rates(&self, text: &mut String) {
        let asked = self.asked_per_second.map_or("max".to_owned(), rate);
        let reached = rate(self.reached_per_second());
        let width = asked.len().max(reached.len());
        let _ = writeln!(text, "  asked    {asked:>width$} events/s");
        let _ = writeln!(text, "  reached  {reached:>width$} events/s\n");
    }

    fn counts(&self, text: &mut String) {
        let late = if self.late > 0 {
            format!("{} of them from devices that were offline", grouped(self.late))
        } else {
            String::new()
        };
        let lines = [
            ("due", self.due, ""),
            ("sent", self.sent, late.as_str()),
            ("acknowledged", self.acknowledged, "202: durable"),
            ("refused", self.refused, "another status"),
            ("failed", self.failed, "surely not arrived"),
            ("unanswered", self.unanswered, "perhaps arrived"),
            ("unsent", self.unsent(), "due, but every connection was busy until the end"),
            ("bytes", self.bytes_sent, "of bodies"),
        ];
        for (name, count, note) in lines {
            let note = if count > 0 { note } else { "" };
            let line = format!("  {name:<12} {:>15}  {note}", grouped(count));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }

    fn latency(&self, text: &mut String) {
        let Latency { count, min_ms, p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self.latency;
        if count == 0 {
            return;
        }
        text.push_str("\nLatency from when each was due, ms:\n");
        for (name, ms) in [
            ("min", min_ms),
            ("p50", p50_ms),
            ("p90", p90_ms),
            ("p99", p99_ms),
            ("p99.9", p999_ms),
            ("max", max_ms),
        ] {
            let _ = writeln!(text, "  {name:<12} {ms:>15.2}");
        }
    }
}

fn table(text: &mut String, title: &str, rows: impl Iterator<Item = (String, u64)>) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(12);
    let _ = writeln!(text, "\n{title}:");
    for (name, count) in rows {
        let _ = writeln!(text, "  {name:<width$} {:>15}", grouped(count));
    }
}

/// A rate for people: whole numbers once they have three digits.
fn rate(rate: f64) -> String {
    if rate < 100.0 {
        return format!("{rate:.2}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are far below 2⁶⁴")]
    let whole = rate.round() as u64;
    grouped(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals() -> Totals {
        Totals {
            asked_per_second: Some(1_000.0),
            elapsed_seconds: 10.0,
            due: 10_000,
            sent: 9_990,
            late: 500,
            acknowledged: 9_900,
            refused: 60,
            failed: 20,
            unanswered: 10,
            bytes_sent: 5_500_000,
            latency: Latency { count: 9_900, min_ms: 0.21, max_ms: 1_034.25, ..Latency::default() },
            statuses: BTreeMap::from([(202, 9_900), (503, 60)]),
            failures: BTreeMap::from([(FailureKind::Connect, 20), (FailureKind::Timeout, 10)]),
            ..Totals::default()
        }
    }

    #[test]
    fn people_read_a_table() {
        let text = totals().render();
        for line in [
            "  asked    1,000 events/s\n",
            "  reached  990.0 events/s\n",
            "  unsent                    10  due, but every connection was busy until the end\n",
            "  sent                   9,990  500 of them from devices that were offline\n",
            "  max                  1034.25\n",
            "  503                       60\n",
            "  no answer in time              10\n",
        ] {
            assert!(text.contains(&line.replace("990.0", "  990")), "{line:?} in\n{text}");
        }
    }

    #[test]
    fn programs_read_an_object() {
        let json: serde_json::Value = serde_json::from_str(&totals().to_json()).expect("JSON");
        assert_eq!(
            (&json["sent"], &json["unsent"], &json["statuses"]["503"]),
            (&9_990.into(), &10.into(), &60.into())
        );
        assert_eq!((&json["failures"]["timeout"], &json["reached_per_second"]), (&10.into(), &990.0.into()));
    }

    #[test]
    fn a_run_is_complete_when_nothing_is_missing() {
        let all = Totals { sent: 10_000, acknowledged: 10_000, ..totals() };
        assert!(all.is_complete());
        assert!(!Totals { acknowledged: 9_999, ..all.clone() }.is_complete());
        let unsent = Totals { due: 10_001, ..all };
        assert!(!unsent.is_complete());
        assert!(Totals { is_interrupted: true, ..unsent }.is_complete());
    }
}
