//! The bindings that a question is about, picked out of all those that are kept.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_model::{Binding, Epoch, EventTime, Offset, PartitionId, PartitionState};

/// What a binding says of time and offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) epoch: Epoch,
    pub(crate) now: EventTime,
    pub(crate) close_to: EventTime,
    pub(crate) partitions: BTreeMap<PartitionId, PartitionState>,
}

impl Bound {
    /// The offset after the last record that it names.
    pub(crate) fn end(&self, partition: PartitionId) -> Offset {
        self.partitions.get(&partition).map_or(Offset::ZERO, |state| state.end)
    }
}

impl From<Binding> for Bound {
    fn from(binding: Binding) -> Self {
        let Binding { epoch, now, close_to, partitions, .. } = binding;
        Self { epoch, now, close_to, partitions }
    }
}

/// What a binding goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// From nothing: it is the first of the deployment.
    Nothing,
    /// From the binding before it.
    Binding,
    /// From where reading went on, of each partition, without what was gone. What came before is no longer told,
    /// because the log may use its offsets again.
    Gap(BTreeMap<PartitionId, Offset>),
}

impl Follows {
    /// What `binding` goes on from.
    pub(crate) fn of(binding: &Binding) -> Self {
        match &binding.gap {
            Some(gap) => {
                // The gap names the partitions that jumped, the snapshot of nothing beside it all of them.
                let read = binding.snapshot.iter().flat_map(|nothing| &nothing.partitions);
                let read = read.map(|(partition, state)| (*partition, state.end));
                let jumped = gap.iter().map(|(partition, gap)| (*partition, gap.resumed));
                Self::Gap(read.chain(jumped).collect())
            }
            None if binding.origin.is_some() => Self::Nothing,
            None => Self::Binding,
        }
    }
}

/// Where a record belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// To the epoch of the binding with that index.
    Epoch(usize),
    /// To an epoch whose binding was pruned, or to the oldest one kept.
    Pruned,
    /// To none yet: no binding names it.
    Unbound,
}

/// The bindings between the first record that may be meant and the frontier from which on nothing changes.
#[derive(Clone, Debug)]
pub(crate) struct Bindings {
    /// The epoch of the oldest binding kept, if there were others before it.
    pub(crate) pruned_before: Option<Epoch>,
    /// The epoch of the newest binding that follows a gap, if what was asked for reaches back before it.
    pub(crate) gap: Option<Epoch>,
    /// The first epoch, be it before a gap, that may have said something of what was asked for.
    pub(crate) first: Option<Epoch>,
    /// The epoch of the oldest binding kept, or of the newest that follows a gap.
    oldest: Epoch,
    /// The binding before those of `range`; after a gap with the offsets where reading went on.
    before: Option<Bound>,
    pub(crate) range: Vec<Bound>,
    /// Whether `range` goes on to where nothing changes any more.
    is_settled: bool,
    pub(crate) newest: Bound,
    /// The binding that moved the frontier to where it is: epoch and clock.
    pub(crate) moved_at: (Epoch, EventTime),
    /// Whether the oldest binding kept has the same frontier, so that it may have stood there for longer.
    pub(crate) moved_earlier: bool,
    /// Nothing that happened before is looked for.
    pub(crate) from: EventTime,
}

impl Bindings {
    /// The offsets of a partition between which the records are that may be meant; open-ended while
    /// there may be more to come.
    pub(crate) fn offsets(&self, partition: PartitionId) -> Range<Offset> {
        let mut start = self.before.as_ref().map_or(Offset::ZERO, |before| before.end(partition));
        for bound in &self.range {
            match bound.partitions.get(&partition) {
                Some(state) if state.largest >= self.from => break,
                Some(state) => start = state.end,
                None => {}
            }
        }
        let last = self.range.last().filter(|_| self.is_settled);
        start..last.map_or(Offset(u64::MAX), |last| last.end(partition).max(start))
    }

    /// Where the record belongs.
    pub(crate) fn place(&self, partition: PartitionId, offset: Offset) -> Place {
        if self.before.as_ref().is_some_and(|before| offset < before.end(partition)) {
            return Place::Pruned;
        }
        let index = self.range.partition_point(|bound| bound.end(partition) <= offset);
        if index == self.range.len() {
            Place::Unbound
        } else if index == 0 && self.before.is_none() && self.pruned_before.is_some() {
            Place::Pruned
        } else {
            Place::Epoch(index)
        }
    }

