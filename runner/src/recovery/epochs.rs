//! The epochs to replay, kept small: a deployment has one for every tick in which something happened.
//!
//! An epoch differs little from the one before, so each is kept as its differences, in numbers of as few
//! bytes as they need: some ten bytes, and four for each partition that was read in it. What is taken out
//! is freed, a chunk at a time.

use std::collections::{BTreeMap, VecDeque};

use tidegate_dataflow::control::Journaled;
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Epoch, EventTime, Offset, PartitionId, PartitionState};

/// Bytes of a chunk, at most; a larger epoch has one of its own.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes of the largest number.
const NUMBER_BYTES_MAX: usize = 10;

/// A bound epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// Its clock.
    pub now: EventTime,
    /// Its partitions and frontier.
    pub journaled: Journaled,
}

impl ReplayEpoch {
    /// Where its records end.
    pub fn ends(&self) -> BTreeMap<PartitionId, Offset> {
        let early = u64::from(is_planted(Bug::OffsetOffByOne));
        let end = |end: Offset| Offset(end.0.saturating_sub(early));
        self.journaled.partitions.iter().map(|(partition, state)| (*partition, end(state.end))).collect()
    }

    /// What the first epoch differs from.
    fn origin() -> Self {
        let journaled = Journaled { close_to: EventTime::MIN, partitions: BTreeMap::new() };
        Self { epoch: Epoch(0), now: EventTime::MIN, journaled }
    }
}

/// Bound epochs, oldest first: put in at the end, taken out at the front.
#[derive(Clone, Debug)]
pub struct ReplayEpochs {
    chunks: VecDeque<Vec<u8>>,
    /// Where the front epoch begins in the first chunk.
    at: usize,
    len: usize,
    /// The epoch taken out last, which the front one differs from.
    taken: ReplayEpoch,
    /// The epoch put in last.
    newest: ReplayEpoch,
}

impl Default for ReplayEpochs {
    fn default() -> Self {
        let (taken, newest) = (ReplayEpoch::origin(), ReplayEpoch::origin());
        Self { chunks: VecDeque::new(), at: 0, len: 0, taken, newest }
    }
}

impl ReplayEpochs {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The newest one.
    pub fn last(&self) -> Option<&ReplayEpoch> {
        (!self.is_empty()).then_some(&self.newest)
    }

    /// Each of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = ReplayEpoch> {
        let mut chunks = self.chunks.iter().map(Vec::as_slice);
        let mut bytes = chunks.next().map_or(&[][..], |first| &first[self.at..]);
        let mut taken = self.taken.clone();
        std::iter::from_fn(move || {
            if bytes.is_empty() {
                bytes = chunks.next()?;
            }
            read_epoch(&mut bytes, &mut taken);
            Some(taken.clone())
        })
    }

    /// Puts one in behind the others. No partition of theirs may be missing in it.
    pub fn push(&mut self, epoch: ReplayEpoch) {
        let before = std::mem::replace(&mut self.newest, epoch);
        let after = &self.newest;
        let bytes_max = (4 + 4 * after.journaled.partitions.len()) * NUMBER_BYTES_MAX;
        if self.chunks.back().is_none_or(|chunk| chunk.len() + bytes_max > CHUNK_BYTES) {
            // Only the newest chunk has room to spare.
            self.chunks.push_back(Vec::with_capacity(bytes_max.max(CHUNK_BYTES)));
        }
        let chunk = self.chunks.back_mut().expect("there is one by now");
        write_epoch(chunk, &before, after);
        self.len += 1;
    }

    /// Takes the oldest one out.
    pub fn pop_front(&mut self) -> Option<ReplayEpoch> {
        self.len = self.len.checked_sub(1)?;
        let chunk = self.chunks.front().expect("an epoch lies in a chunk");
        let mut bytes = &chunk[self.at..];
        read_epoch(&mut bytes, &mut self.taken);
        self.at = chunk.len() - bytes.len();
        if bytes.is_empty() {
            self.chunks.pop_front();
            self.at = 0;
        }
        Some(self.taken.clone())
    }
}

impl FromIterator<ReplayEpoch> for ReplayEpochs {
    fn from_iter<I: IntoIterator<Item = ReplayEpoch>>(epochs: I) -> Self {
        let mut all = Self::default();
        epochs.into_iter().for_each(|epoch| all.push(epoch));
        all
    }
}

fn write_epoch(bytes: &mut Vec<u8>, before: &ReplayEpoch, after: &ReplayEpoch) {
    write(bytes, after.epoch.0.wrapping_sub(before.epoch.0));
    write_moved(bytes, before.now, after.now);
    write_moved(bytes, before.journaled.close_to, after.journaled.close_to);
    let known = &before.journaled.partitions;
    let changed = |(id, state): &(&PartitionId, &PartitionState)| known.get(id) != Some(*state);
    let changed: Vec<_> = after.journaled.partitions.iter().filter(changed).collect();
    write(bytes, changed.len() as u64);
    for (id, state) in changed {
        let (end, largest) = base(known, *id);
        write(bytes, u64::from(id.0));
        write(bytes, state.end.0.wrapping_sub(end.0));
        write_moved(bytes, largest, state.largest);
        // A partition is active at the clock of the epoch that brought its last record.
        write_moved(bytes, after.now, state.active_at);
    }
}

