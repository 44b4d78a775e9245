//! A set of users' hashes, as small as can be: it is most of the memory of an open window.
//!
//! The hashes lie in one vector, each at the place that it says itself, as a share of the vector's length, or at
//! the next free one. Under the deployment's secret key nobody can choose hashes that meet. A vector that is
//! four fifths full grows by half, so that there are 10 to 15 bytes for each user; as the hashes keep their
//! order, that is one way through both vectors.

/// A set of hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct UserSet {
    /// Zero where there is nobody.
    slots: Vec<u64>,
    /// How many slots are taken.
    taken: usize,
    /// Whether the hash that is zero is in the set.
    zero: bool,
}

impl UserSet {
    pub(super) fn len(&self) -> usize {
        self.taken + usize::from(self.zero)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        let zero = self.zero.then_some(0);
        self.slots.iter().copied().filter(|hash| *hash != 0).chain(zero)
    }

    pub(super) fn insert(&mut self, hash: u64) {
        self.insert_all(std::iter::once(hash));
    }

    /// Says how many taken slots were passed in all, which is what it costs.
    fn insert_all(&mut self, hashes: impl Iterator<Item = u64>) -> usize {
        // At once: another set's hashes come in the order of their slots, and would crowd in a smaller vector.
        self.reserve(hashes.size_hint().0);
        let mut passed = 0;
        for hash in hashes {
            if hash == 0 {
                self.zero = true;
            } else {
                self.reserve(1);
                passed += self.put(hash);
            }
        }
        passed
    }

    /// Makes room for so many more.
    fn reserve(&mut self, additional: usize) {
        let (before, needed) = (self.slots.len(), self.taken + additional);
        if 5 * needed <= 4 * before {
            return;
        }
        let length = (before + before / 2 + 4).max((5 * needed).div_ceil(4));
        let before = std::mem::replace(&mut self.slots, vec![0; length]);
        self.taken = 0;
        for hash in before.into_iter().filter(|hash| *hash != 0) {
            self.put(hash);
        }
    }

    /// There is a free slot. Says how many taken ones were passed.
    fn put(&mut self, hash: u64) -> usize {
        let (mut at, mut passed) = (home(hash, self.slots.len()), 0);
        while self.slots[at] != 0 {
            if self.slots[at] == hash {
                return passed;
            }
            passed += 1;
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        self.slots[at] = hash;
        self.taken += 1;
        passed
    }
}

/// Where a hash belongs. The bits of its key group, which are much the same on a worker, count last.
fn home(hash: u64, slots: usize) -> usize {
    let share = u128::from(hash.rotate_left(24)) * slots as u128;
    usize::try_from(share >> 64).expect("less than the length")
}

impl Extend<u64> for UserSet {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, hashes: T) {
        self.insert_all(hashes.into_iter());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The set holds the same as one of the standard library, at every size.
    fn check(hashes: impl Iterator<Item = u64>) {
        let (mut set, mut expected) = (UserSet::default(), BTreeSet::new());
        assert!(set.is_empty());
        for hash in hashes {
            set.insert(hash);
            expected.insert(hash);
            assert_eq!(set.len(), expected.len());
        }
        assert_eq!(set.iter().collect::<BTreeSet<_>>(), expected);
        assert_eq!(set.iter().count(), expected.len());
        assert!(set.slots.len() * 8 <= 15 * set.len() + 64, "{} for {}", set.slots.len(), set.len());
    }

    #[test]
    fn it_holds_what_was_put_in_once() {
        let mixed = |n: u64| (n % 3_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        check((0..10_000).map(mixed));
    }

    #[test]
    fn hashes_that_meet_are_kept_apart() {
        // All at home in the last slot, and going on from the first.
        check((0..100).map(|n| u64::MAX - n));
        check([0, 0, 1, u64::MAX, 1, 0].into_iter());
    }

    #[test]
    fn the_users_of_one_key_group_spread() {
        let set = (1..1_000_u64).fold(UserSet::default(), |mut set, n| {
            set.insert((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !(0xff << 40)) | 7 << 40);
            set
        });
        let from_home = |(at, hash): (usize, &u64)| {
            let slots = set.slots.len();
            if *hash == 0 { 0 } else { (at + slots - home(*hash, slots)) % slots }
        };
        let all = set.slots.iter().enumerate().map(from_home).sum::<usize>();
        assert!(all < 8 * set.len(), "on average {} slots from home", all / set.len());
    }

    #[test]
    fn what_comes_in_the_order_of_another_set_does_not_crowd() {
        let mut whole = UserSet::default();
        whole.extend((1..50_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        // As in a snapshot: by key group, and each in the order of the slots.
        let groups = (0..4).map(|group| whole.iter().filter(|hash| hash % 4 == group).collect::<Vec<_>>());
        let mut set = UserSet::default();
        for group in groups {
            let (count, passed) = (group.len(), set.insert_all(group.into_iter()));
            assert!(passed < 8 * count, "{} taken slots for each", passed / count);
        }
        assert_eq!(set.iter().collect::<BTreeSet<_>>(), whole.iter().collect());
        assert!(set.slots.len() * 8 <= 15 * set.len() + 64, "{} for {}", set.slots.len(), set.len());
    }
}
