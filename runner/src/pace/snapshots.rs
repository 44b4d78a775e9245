//! When a tick asks for a snapshot.

use tidegate_model::EventTime;

use crate::snapshot::SnapshotLimits;

/// What was true when the last snapshot was asked for.
#[derive(Debug)]
pub(super) struct Snapshots {
    limits: SnapshotLimits,
    at: EventTime,
    records: u64,
    bound: u64,
}

/// What decides it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) now: EventTime,
    /// Records read in complete epochs since the start.
    pub(super) records: u64,
    /// Epochs bound since the start.
    pub(super) bound: u64,
    /// Whether one is being made.
    pub(super) under_way: bool,
    /// Whether the epoch is the last of the run.
    pub(super) is_last: bool,
}

impl Snapshots {
    pub(super) fn new(limits: SnapshotLimits, now: EventTime) -> Self {
        Self { limits, at: now, records: 0, bound: 0 }
    }

    /// Whether the epoch that ends has a snapshot; then it is taken for asked for.
    pub(super) fn ask(&mut self, due: Due) -> bool {
        // A clock that was set back must not put it off for long.
        self.at = self.at.min(due.now);
        let rested = due.now.since_ms(self.at) >= self.limits.every_ms && due.bound > self.bound;
        let many = due.records - self.records >= self.limits.records;
        let asked = due.is_last || (!due.under_way && (rested || many));
        if asked {
            *self = Self { at: due.now, records: due.records, bound: due.bound, ..*self };
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(now: i64, records: u64, bound: u64) -> Due {
        Due { now: EventTime::from_millis(now), records, bound, under_way: false, is_last: false }
    }

    #[test]
    fn one_is_due_after_records_or_time_and_at_the_end() {
        let limits = SnapshotLimits { records: 100, every_ms: 1_000, history_epochs: 0, last_wait_ms: 0 };
        let mut snapshots = Snapshots::new(limits, EventTime::from_millis(5_000));
        for (asked, due) in [
            (false, due(5_999, 99, 1)),
            (false, due(6_000, 99, 0)),
            (true, due(6_000, 99, 1)),
            (false, due(6_999, 198, 2)),
            (false, Due { under_way: true, ..due(6_999, 500, 2) }),
            (true, due(6_999, 199, 2)),
            (false, due(7_999, 199, 2)),
            (false, due(2_000, 200, 3)),
            (true, due(3_000, 200, 3)),
            (true, Due { under_way: true, is_last: true, ..due(3_001, 200, 3) }),
        ] {
            assert_eq!(snapshots.ask(due), asked, "{due:?}");
        }
    }
}
