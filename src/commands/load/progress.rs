//! What a load looks like while it runs: one line on a terminal, nothing elsewhere.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::Snapshot;
use crate::print::grouped;

#[derive(Debug)]
pub(super) struct Line {
    bar: ProgressBar,
}

impl Line {
    /// A bar over the duration, or a spinner where there is none.
    pub(super) fn new(duration: Option<Duration>) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let template =
            if duration.is_some() { "{bar:20} {percent:>3} %  {msg}" } else { "{spinner} {elapsed}  {msg}" };
        let style =
            ProgressStyle::with_template(template).expect("the template is a constant that a test draws");
        Self { bar: ProgressBar::with_draw_target(duration.map(millis), target).with_style(style) }
    }

    pub(super) fn update(&self, now: &Snapshot) {
        self.bar.set_position(millis(now.elapsed));
        self.bar.set_message(words(now));
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn words(now: &Snapshot) -> String {
    let second = &now.last_second;
    let mut text = format!(
        "{}/s  p50 {:.1} ms  p99 {:.1} ms  {} acknowledged",
        grouped(second.acknowledged),
        second.latency.p50_ms,
        second.latency.p99_ms,
        grouped(now.acknowledged),
    );
    let waiting = now.due.saturating_sub(now.sent);
    for (count, what) in [
        (now.refused, "refused"),
        (now.failed, "failed"),
        (now.unanswered, "unanswered"),
        (waiting, "waiting for a connection"),
    ] {
        if count > 0 {
            let _ = write!(text, "  {} {what}", grouped(count));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_shown_when_there_is_any() {
        for duration in [None, Some(Duration::from_secs(1))] {
            let line = Line::new(duration);
            line.update(&Snapshot::default());
            line.finish();
        }
        assert_eq!(words(&Snapshot::default()), "0/s  p50 0.0 ms  p99 0.0 ms  0 acknowledged");
        let behind = Snapshot { due: 1_010, sent: 10, failed: 2, ..Snapshot::default() };
        assert!(words(&behind).ends_with("acknowledged  2 failed  1,000 waiting for a connection"));
    }
}
