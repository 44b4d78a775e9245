//! Where the records of one read go: into the router, or aside with the dropped ones; and what the cursor
//! of their partition learns from them. Nothing here depends on the order of the records.

use tidegate_model::binding::LastRecord;
use tidegate_model::{EventTime, Offset, PartitionId};

use super::Cursor;
use crate::batch::{Decoded, Position, Router};
use crate::feed::Intake;
use crate::report::{DropReason, Dropped, EVERY_JOB};
use crate::settings::EventClock;
use crate::survey::Appended;

/// Sorts what the feed reads into the router, or aside.
pub(super) struct Receiver<'a> {
    pub(super) partition: PartitionId,
    pub(super) cursor: &'a mut Cursor,
    pub(super) router: &'a mut Router,
    pub(super) future_tolerance_ms: i64,
    pub(super) event_time: EventClock,
    pub(super) dropped: &'a mut Vec<Dropped>,
}

impl Receiver<'_> {
    fn passed(&mut self, offset: Offset, appended: EventTime) {
        self.cursor.records += 1;
        if self.cursor.last.is_none_or(|last| last.offset < offset) {
            self.cursor.last = Some(LastRecord { offset, appended });
        }
    }

    fn drop(&mut self, offset: Offset, reason: DropReason) {
        let at = Position { partition: self.partition, offset };
        self.dropped.push(Dropped { at, job: EVERY_JOB.to_owned(), reason });
    }
}

impl Intake for Receiver<'_> {
    fn event(&mut self, offset: Offset, append_time: EventTime, event: &Decoded<'_>) {
        self.passed(offset, append_time);
        let appended = Appended { oldest: append_time, newest: append_time };
        self.cursor.appended = Some(self.cursor.appended.map_or(appended, |others| others.and(appended)));
        let event = match self.event_time {
            EventClock::Timestamp => *event,
            EventClock::Append => Decoded { time: append_time, ..*event },
        };
        if event.time > append_time.plus_ms(self.future_tolerance_ms) {
            self.drop(offset, DropReason::Future);
            return;
        }
        let reached = event.time.min(append_time);
        self.cursor.largest = self.cursor.largest.max(reached);
        self.cursor.largest_of_epoch = self.cursor.largest_of_epoch.max(reached);
        self.cursor.latest = self.cursor.latest.max(event.time);
        self.router.push(&event, Position { partition: self.partition, offset });
    }

    fn undecodable(&mut self, offset: Offset, append_time: EventTime) {
        self.passed(offset, append_time);
        self.drop(offset, DropReason::Rejected);
    }
}
