//! The windows of one kind: those with final values, and those with provisional ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_model::row::CacheView;
use tidegate_model::{Epoch, EventTime, Window};

use super::state::Touched;
use crate::batch::{Effect, Row};
use crate::config::Config;
use crate::window::{CachedWindow, Number};

/// A window, with what is not shown of it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) shown: Arc<CachedWindow>,
    /// The epoch that each label's values are of.
    versions: BTreeMap<Box<str>, Epoch>,
    expires_at: EventTime,
}

/// Windows by their start.
pub(super) type Slots = BTreeMap<EventTime, Slot>;

/// The windows of one kind.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) view: &'static CacheView,
    pub(super) settled: Slots,
    pub(super) live: Slots,
    /// Windows that start at or before this, and are not there, are no longer kept. A row of one of them
    /// would show a part of it as if it were the whole.
    floor: EventTime,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Put,
    Removed,
    Stale,
    Old,
    Refused,
}

impl Kind {
    pub(super) fn new(view: &'static CacheView) -> Self {
        Self { view, settled: Slots::new(), live: Slots::new(), floor: EventTime::MIN }
    }

    pub(super) fn slots(&self, provisional: bool) -> &Slots {
        if provisional { &self.live } else { &self.settled }
    }

    /// Applies a final row.
    pub(super) fn settle(
        &mut self,
        row: &Row,
        config: &Config,
        now: EventTime,
        touched: &mut Touched,
    ) -> Outcome {
        let start = row.window.start;
        // The window is closed, whatever becomes of the row.
        self.take(true, start, &row.label, row.epoch, touched);
        let version = self.settled.get(&start).and_then(|slot| slot.versions.get(&row.label));
        if version.is_some_and(|version| *version > row.epoch) {
            return Outcome::Stale;
        }
        let values = match &row.effect {
            Effect::Put(values) => values,
            Effect::Remove => {
                self.take(false, start, &row.label, row.epoch, touched);
                return Outcome::Removed;
            }
        };
        if self.is_gone(start) {
            return Outcome::Old;
        }
        let expires_at = now.plus_ms(config.hash_ttl_ms);
        let put = Put { window: row.window, label: &row.label, epoch: row.epoch, values, expires_at };
        if !self.put(false, &put, config.labels_max, touched) {
            return Outcome::Refused;
        }
        while self.settled.len() > config.windows_kept {
            self.forget_oldest(touched);
        }
        Outcome::Put
    }

    /// Applies a provisional row; windows that end at or before `frontier` have none.
    pub(super) fn show(
        &mut self,
        row: &Row,
        config: &Config,
        now: EventTime,
        frontier: EventTime,
        touched: &mut Touched,
    ) -> Outcome {
        if !self.view.live {
            return Outcome::Refused;
        }
        let Window { start, end } = row.window;
        if end <= frontier || self.is_gone(start) {
            return Outcome::Old;
        }
        if self.settled.get(&start).is_some_and(|slot| slot.versions.contains_key(&row.label)) {
            return Outcome::Stale;
        }
        let version = self.live.get(&start).and_then(|slot| slot.versions.get(&row.label));
        if version.is_some_and(|version| *version > row.epoch) {
            return Outcome::Stale;
        }
        let values = match &row.effect {
            Effect::Put(values) => values,
            Effect::Remove => {
                self.take(true, start, &row.label, row.epoch, touched);
                return Outcome::Removed;
            }
        };
        // Two windows' time.
        let expires_at = now.plus_ms(end.since_ms(start).saturating_mul(2));
        let put = Put { window: row.window, label: &row.label, epoch: row.epoch, values, expires_at };
        if !self.put(true, &put, config.labels_max, touched) {
            return Outcome::Refused;
        }
        while self.live.len() > config.live_windows_max {
            let (oldest, slot) = self.live.pop_first().expect("there is one too many");
            touched.note(self.view.kind, true, oldest, Some(&slot), slot.newest());
        }
        Outcome::Put
    }

    /// Puts values that a metric store holds.
    pub(super) fn put_seeded(&mut self, put: &Put<'_>, config: &Config, touched: &mut Touched) {
        self.take(true, put.window.start, put.label, put.epoch, touched);
        if self.put(false, put, config.labels_max, touched) && self.settled.len() > config.windows_kept {
            self.forget_oldest(touched);
        }
    }

