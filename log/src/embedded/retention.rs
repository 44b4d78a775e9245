//! Which segments may go: decided here, purely; carried out by the log.
//!
//! A segment goes only when it is not the last of its partition, when every older one of its partition
//! goes too, and when all of it lies before the offset that recovery still needs. Of those, the ones
//! that are old enough go, and then, oldest first, as many as it takes to get the log below the size at
//! which it wants room.

use std::collections::BTreeMap;

use tidegate_model::{EventTime, Offset, PartitionId};

/// A segment, as the decision sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its partition.
    pub partition: PartitionId,
    /// The offset of its first record.
    pub base: Offset,
    /// The offset after its last record.
    pub end: Offset,
    /// Its length.
    pub bytes: u64,
    /// An instant that none of its records was appended after; `None` for the last segment of its
    /// partition, or when it cannot be told.
    pub appended_until: Option<EventTime>,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionLimits {
    /// Segments that end before this instant go.
    pub keep_from: Option<EventTime>,
    /// Above this size the oldest segments go.
    pub total_bytes: u64,
}

/// A segment that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its partition.
    pub partition: PartitionId,
    /// The offset of its first record.
    pub base: Offset,
}

/// Decides which of `segments` (of each partition oldest first) go. A partition that `needed_from` does
/// not name is needed as a whole. The answer is in the order in which they are to be removed.
pub fn plan_retention(
    segments: &[SegmentFacts],
    needed_from: &BTreeMap<PartitionId, Offset>,
    limits: RetentionLimits,
) -> Vec<Removal> {
    let mut partitions: BTreeMap<PartitionId, Vec<SegmentFacts>> = BTreeMap::new();
    for segment in segments {
        partitions.entry(segment.partition).or_default().push(*segment);
    }
    let removable = |(partition, segments): (PartitionId, Vec<SegmentFacts>)| {
        let needed = needed_from.get(&partition).copied().unwrap_or(Offset::ZERO);
        let sealed = segments.len().saturating_sub(1);
        segments.into_iter().take(sealed).take_while(move |segment| segment.end <= needed)
    };
    // Instants decide across partitions, but never the order within one: a segment counts as no older
    // than the one before it. One without a known time is as young as can be.
    let mut candidates: Vec<(EventTime, SegmentFacts)> = Vec::new();
    for entry in partitions {
        let mut youngest = EventTime::MIN;
        for segment in removable(entry) {
            youngest = youngest.max(segment.appended_until.unwrap_or(EventTime::MAX));
            candidates.push((youngest, segment));
        }
    }
    candidates.sort_by_key(|(until, segment)| (*until, segment.partition, segment.base));
    let mut total: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut removals = Vec::new();
    for (until, segment) in candidates {
        let expired = limits.keep_from.is_some_and(|keep_from| until < keep_from);
        if !expired && total <= limits.total_bytes {
            break;
        }
        total -= segment.bytes;
        removals.push(Removal { partition: segment.partition, base: segment.base });
    }
    removals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(partition: u32, base: u64, until: Option<i64>) -> SegmentFacts {
        SegmentFacts {
            partition: PartitionId(partition),
            base: Offset(base),
            end: Offset(base + 10),
            bytes: 100,
            appended_until: until.map(EventTime::from_millis),
        }
    }

    #[test]
    fn only_whole_segments_that_nobody_needs_go() {
        struct Case {
            name: &'static str,
            needed: &'static [(u32, u64)],
            keep_from: Option<i64>,
            total: u64,
            goes: &'static [(u32, u64)],
        }

        let segments = [
            segment(0, 0, Some(100)),
            segment(0, 10, Some(200)),
            segment(0, 20, None),
            segment(1, 0, Some(150)),
            segment(1, 10, None),
        ];
        let everything = u64::MAX;
        let case = |name, needed, keep_from, total, goes| Case { name, needed, keep_from, total, goes };
        for case in [
            case("nothing is known to be unneeded", &[], Some(999), 0, &[]),
            case("all is needed", &[(0, 0), (1, 0)], Some(999), 0, &[]),
            case("half a segment is needed", &[(0, 5)], Some(999), 0, &[]),
            case("the first is not needed", &[(0, 10)], Some(999), everything, &[(0, 0)]),
            case("the last stays", &[(0, 30), (1, 20)], Some(999), 0, &[(0, 0), (1, 0), (0, 10)]),
            case("young ones stay", &[(0, 30), (1, 20)], Some(150), everything, &[(0, 0)]),
            case("no limit", &[(0, 30), (1, 20)], None, everything, &[]),
            case("the size wants one", &[(0, 30), (1, 20)], None, 400, &[(0, 0)]),
            case("the size wants two", &[(0, 30), (1, 20)], None, 399, &[(0, 0), (1, 0)]),
            case("size and age", &[(0, 30), (1, 20)], Some(101), 350, &[(0, 0), (1, 0)]),
        ] {
            let pairs = |pairs: &[(u32, u64)]| -> BTreeMap<_, _> {
                pairs.iter().map(|(id, offset)| (PartitionId(*id), Offset(*offset))).collect()
            };
            let limits = RetentionLimits {
                keep_from: case.keep_from.map(EventTime::from_millis),
                total_bytes: case.total,
            };
            let goes: Vec<_> = plan_retention(&segments, &pairs(case.needed), limits)
                .iter()
                .map(|removal| (removal.partition.0, removal.base.0))
                .collect();
            assert_eq!(goes, case.goes, "{}", case.name);
        }
    }

    #[test]
    fn a_segment_without_a_time_keeps_the_younger_ones() {
        let segments = [segment(0, 0, None), segment(0, 10, Some(1)), segment(0, 20, None)];
        let needed = BTreeMap::from([(PartitionId(0), Offset(30))]);
        let keep_from = Some(EventTime::from_millis(50));
        let limits = RetentionLimits { keep_from, total_bytes: u64::MAX };
        assert_eq!(plan_retention(&segments, &needed, limits), []);
    }
}
