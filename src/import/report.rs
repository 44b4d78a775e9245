//! What an import says at its end: a function of what was counted.

mod tally;

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::Duration;

use tidegate_model::Ledger;

use super::Malformed;
use super::remote::Sent;
use crate::print::{grouped, ledger_table};

pub use tally::Tally;

/// Everything that the closing report is made of.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Number of files.
    pub files: usize,
    /// What the lines were.
    pub tally: Tally,
    /// Files that could not be read to their end, a sentence each.
    pub read_errors: Vec<String>,
    /// Events that an interrupted run had imported already.
    pub resumed_events: u64,
    /// Rows of closed sessions; `None` when the lines were only checked.
    pub sessions: Option<u64>,
    /// Rows of windows, table by table.
    pub windows: Vec<(String, u64)>,
    /// Where every event went; empty when the lines were only checked.
    pub ledger: Ledger,
    /// What a running instance was sent; `None` when the lines went elsewhere.
    pub sent: Option<Sent>,
    /// The bound of the watermark, as the user spells it.
    pub max_disorder: String,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// The report as text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        self.headline(&mut text);
        self.counts(&mut text);
        lines(&mut text, "Malformed lines", &self.tally.first_malformed, self.tally.malformed);
        if let Some(sent) = &self.sent {
            lines(&mut text, "Refused by the instance", &sent.first_refused, sent.refused);
        }
        self.read_errors(&mut text);
        self.expired(&mut text);
        self.future(&mut text);
        self.ledger(&mut text);
        text
    }

    fn headline(&self, text: &mut String) {
        let done = match (&self.sent, self.sessions) {
            (Some(_), _) => "Sent",
            (None, Some(_)) => "Imported",
            (None, None) => "Checked",
        };
        let files = if self.files == 1 { "1 file".to_owned() } else { format!("{} files", self.files) };
        let seconds = self.elapsed.as_secs_f64();
        let to = self.sent.as_ref().map_or(String::new(), |sent| format!(" to {}", sent.url));
        let _ = write!(text, "{done} {files}{to} in {seconds:.2} s");
        if seconds > 0.0 {
            // Saturating and cut to a whole number on purpose: it is a figure for people.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let rate = (self.tally.events as f64 / seconds) as u64;
            let _ = write!(text, " ({} events/s)", grouped(rate));
        }
        text.push_str("\n\n");
    }

    fn counts(&self, text: &mut String) {
        let tally = &self.tally;
        let mut row = |name: &str, number: u64, note: &str| {
            let line = format!("  {name:<12} {:>11}  {note}", grouped(number));
            let _ = writeln!(text, "{}", line.trim_end());
        };
        let range = tally.range.map_or(String::new(), |(from, to)| format!("{from} to {to}"));
        row("lines", tally.lines, "");
        row("events", tally.events, &range);
        if self.resumed_events > 0 {
            row("resumed", self.resumed_events, "of these events an interrupted run had imported already");
        }
        if tally.static_files + tally.blank > 0 {
            let parts = [("static files", tally.static_files), ("blank lines", tally.blank)];
            let parts =
                parts.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {}", grouped(*n)));
            row("skipped", tally.static_files + tally.blank, &parts.collect::<Vec<_>>().join(" · "));
        }
        row("malformed", tally.malformed, "");
        if let Some(sent) = &self.sent {
            let retried =
                format!("{} requests were turned away for now and sent again", grouped(sent.retries));
            row("acknowledged", sent.acknowledged, if sent.retries > 0 { &retried } else { "" });
            row("refused", sent.refused, "");
        }
        if let Some(sessions) = self.sessions {
            row("sessions", sessions, "");
            let parts = self.windows.iter().map(|(table, rows)| format!("{table} {}", grouped(*rows)));
            let note = parts.collect::<Vec<_>>().join(" · ");
            row("windows", self.windows.iter().map(|(_, rows)| rows).sum(), &note);
        }
    }

    fn read_errors(&self, text: &mut String) {
        if self.read_errors.is_empty() {
            return;
        }
        text.push_str("\nNot read to the end:\n");
        for error in &self.read_errors {
            let _ = writeln!(text, "  {error}");
        }
        if self.sent.is_some() {
            text.push_str("  What was read is sent.\n");
        } else if self.sessions.is_some() {
            text.push_str("  What was read is imported. To have the rest, import the whole files into an empty data directory.\n");
        }
    }

    fn future(&self, text: &mut String) {
        let future = self.ledger.jobs.values().map(|counts| counts.future).max().unwrap_or(0);
        if future > 0 {
            let _ = write!(
                text,
                "\nFuture: {}\n  \
                 These events say that they happened after they were imported; they are in dropped_events and in no\n  \
                 window. Correct their times, or raise time.future_tolerance.\n",
                grouped(future),
            );
        }
    }

    fn expired(&self, text: &mut String) {
        let jobs: Vec<String> = self
            .ledger
            .jobs
            .iter()
            .filter(|(_, counts)| counts.expired > 0)
            .map(|(job, counts)| format!("{job} {}", grouped(counts.expired)))
            .collect();
        if jobs.is_empty() {
            return;
        }
        let _ = write!(
            text,
            "\nExpired: {}\n  \
             These events came more than {max} out of order, after their window had closed; they are in\n  \
             dropped_events and in no window. To count them, import into an empty data directory with a larger\n  \
             --max-disorder (it was {max}).\n",
            jobs.join(" · "),
            max = self.max_disorder,
        );
    }

    fn ledger(&self, text: &mut String) {
        if !self.ledger.jobs.is_empty() {
            text.push_str("\nLedger:\n");
            text.push_str(&ledger_table(&self.ledger));
        }
    }
}

/// The first of the lines that are not what they should be.
fn lines(text: &mut String, title: &str, first: &[Malformed], count: u64) {
    if first.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    for malformed in first {
        let _ = writeln!(text, "  {malformed}");
    }
    let more = count - first.len() as u64;
    if more > 0 {
        let _ = writeln!(text, "  … and {} more", grouped(more));
    }
}