    /// Forgets every final value. The windows may come back, but for those up to `floor`.
    pub(super) fn clear(&mut self, floor: EventTime, touched: &mut Touched) {
        for (start, slot) in std::mem::take(&mut self.settled) {
            touched.note(self.view.kind, false, start, Some(&slot), slot.newest());
        }
        self.floor = floor;
    }

    /// Forgets every final value, for good.
    pub(super) fn give_up(&mut self, touched: &mut Touched) {
        let newest = self.settled.last_key_value().map_or(EventTime::MIN, |(start, _)| *start);
        self.clear(self.floor.max(newest), touched);
    }

    /// Removes provisional values of windows that are closed.
    pub(super) fn close(&mut self, frontier: EventTime, touched: &mut Touched) {
        self.retain(true, |slot| slot.shown.window.end > frontier, touched);
    }

    /// Removes what is too old.
    pub(super) fn expire(&mut self, now: EventTime, touched: &mut Touched) {
        self.retain(true, |slot| slot.expires_at > now, touched);
        if let Some(newest) = self.retain(false, |slot| slot.expires_at > now, touched) {
            self.floor = self.floor.max(newest);
        }
    }

    /// Keeps the windows that `keep` likes, and returns the start of the newest other one.
    fn retain(
        &mut self,
        provisional: bool,
        keep: impl Fn(&Slot) -> bool,
        touched: &mut Touched,
    ) -> Option<EventTime> {
        let kind = self.view.kind;
        let mut newest = None;
        let slots = if provisional { &mut self.live } else { &mut self.settled };
        slots.retain(|start, slot| {
            let keep = keep(slot);
            if !keep {
                touched.note(kind, provisional, *start, Some(slot), slot.newest());
                newest = Some(*start);
            }
            keep
        });
        newest
    }

    fn is_gone(&self, start: EventTime) -> bool {
        start <= self.floor && !self.settled.contains_key(&start)
    }

    fn forget_oldest(&mut self, touched: &mut Touched) {
        let Some((oldest, slot)) = self.settled.pop_first() else { return };
        touched.note(self.view.kind, false, oldest, Some(&slot), slot.newest());
        self.floor = self.floor.max(oldest);
    }

    /// Sets the fields of a label; `false` when the window has no room for it.
    fn put(&mut self, provisional: bool, put: &Put<'_>, labels_max: usize, touched: &mut Touched) -> bool {
        let slots = if provisional { &mut self.live } else { &mut self.settled };
        let start = put.window.start;
        let slot = slots.get(&start);
        let is_full = slot
            .is_some_and(|slot| slot.versions.len() >= labels_max && !slot.versions.contains_key(put.label));
        if is_full {
            return false;
        }
        touched.note(self.view.kind, provisional, start, slot, put.epoch);
        let slot = slots.entry(start).or_insert_with(|| Slot::empty(put.window));
        let shown = Arc::make_mut(&mut slot.shown);
        shown.window = put.window;
        shown.put(self.view, put.label, put.values);
        slot.versions.insert(put.label.into(), put.epoch);
        slot.expires_at = put.expires_at;
        true
    }

    /// Takes the fields of a label away, and the window with the last one.
    fn take(
        &mut self,
        provisional: bool,
        start: EventTime,
        label: &str,
        epoch: Epoch,
        touched: &mut Touched,
    ) {
        let slots = if provisional { &mut self.live } else { &mut self.settled };
        let Some(slot) = slots.get_mut(&start).filter(|slot| slot.versions.contains_key(label)) else {
            return;
        };
        touched.note(self.view.kind, provisional, start, Some(slot), epoch);
        slot.versions.remove(label);
        if slot.versions.is_empty() {
            slots.remove(&start);
        } else {
            Arc::make_mut(&mut slot.shown).remove(self.view, label);
        }
    }
}

/// Values to be put.
#[derive(Debug)]
pub(super) struct Put<'a> {
    pub(super) window: Window,
    pub(super) label: &'a str,
    pub(super) epoch: Epoch,
    pub(super) values: &'a [Number],
    pub(super) expires_at: EventTime,
}

impl Slot {
    fn empty(window: Window) -> Self {
        let shown = Arc::new(CachedWindow::empty(window));
        Self { shown, versions: BTreeMap::new(), expires_at: EventTime::MAX }
    }

    fn newest(&self) -> Epoch {
        self.versions.values().copied().max().unwrap_or_default()
    }
}
