//! What the cache holds, and how it changes: plain data, no lock, no waiting.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_model::row::CacheView;
use tidegate_model::{AsOf, Epoch, EventTime, Offset, PartitionId};
use tokio::sync::broadcast;

use super::kind::{Kind, Outcome, Put, Slot};
use crate::batch::{Applied, Batch, Gap, Position, Positions, Row, Seed};
use crate::change::{Change, Update, UpdateKind};
use crate::config::Config;
use crate::read::{Answer, Ask};
use crate::window::CachedWindow;
use crate::write::{KindSize, WriteError};

/// What the cache holds.
#[derive(Debug)]
pub(super) struct State {
    config: Config,
    kinds: BTreeMap<&'static str, Kind>,
    positions: Positions,
    as_of: Option<AsOf>,
    ready: bool,
    seq: u64,
    updates: broadcast::Sender<Update>,
}

impl State {
    pub(super) fn new(config: Config) -> Self {
        let (updates, _) = broadcast::channel(config.updates_max.max(1));
        Self {
            config,
            kinds: BTreeMap::new(),
            positions: Positions::new(),
            as_of: None,
            ready: false,
            seq: 0,
            updates,
        }
    }

    #[cfg(any(test, feature = "conformance"))]
    pub(super) fn copy(&self) -> Self {
        let (updates, _) = broadcast::channel(self.config.updates_max.max(1));
        Self {
            config: self.config,
            kinds: self.kinds.clone(),
            positions: self.positions.clone(),
            as_of: self.as_of,
            ready: self.ready,
            seq: self.seq,
            updates,
        }
    }

    pub(super) fn positions(&self) -> &Positions {
        &self.positions
    }