    /// The frontier before the epoch of the binding with that index.
    pub(crate) fn frontier_before(&self, index: usize) -> EventTime {
        let before = index.checked_sub(1).map_or(self.before.as_ref(), |before| self.range.get(before));
        before.map_or(EventTime::MIN, |before| before.close_to)
    }

    /// The first epoch whose frontier came to `time`; `None` where none did, or its binding is pruned.
    pub(crate) fn reached(&self, time: EventTime) -> Option<Epoch> {
        let index = self.range.partition_point(|bound| bound.close_to < time);
        // Before a gap the frontier may have been there already.
        let is_first = || match &self.before {
            Some(before) => before.close_to < time,
            None => self.pruned_before.is_none(),
        };
        let is_known = index > 0 || is_first();
        self.range.get(index).filter(|_| is_known).map(|bound| bound.epoch)
    }

    /// The binding of an epoch, if it is among those picked.
    pub(crate) fn of(&self, epoch: Epoch) -> Option<&Bound> {
        let index = self.range.binary_search_by_key(&epoch, |bound| bound.epoch).ok()?;
        self.range.get(index)
    }

    /// The first epoch whose dropped records may lie at the offsets that are told of: none from before a gap,
    /// and every one while nothing says when the oldest records came. That is not the first of `range`, because
    /// a record from the future was dropped long before its time came.
    pub(crate) fn dropped_from(&self) -> Epoch {
        if self.reaches_pruned() { Epoch(0) } else { self.oldest }
    }

    /// Whether what is asked for reaches back before the oldest binding kept.
    pub(crate) fn reaches_pruned(&self) -> bool {
        self.pruned_before.is_some() && self.before.is_none() && !self.range.is_empty()
    }
}

/// Picks bindings as they are read, oldest first.
#[derive(Debug)]
pub(crate) struct Picker {
    from: EventTime,
    settled_at: EventTime,
    pruned_before: Option<Epoch>,
    gap: Option<Epoch>,
    first: Option<Epoch>,
    oldest: Epoch,
    before: Option<Bound>,
    range: Vec<Bound>,
    is_settled: bool,
    newest: Option<Bound>,
    moved_at: (Epoch, EventTime),
    moved_earlier: bool,
}

impl Picker {
    /// Picks from the first binding that may hold a record at or after `from`, until the frontier has come
    /// to `settled_at`.
    pub(crate) fn new(from: EventTime, settled_at: EventTime) -> Self {
        Self {
            from,
            settled_at,
            pruned_before: None,
            gap: None,
            first: None,
            oldest: Epoch(0),
            before: None,
            range: Vec::new(),
            is_settled: false,
            newest: None,
            moved_at: (Epoch(0), EventTime::MIN),
            moved_earlier: false,
        }
    }

    /// Takes the next binding.
    pub(crate) fn add(&mut self, bound: Bound, follows: &Follows) {
        if self.newest.is_none() {
            self.pruned_before = (*follows == Follows::Binding).then_some(bound.epoch);
            self.oldest = bound.epoch;
            self.moved_at = (bound.epoch, bound.now);
            self.moved_earlier = *follows != Follows::Nothing;
        }
        if let Follows::Gap(resumed) = follows {
            self.begin_anew(resumed, &bound);
        }
        if self.newest.as_ref().is_some_and(|newest| newest.close_to != bound.close_to) {
            self.moved_at = (bound.epoch, bound.now);
            self.moved_earlier = false;
        }
        let newest = self.newest.replace(bound.clone());
        if self.is_settled {
            return;
        }
        if self.range.is_empty() {
            if !self.is_reached_by(&bound) {
                self.before = Some(bound);
                return;
            }
            self.before = newest;
        }
        self.is_settled = bound.close_to >= self.settled_at;
        self.first.get_or_insert(bound.epoch);
        self.range.push(bound);
    }

    /// Forgets what was picked, because `bound` follows a gap.
    fn begin_anew(&mut self, resumed: &BTreeMap<PartitionId, Offset>, bound: &Bound) {
        // Where no binding from before it is kept, the frontier that it went on from is not known: at most its own.
        let unknown = || Bound { partitions: BTreeMap::new(), ..bound.clone() };
        let is_unknown = self.newest.is_none();
        let mut before = self.newest.take().unwrap_or_else(unknown);
        self.gap = (is_unknown || self.is_reached_by(&before)).then_some(bound.epoch);
        for (partition, end) in resumed {
            let unread = PartitionState { end: Offset::ZERO, largest: EventTime::MIN, active_at: before.now };
            before.partitions.entry(*partition).or_insert(unread).end = *end;
        }
        self.newest = Some(before);
        self.oldest = bound.epoch;
        self.pruned_before = None;
        self.range.clear();
        self.is_settled = false;
    }

