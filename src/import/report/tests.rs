//! The report, word for word.

use tidegate_model::{Counts, EventTime};

use super::*;
use crate::import::access_log::LineError;
use crate::import::{Item, LineEvent, Malformed, SkipReason};

fn tally() -> Tally {
    let mut tally = Tally::new(2);
    for ms in [1_431_857_103_000, 1_431_857_100_500, 1_431_860_000_000] {
        let time = EventTime::from_millis(ms);
        tally.observe(&Item::Event(LineEvent { json: b"{}", user_id: "u", time, file: 0, line: 1 }));
    }
    for line in [4, 9, 11] {
        let reason = LineError::NoRequest.into();
        let file = "access.log".to_owned();
        tally.observe(&Item::Malformed(Malformed { file, line, reason, excerpt: String::new() }));
    }
    tally.observe(&Item::Skipped(SkipReason::StaticFile));
    tally.observe(&Item::Skipped(SkipReason::Blank));
    tally
}

fn full() -> Report {
    let mut ledger = Ledger::default();
    let counts = Counts { accepted: 1_003, counted: 1_000, expired: 3, ..Counts::default() };
    ledger.add("EventAggregator", counts);
    ledger.add("SessionTracker", Counts { accepted: 5, ..Counts::default() });
    Report {
        sent: None,
        files: 2,
        tally: tally(),
        read_errors: vec!["b.log.gz: line 7 and what follows cannot be read: the file is cut off".into()],
        resumed_events: 2,
        sessions: Some(1_234),
        windows: vec![("event_metrics".into(), 12_000), ("session_window_metrics".into(), 345)],
        ledger,
        max_disorder: "10m".into(),
        elapsed: Duration::from_millis(1_500),
    }
}

#[test]
fn a_full_report_reads_so() {
    let expected = "\
Imported 2 files in 1.50 s (2 events/s)

  lines                  8
  events                 3  2015-05-17T10:05:00.500Z to 2015-05-17T10:53:20.000Z
  resumed                2  of these events an interrupted run had imported already
  skipped                2  static files 1 · blank lines 1
  malformed              3
  sessions           1,234
  windows           12,345  event_metrics 12,000 · session_window_metrics 345

Malformed lines:
  access.log:4: no request in quotes behind the time
  access.log:9: no request in quotes behind the time
  … and 1 more

Not read to the end:
  b.log.gz: line 7 and what follows cannot be read: the file is cut off
  What was read is imported. To have the rest, import the whole files into an empty data directory.

Expired: EventAggregator 3
  These events came more than 10m out of order, after their window had closed; they are in
  dropped_events and in no window. To count them, import into an empty data directory with a larger
  --max-disorder (it was 10m).

Ledger:
  job              accepted  counted  expired  future  filtered  rejected
  EventAggregator     1,003    1,000        3       0         0         0  adds up
  SessionTracker          5        0        0       0         0         0  DOES NOT ADD UP
";
    assert_eq!(full().render(), expected);
}

#[test]
fn a_quiet_report_says_no_more_than_it_must() {
    let report = Report { files: 1, ..Report::default() };
    assert_eq!(
        report.render(),
        "\
Checked 1 file in 0.00 s

  lines                  0
  events                 0
  malformed              0
"
    );
}