/// Makes the epoch behind `epoch` out of it.
fn read_epoch(bytes: &mut &[u8], epoch: &mut ReplayEpoch) {
    epoch.epoch = Epoch(epoch.epoch.0.wrapping_add(read(bytes)));
    epoch.now = read_moved(bytes, epoch.now);
    epoch.journaled.close_to = read_moved(bytes, epoch.journaled.close_to);
    for _ in 0..read(bytes) {
        let id = PartitionId(u32::try_from(read(bytes)).expect("it was written from 32 bits"));
        let (end, largest) = base(&epoch.journaled.partitions, id);
        let state = PartitionState {
            end: Offset(end.0.wrapping_add(read(bytes))),
            largest: read_moved(bytes, largest),
            active_at: read_moved(bytes, epoch.now),
        };
        epoch.journaled.partitions.insert(id, state);
    }
}

/// What the end of a partition, and its largest time, differ from.
fn base(partitions: &BTreeMap<PartitionId, PartitionState>, id: PartitionId) -> (Offset, EventTime) {
    partitions.get(&id).map_or((Offset::ZERO, EventTime::MIN), |state| (state.end, state.largest))
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn write(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

fn read(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("an epoch is written as a whole");
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

/// Writes how far `to` is from `from`. Small moves in either direction are small numbers.
fn write_moved(bytes: &mut Vec<u8>, from: EventTime, to: EventTime) {
    let moved = to.as_millis().wrapping_sub(from.as_millis());
    write(bytes, ((moved << 1) ^ (moved >> 63)).cast_unsigned());
}

fn read_moved(bytes: &mut &[u8], from: EventTime) -> EventTime {
    let number = read(bytes);
    let moved = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
    EventTime::from_millis(from.as_millis().wrapping_add(moved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(epoch: u64, now: i64, close_to: i64, partitions: &[(u32, u64, i64, i64)]) -> ReplayEpoch {
        let at = EventTime::from_millis;
        let state = |&(id, end, largest, active_at): &(u32, u64, i64, i64)| {
            let (largest, active_at) = (at(largest), at(active_at));
            (PartitionId(id), PartitionState { end: Offset(end), largest, active_at })
        };
        let partitions = partitions.iter().map(state).collect();
        ReplayEpoch {
            epoch: Epoch(epoch),
            now: at(now),
            journaled: Journaled { close_to: at(close_to), partitions },
        }
    }

    /// A live epoch of three partitions, of which the last is silent.
    fn live(no: u64) -> ReplayEpoch {
        let now = 1_600_000_000_000 + i64::try_from(no * 100).expect("small");
        let read = |id, per_epoch| (id, no * per_epoch, now - 40, now);
        let silent = (2, 5, 1_600_000_000_000, 1_600_000_000_000);
        epoch(1_600_000_000_000 + no, now, now - 10_000, &[read(0, 3), read(1, 900), silent])
    }

    #[test]
    fn epochs_come_out_as_they_went_in() {
        let (min, max) = (i64::MIN, i64::MAX);
        let odd = [
            epoch(1, min, min, &[]),
            epoch(2, max, min, &[(7, 0, min, max)]),
            epoch(3, 0, max, &[(0, u64::MAX, max, min), (7, 0, min, max)]),
            epoch(u64::MAX, -1, -2, &[(0, 1, -3, 4), (7, 9, max, 0), (u32::MAX, 1, 2, 3)]),
        ];
        let epochs: ReplayEpochs = odd.iter().cloned().collect();
        assert_eq!((epochs.len(), epochs.last()), (4, odd.last()));
        assert_eq!(epochs.iter().collect::<Vec<_>>(), odd);
        assert_eq!(ReplayEpochs::default().last(), None);
    }

    #[test]
    fn putting_in_and_taking_out_may_take_turns() {
        let mut epochs = ReplayEpochs::default();
        for no in 0..10 {
            epochs.push(live(2 * no));
            epochs.push(live(2 * no + 1));
            assert_eq!(epochs.pop_front(), Some(live(no)));
        }
        assert_eq!(epochs.iter().collect::<Vec<_>>(), (10..20).map(live).collect::<Vec<_>>());
    }

    #[test]
    fn many_epochs_are_small_and_freed_as_they_are_taken_out() {
        let ticks = 60_000;
        let mut epochs: ReplayEpochs = (0..ticks).map(live).collect();
        let held = |epochs: &ReplayEpochs| epochs.chunks.iter().map(Vec::capacity).sum::<usize>() as u64;
        assert!(held(&epochs) < ticks * 20, "{} bytes for {ticks} epochs", held(&epochs));
        for no in 0..ticks {
            assert!(held(&epochs) <= (ticks - no) * 20 + 2 * CHUNK_BYTES as u64);
            assert_eq!(epochs.pop_front(), Some(live(no)));
        }
        assert_eq!((held(&epochs), epochs.pop_front()), (0, None));
    }
}
