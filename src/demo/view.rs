//! What the demo shows: a frame as text. Pure; the terminal is somebody else's.

use std::time::Duration;

use tidegate_model::Ledger;

use crate::print::{grouped, ledger_table};

/// Everything that one frame shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    /// Since the traffic began.
    pub(super) elapsed: Duration,
    /// Requests sent.
    pub(super) sent: u64,
    /// Requests answered with 202.
    pub(super) acknowledged: u64,
    /// Requests answered otherwise, or not at all.
    pub(super) failed: u64,
    /// Acknowledged a second, over the last second.
    pub(super) rate: f64,
    /// How long a 202 took, over the last second: median and 99th percentile.
    pub(super) answer: Option<(Duration, Duration)>,
    /// From append to cache, over the newest epochs: median and 99th percentile.
    pub(super) visible: Option<(Duration, Duration)>,
    /// How far the frontier is behind the clock.
    pub(super) frontier_delay: Option<Duration>,
    /// Windows that are open.
    pub(super) open_windows: u64,
    /// Sessions that are open.
    pub(super) open_sessions: u64,
    /// Rows of closed windows and sessions so far, corrections included.
    pub(super) rows: u64,
    /// The newest closed window of events: its start in words, and its fields.
    pub(super) newest: Option<(String, Vec<(String, String)>)>,
    /// The ledger.
    pub(super) ledger: Ledger,
    /// Why something waits, if it does.
    pub(super) waits: Option<String>,
}

/// A frame for a terminal, a line each.
pub(super) fn lines(frame: &Frame) -> Vec<String> {
    let mut lines = vec![
        format!(
            "{:>7}   {:>9} sent   {:>9} acknowledged   {:>6.0} events/s{}",
            clock(frame.elapsed),
            grouped(frame.sent),
            grouped(frame.acknowledged),
            frame.rate,
            if frame.failed == 0 { String::new() } else { format!("   {} failed", grouped(frame.failed)) },
        ),
        format!(
            "latency   202 in {}   202 → visible {}   frontier {} behind the clock",
            quantiles(frame.answer),
            quantiles(frame.visible),
            frame.frontier_delay.map_or_else(|| "—".to_owned(), short),
        ),
        format!(
            "open      {} windows   {} sessions      closed  {} rows",
            grouped(frame.open_windows),
            grouped(frame.open_sessions),
            grouped(frame.rows),
        ),
    ];
    if let Some((start, fields)) = &frame.newest {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
        lines.push(format!("newest    {start}   {}", fields.join("   ")));
    }
    lines.push(String::new());
    lines.extend(ledger_table(&frame.ledger).lines().map(str::to_owned));
    if let Some(reason) = &frame.waits {
        lines.push(format!("waits     {reason}"));
    }
    lines
}

/// A frame for a file or a pipe: one line.
pub(super) fn line(frame: &Frame) -> String {
    let waits = frame.waits.as_ref().map_or_else(String::new, |reason| format!(" · waits: {reason}"));
    format!(
        "{} · {} acknowledged of {} sent, {:.0}/s, {} failed · 202 in {} · visible {} · open {} windows, {} sessions · {} rows{waits}",
        clock(frame.elapsed),
        frame.acknowledged,
        frame.sent,
        frame.rate,
        frame.failed,
        quantiles(frame.answer),
        quantiles(frame.visible),
        frame.open_windows,
        frame.open_sessions,
        frame.rows,
    )
}

/// `1:23` minutes and seconds.
fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn quantiles(pair: Option<(Duration, Duration)>) -> String {
    pair.map_or_else(|| "—".to_owned(), |(p50, p99)| format!("{} p50, {} p99", short(p50), short(p99)))
}

/// A duration in the unit that suits it.
fn short(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::Counts;

    use super::*;

    fn frame() -> Frame {
        let mut ledger = Ledger::default();
        let counts = Counts { accepted: 12_000, counted: 11_990, expired: 10, ..Counts::default() };
        ledger.add("EventAggregator", counts);
        Frame {
            elapsed: Duration::from_secs(83),
            sent: 12_001,
            acknowledged: 12_000,
            failed: 1,
            rate: 499.6,
            answer: Some((Duration::from_micros(1_240), Duration::from_micros(9_960))),
            visible: Some((Duration::from_millis(130), Duration::from_millis(1_100))),
            frontier_delay: Some(Duration::from_secs(2)),
            open_windows: 5,
            open_sessions: 41,
            rows: 130,
            newest: Some(("10:05:05".to_owned(), vec![("click".to_owned(), "31".to_owned())])),
            ledger,
            waits: None,
        }
    }

    #[test]
    fn a_frame_for_a_terminal() {
        let expected = "   1:23      12,001 sent      12,000 acknowledged      500 events/s   1 failed
latency   202 in 1.2 ms p50, 10 ms p99   202 → visible 130 ms p50, 1.1 s p99   frontier 2.0 s behind the clock
open      5 windows   41 sessions      closed  130 rows
newest    10:05:05   click 31

  job              accepted  counted  expired  future  filtered  rejected
  EventAggregator    12,000   11,990       10       0         0         0  adds up";
        assert_eq!(lines(&frame()).join("\n"), expected);
    }

    #[test]
    fn a_frame_for_a_file_is_one_line() {
        let frame = Frame { waits: Some("no space is left".to_owned()), ..frame() };
        let expected = "1:23 · 12000 acknowledged of 12001 sent, 500/s, 1 failed · 202 in 1.2 ms p50, 10 ms p99 · \
             visible 130 ms p50, 1.1 s p99 · open 5 windows, 41 sessions · 130 rows · waits: no space is left";
        assert_eq!(line(&frame), expected);
    }
}
