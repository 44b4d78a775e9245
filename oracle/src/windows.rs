//! `EventAggregator` and `PerformanceTracker`: tumbling windows over events.
//!
//! The table after an epoch is a function of all counted records; the rows of the epoch are the
//! difference to the table before.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_dataflow::settings::JobSettings;
use tidegate_model::row::{EventMetrics, Op, PerformanceMetrics};
use tidegate_model::window::{Tumbling, Window};
use tidegate_model::{EventTime, names};

use crate::record::{OutRow, TestRecord, changes};
use crate::{Judged, Verdict};

/// The largest load time that counts, in milliseconds.
const LOAD_TIME_MAX: i64 = 3_600_000;

/// How a job sees a record, whatever its time.
enum Measure {
    /// It counts in this group of its window.
    In(String),
    Filtered,
    Rejected,
}

/// A job over tumbling windows.
pub(super) struct Windowed {
    pub(super) name: &'static str,
    windows: Tumbling,
    lateness_ms: i64,
    /// Its windows begin after this.
    pub(super) after: EventTime,
    measure: Box<dyn Fn(&TestRecord) -> Measure>,
    row: fn(Window, &str, &[TestRecord]) -> OutRow,
    /// Every record that ever counted, by window and group.
    counted: BTreeMap<(Window, String), Vec<TestRecord>>,
}

/// What an epoch brought.
pub(super) struct Output<'a> {
    pub(super) rows: Vec<OutRow>,
    pub(super) provisional: Vec<OutRow>,
    pub(super) judged: Vec<Judged<'a>>,
}

impl Windowed {
    pub(super) fn epoch<'a>(
        &mut self,
        before: EventTime,
        close_to: EventTime,
        records: &[&'a TestRecord],
    ) -> Output<'a> {
        let old = self.table();
        let mut judged = Vec::new();
        for &record in records {
            let window = self.windows.window_of(record.time);
            let verdict = match (self.measure)(record) {
                _ if window.start <= self.after => Verdict::Filtered,
                Measure::Filtered => Verdict::Filtered,
                Measure::Rejected => Verdict::Rejected,
                Measure::In(_) if window.end.plus_ms(self.lateness_ms) <= before => Verdict::Expired,
                Measure::In(group) => {
                    self.counted.entry((window, group)).or_default().push(record.clone());
                    Verdict::Counted
                }
            };
            judged.push((record, verdict));
        }
        let new = self.table();
        let part = |table: &BTreeMap<(Window, String), OutRow>, from: EventTime, to: EventTime| {
            let within = table.iter().filter(|((window, _), _)| from < window.end && window.end <= to);
            within.map(|(key, row)| (key.clone(), row.clone())).collect::<BTreeMap<_, _>>()
        };
        let rows = changes(&part(&old, EventTime::MIN, before), &part(&new, EventTime::MIN, close_to));
        let provisional =
            changes(&part(&old, close_to, EventTime::MAX), &part(&new, close_to, EventTime::MAX));
        Output { rows, provisional: provisional.iter().map(|row| row.with(Op::Final)).collect(), judged }
    }

    /// The row of every window, open ones included.
    fn table(&self) -> BTreeMap<(Window, String), OutRow> {
        let row = |(key, records): (&(Window, String), &Vec<TestRecord>)| {
            (key.clone(), (self.row)(key.0, &key.1, records))
        };
        self.counted.iter().map(row).collect()
    }
}

pub(super) fn event_aggregator(jobs: &JobSettings) -> Windowed {
    let allowed = jobs.allowed_event_types.clone();
    Windowed {
        name: names::EVENT_AGGREGATOR,
        windows: Tumbling::new(jobs.event_window_ms),
        lateness_ms: jobs.allowed_lateness_ms,
        after: EventTime::MIN,
        measure: Box::new(move |record| {
            if allowed.contains(&record.event_type) {
                Measure::In(record.event_type.clone())
            } else {
                Measure::Filtered
            }
        }),
        row: |window, event_type, records| {
            let users: BTreeSet<&str> = records.iter().map(|record| record.user_id.as_str()).collect();
            let row = EventMetrics {
                window_start: window.start,
                window_end: window.end,
                event_type: event_type.to_owned(),
                event_count: records.len() as u64,
                user_count: users.len() as u64,
            };
            OutRow::new(Op::Final, &row)
        },
        counted: BTreeMap::new(),
    }
}

pub(super) fn performance_tracker(jobs: &JobSettings) -> Windowed {
    Windowed {
        name: names::PERFORMANCE_TRACKER,
        windows: Tumbling::new(jobs.performance_window_ms),
        lateness_ms: jobs.allowed_lateness_ms,
        after: EventTime::MIN,
        measure: Box::new(|record| match record.load_time {
            Some(load_time) if record.event_type == names::PAGE_VIEW => {
                if (0..=LOAD_TIME_MAX).contains(&load_time) {
                    Measure::In(record.device.as_str().to_owned())
                } else {
                    Measure::Rejected
                }
            }
            _ => Measure::Filtered,
        }),
        row: |window, device, records| {
            let mut loads: Vec<i64> = records.iter().filter_map(|record| record.load_time).collect();
            loads.sort_unstable();
            let row = PerformanceMetrics {
                window_start: window.start,
                window_end: window.end,
                device_category: device.to_owned(),
                avg_load_time: loads.iter().sum::<i64>() as f64 / loads.len() as f64,
                p95_load_time: p95(&loads),
            };
            OutRow::new(Op::Final, &row)
        },
        counted: BTreeMap::new(),
    }
}

/// The 95th percentile, interpolated between the ranks around `0.95·(n − 1)`.
///
/// The rank is split in integers, so that the same bytes come out everywhere.
pub(super) fn p95(sorted: &[i64]) -> f64 {
    let hundredths = 95 * (sorted.len() - 1);
    let (rank, rest) = (hundredths / 100, i64::try_from(hundredths % 100).expect("below 100"));
    let low = sorted[rank];
    let high = sorted.get(rank + 1).copied().unwrap_or(low);
    low as f64 + ((high - low) * rest) as f64 / 100.0
}