    pub(super) fn ready(&self) -> bool {
        self.ready
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    pub(super) fn sizes(&self) -> Vec<KindSize> {
        let size = |kind: &Kind| KindSize {
            kind: kind.view.kind,
            windows: kind.settled.len(),
            live_windows: kind.live.len(),
        };
        self.kinds.values().map(size).collect()
    }

    pub(super) fn answer(&self, asks: &[Ask]) -> Answer {
        let newest = |kind: &str, provisional, limit| {
            let slots = self.kinds.get(kind).map(|kind| kind.slots(provisional));
            let windows = slots.into_iter().flat_map(|slots| slots.values().rev().take(limit));
            windows.map(|slot| Arc::clone(&slot.shown)).collect()
        };
        let windows = asks.iter().map(|ask| match *ask {
            Ask::Newest { kind, limit } => newest(kind, false, limit),
            Ask::Live { kind } => newest(kind, true, usize::MAX),
        });
        Answer { as_of: self.as_of, seq: self.seq, windows: windows.collect() }
    }

    pub(super) fn seed(&mut self, seed: &Seed, now: EventTime) {
        let mut touched = Touched::default();
        let expires_at = now.plus_ms(self.config.hash_ttl_ms);
        for seeded in &seed.kinds {
            let kind = kind_of(&mut self.kinds, seeded.view);
            kind.clear(seeded.left_out.unwrap_or(EventTime::MIN), &mut touched);
            for row in &seeded.rows {
                let (window, label, epoch) = (row.window, &*row.label, row.epoch);
                let put = Put { window, label, epoch, values: &row.values, expires_at };
                kind.put_seeded(&put, &self.config, &mut touched);
            }
            self.positions.retain(|(topic, _), _| *topic != seeded.topic);
            let source = |partition: PartitionId| (Arc::clone(&seeded.topic), partition);
            let positions =
                seeded.positions.iter().map(|(partition, position)| (source(*partition), *position));
            self.positions.extend(positions);
        }
        self.publish(touched);
    }

    pub(super) fn apply(&mut self, batch: &Batch, now: EventTime) -> Result<Applied, WriteError> {
        let source = (Arc::clone(&batch.topic), batch.partition);
        let position = self.position_before(&source, batch.range.start)?;
        let repeated = batch.rows.partition_point(|row| row.offset < position.next);
        let mut applied = Applied { repeated: repeated as u64, ..Applied::default() };
        if batch.range.end <= position.next {
            return Ok(applied);
        }
        let mut touched = Touched::default();
        for row in &batch.rows[repeated..] {
            *counter(&mut applied, self.apply_row(row, now, &mut touched)) += 1;
        }
        let last = batch.last.or(position.last);
        self.positions.insert(source, Position { next: batch.range.end, last });
        self.publish(touched);
        Ok(applied)
    }

    fn apply_row(&mut self, row: &Row, now: EventTime, touched: &mut Touched) -> Outcome {
        let kind = kind_of(&mut self.kinds, row.view);
        if row.provisional {
            let frontier = self.as_of.map_or(EventTime::MIN, |as_of| as_of.frontier);
            kind.show(row, &self.config, now, frontier, touched)
        } else {
            kind.settle(row, &self.config, now, touched)
        }
    }

    pub(super) fn skip(&mut self, gap: &Gap) -> Result<(), WriteError> {
        let source = (Arc::clone(&gap.topic), gap.partition);
        let position = self.position_before(&source, gap.missing.start)?;
        if gap.missing.end <= position.next {
            return Ok(());
        }
        let mut touched = Touched::default();
        if let Some(view) = gap.view {
            kind_of(&mut self.kinds, view).give_up(&mut touched);
        }
        self.positions.insert(source, Position { next: gap.missing.end, last: None });
        self.publish(touched);
        Ok(())
    }

    pub(super) fn adopt(&mut self, source: &(Arc<str>, PartitionId), start: Offset) {
        self.positions.insert(source.clone(), Position { next: start, last: None });
    }

    /// The position, which must not be below `start`: the rows between would be lost.
    fn position_before(
        &self,
        source: &(Arc<str>, PartitionId),
        start: Offset,
    ) -> Result<Position, WriteError> {
        let position = self.positions.get(source).copied().unwrap_or_default();
        if start > position.next {
            let (topic, partition, next) = (Arc::clone(&source.0), source.1, position.next);
            return Err(WriteError::Gap { topic, partition, next, start });
        }
        Ok(position)
    }

    pub(super) fn set_as_of(&mut self, as_of: Option<AsOf>, at: &Positions) -> Result<(), WriteError> {
        self.stands_at(at)?;
        self.ready = true;
        if as_of == self.as_of {
            return Ok(());
        }
        self.as_of = as_of;
        let Some(as_of) = as_of else { return Ok(()) };
        let mut touched = Touched::default();
        for kind in self.kinds.values_mut() {
            kind.close(as_of.frontier, &mut touched);
        }
        self.publish(touched);
        self.tell(UpdateKind::AsOf(as_of));
        Ok(())
    }

    /// Whether the cache stands where it is taken to stand. A partition that nothing was read of stands at 0.
    fn stands_at(&self, at: &Positions) -> Result<(), WriteError> {
        for source in self.positions.keys().chain(at.keys()) {
            let next = |positions: &Positions| positions.get(source).copied().unwrap_or_default().next;
            let (expected, actual) = (next(at), next(&self.positions));
            if expected != actual {
                let (topic, partition) = source.clone();
                return Err(WriteError::Moved { topic, partition, expected, actual });
            }
        }
        Ok(())
    }

    pub(super) fn expire(&mut self, now: EventTime) {
        let mut touched = Touched::default();
        for kind in self.kinds.values_mut() {
            kind.expire(now, &mut touched);
        }
        self.publish(touched);
    }

    /// Tells subscribers what became of the windows that were touched. Final values come before the
    /// provisional ones that they take the place of.
    fn publish(&mut self, touched: Touched) {
        for ((kind, provisional, start), (before, epoch)) in touched.0 {
            let slots = self.kinds[kind].slots(provisional);
            let after = slots.get(&start).map(|slot| &*slot.shown);
            if let Some(change) = Change::between(kind, provisional, before.as_deref(), after, epoch) {
                self.tell(UpdateKind::Changed(Arc::new(change)));
            }
        }
    }

    fn tell(&mut self, kind: UpdateKind) {
        self.seq += 1;
        // Nobody may be listening.
        let _ = self.updates.send(Update { seq: self.seq, kind });
    }
}

fn kind_of<'a>(kinds: &'a mut BTreeMap<&'static str, Kind>, view: &'static CacheView) -> &'a mut Kind {
    kinds.entry(view.kind).or_insert_with(|| Kind::new(view))
}

fn counter(applied: &mut Applied, outcome: Outcome) -> &mut u64 {
    match outcome {
        Outcome::Put => &mut applied.put,
        Outcome::Removed => &mut applied.removed,
        Outcome::Stale => &mut applied.stale,
        Outcome::Old => &mut applied.old,
        Outcome::Refused => &mut applied.refused,
    }
}

/// The windows that were touched, with what they were before, and the newest epoch that touched them.
#[derive(Debug, Default)]
pub(super) struct Touched(BTreeMap<Place, (Option<Arc<CachedWindow>>, Epoch)>);

/// Which window: its kind, whether it is about its provisional values, and its start.
type Place = (&'static str, bool, EventTime);

impl Touched {
    /// Remembers `slot`, which is about to be changed for `epoch`.
    pub(super) fn note(
        &mut self,
        kind: &'static str,
        provisional: bool,
        start: EventTime,
        slot: Option<&Slot>,
        epoch: Epoch,
    ) {
        let before = || (slot.map(|slot| Arc::clone(&slot.shown)), epoch);
        let (_, newest) = self.0.entry((kind, provisional, start)).or_insert_with(before);
        *newest = epoch.max(*newest);
    }
}