    /// Whether a record at or after `from` may be of the epoch of `bound`, or of one before.
    fn is_reached_by(&self, bound: &Bound) -> bool {
        bound.close_to >= self.from || bound.partitions.values().any(|state| state.largest >= self.from)
    }

    /// What was picked; `None` when there was no binding.
    pub(crate) fn finish(self) -> Option<Bindings> {
        Some(Bindings {
            pruned_before: self.pruned_before,
            gap: self.gap,
            first: self.first,
            oldest: self.oldest,
            before: self.before,
            range: self.range,
            is_settled: self.is_settled,
            newest: self.newest?,
            moved_at: self.moved_at,
            moved_earlier: self.moved_earlier,
            from: self.from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(0);

    /// A binding: epoch, frontier, end and largest time of the one partition.
    fn bound((epoch, close_to, end, largest): (u64, i64, u64, i64)) -> Bound {
        let at = EventTime::from_millis;
        let state = PartitionState { end: Offset(end), largest: at(largest), active_at: at(0) };
        let now = at(1_000 + i64::try_from(epoch).expect("small"));
        Bound { epoch: Epoch(epoch), now, close_to: at(close_to), partitions: [(P, state)].into() }
    }

    fn picked(from: i64, settled_at: i64, begins: bool) -> Bindings {
        let mut picker = Picker::new(EventTime::from_millis(from), EventTime::from_millis(settled_at));
        let bindings = [(1, 0, 2, 5), (2, 10, 5, 20), (3, 30, 8, 40), (4, 40, 9, 50), (5, 40, 12, 50)];
        for (index, binding) in bindings.into_iter().enumerate() {
            let follows = if begins && index == 0 { Follows::Nothing } else { Follows::Binding };
            picker.add(bound(binding), &follows);
        }
        picker.finish().expect("there are bindings")
    }

    #[test]
    fn the_bindings_of_a_window_and_its_offsets() {
        for (from, settled_at, epochs, offsets) in [
            (0, 10, &[1, 2][..], 0..5),
            (15, 30, &[2, 3], 2..8),
            (30, 35, &[3, 4], 5..9),
            (45, 60, &[4, 5], 8..u64::MAX),
            (60, 90, &[], 12..u64::MAX),
        ] {
            let bindings = picked(from, settled_at, true);
            let found: Vec<u64> = bindings.range.iter().map(|bound| bound.epoch.0).collect();
            assert_eq!(found, epochs, "{from}");
            assert_eq!(bindings.offsets(P), Offset(offsets.start)..Offset(offsets.end), "{from}");
            assert_eq!(bindings.moved_at, (Epoch(4), EventTime::from_millis(1_004)));
            assert!(!bindings.reaches_pruned());
        }
    }

    #[test]
    fn a_record_belongs_to_the_epoch_whose_binding_names_it() {
        let bindings = picked(15, 60, true);
        assert_eq!(bindings.place(P, Offset(1)), Place::Pruned);
        assert_eq!(bindings.place(P, Offset(2)), Place::Epoch(0));
        assert_eq!(bindings.place(P, Offset(5)), Place::Epoch(1));
        assert_eq!(bindings.place(P, Offset(12)), Place::Unbound);
        assert_eq!(bindings.frontier_before(0), EventTime::from_millis(0));
        assert_eq!(bindings.frontier_before(1), EventTime::from_millis(10));
        assert_eq!(bindings.reached(EventTime::from_millis(31)), Some(Epoch(4)));
        assert_eq!(bindings.reached(EventTime::from_millis(41)), None);
    }

    #[test]
    fn before_the_oldest_binding_nothing_is_known() {
        let bindings = picked(0, 30, false);
        assert!(bindings.reaches_pruned());
        assert_eq!(bindings.place(P, Offset(1)), Place::Pruned);
        assert_eq!(bindings.place(P, Offset(2)), Place::Epoch(1));
        assert_eq!(bindings.reached(EventTime::from_millis(0)), None);
        assert_eq!(bindings.reached(EventTime::from_millis(10)), Some(Epoch(2)));
        assert!(!picked(15, 30, false).reaches_pruned());
    }
}
