//! Going on without what is gone, because somebody said so (`--accept-gap`).
//!
//! Events that recovery needs are not in the log, or nothing that could stand for them is left. Reading goes on
//! where the log has events, the jobs begin anew as one does whose definition changed, and the next binding
//! says so: with the gap, and with a snapshot of nothing, from which later starts go on. The rows that were
//! committed stay. What was open is given up, so that no row says less than it seems to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tidegate_dataflow::control::Journaled;
use tidegate_dataflow::decide::TimeState;
use tidegate_dataflow::job;
use tidegate_dataflow::settings::JobSettings;
use tidegate_dataflow::snapshot::Restored;
use tidegate_log::{EventReader, read_first};
use tidegate_model::binding::{Gap, LastRecord, Manifest, Origin};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Counts, Epoch, EventTime, Ledger, Offset, PartitionId, PartitionState};

use super::FromSnapshot;
use super::replaced::Replaced;
use crate::error::RunError;

/// What a run begins with that goes on without what is gone; its first binding says so.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Where reading jumps.
    pub jumps: BTreeMap<PartitionId, Gap>,
    /// Partitions that hold other events than those that were read.
    pub replaced: BTreeSet<PartitionId>,
    /// Whether something is gone; otherwise a new deployment begins where it was told to.
    pub is_gap: bool,
    /// The snapshot of nothing.
    pub manifest: Manifest,
}

impl Accepted {
    /// After `last`; the log holds `available` of its partitions, of some of them other events than those that were read.
    pub(super) fn after(
        last: &Binding,
        origin: Origin,
        available: &BTreeMap<PartitionId, Range<Offset>>,
        replaced: &Replaced,
    ) -> Self {
        let mut partitions = last.partitions.clone();
        let mut gap = BTreeMap::new();
        for (partition, bounds) in available {
            // One that nobody has read begins at its first event.
            if !partitions.contains_key(partition) && bounds.start == Offset::ZERO {
                continue;
            }
            let unread = PartitionState { end: Offset::ZERO, largest: EventTime::MIN, active_at: last.now };
            let state = partitions.entry(*partition).or_insert(unread);
            let bound = state.end;
            // Of a log that was cut off, what is left was read before. What took the place of others was not.
            let is_replaced = replaced.partitions.contains_key(partition);
            state.end = if is_replaced { bounds.start } else { bound.clamp(bounds.start, bounds.end) };
            if state.end != bound {
                gap.insert(*partition, Gap { bound, resumed: state.end });
            }
        }
        let Binding { epoch, now, close_to, .. } = *last;
        Self {
            jumps: gap,
            replaced: replaced.partitions.keys().copied().collect(),
            is_gap: true,
            manifest: Manifest { epoch, now, close_to, partitions, origin, objects: Vec::new() },
        }
    }

    /// Where there is no binding: events before `begins` are gone, or none of this deployment's business.
    pub(super) fn at_the_beginning(
        first: Epoch,
        origin: Origin,
        begins: &BTreeMap<PartitionId, Offset>,
        is_gap: bool,
    ) -> Self {
        let gap = |(partition, resumed): (&PartitionId, &Offset)| {
            (*partition, Gap { bound: Offset::ZERO, resumed: *resumed })
        };
        let nothing =
            |end: &Offset| PartitionState { end: *end, largest: EventTime::MIN, active_at: EventTime::MIN };
        let manifest = Manifest {
            epoch: Epoch(first.0 - 1),
            now: EventTime::MIN,
            close_to: EventTime::MIN,
            partitions: begins.iter().map(|(partition, end)| (*partition, nothing(end))).collect(),
            origin,
            objects: Vec::new(),
        };
        let jumps = begins.iter().map(gap).collect();
        Self { jumps, replaced: BTreeSet::new(), is_gap, manifest }
    }

    /// What the workers start from.
    pub(super) fn snapshot(&self) -> FromSnapshot {
        let Manifest { epoch, now, close_to, partitions, .. } = &self.manifest;
        let journaled = Journaled { close_to: *close_to, partitions: partitions.clone() };
        FromSnapshot {
            restored: Arc::new(Restored::new(*epoch, Vec::new())),
            time: TimeState::journaled(*now, journaled),
            read_in: Duration::ZERO,
        }
    }

    /// No event that nobody has read, and that is gone, was appended after this: it lay before those where
    /// reading goes on, or, when there are none, was appended by `now`. `MIN` when none is gone.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn appended_by(
        &self,
        log: &mut dyn EventReader,
        now: EventTime,
    ) -> Result<EventTime, RunError> {
        let mut latest = EventTime::MIN;
        if is_planted(Bug::GoneForgotten) {
            return Ok(latest);
        }
        for (partition, gap) in &self.jumps {
            let mut next = None;
            let end = log.bounds(*partition)?.end;
            read_first(log, *partition, gap.resumed, end, &mut |record| next = Some(record.append_time))?;
            // Of a log that was cut off, nobody knows what else it held, nor what was appended since.
            let is_cut_off = gap.resumed < gap.bound || self.replaced.contains(partition);
            latest = latest.max(next.filter(|_| !is_cut_off).unwrap_or(now));
        }
        Ok(latest)
    }

    /// The last records that are still those of `last`: of partitions where reading does not jump.
    pub(super) fn still_last(&self, last: &Binding) -> BTreeMap<PartitionId, LastRecord> {
        let records = last.last_records.iter().filter(|(partition, _)| !self.jumps.contains_key(partition));
        records.map(|(partition, record)| (*partition, *record)).collect()
    }

    /// What the first binding says of what is gone.
    pub(crate) fn gap(&self) -> Option<BTreeMap<PartitionId, Gap>> {
        self.is_gap.then(|| self.jumps.clone())
    }

    /// Counts the events that are gone and that nobody has read, for every job that reads events.
    pub(super) fn count(&self, settings: &JobSettings, ledger: &mut Ledger) {
        if !self.is_gap {
            return;
        }
        let missing = |gap: &Gap| gap.resumed.0.saturating_sub(gap.bound.0);
        let counts = Counts { missing: self.jumps.values().map(missing).sum(), ..Counts::default() };
        for job in job::all(settings).iter().filter(|job| job.reads_events()) {
            ledger.add(job.name(), counts);
        }
    }
}
