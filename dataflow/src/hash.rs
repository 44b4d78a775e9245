//! Hashes of users and sessions under the deployment's secret key, and where they live.
//!
//! A hash decides which worker keeps a user's state, so it must come out the same in every process of a
//! deployment and after every restart: `SipHash-1-3` with a journaled key does. Nobody outside can make
//! users collide without the key.

use std::hash::Hasher;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

/// Number of groups that keys are divided into; a group is the unit that moves between workers.
pub const KEY_GROUPS: usize = 256;

/// The deployment's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashKey(pub u64, pub u64);

impl HashKey {
    /// The hash of a string.
    pub fn hash(self, text: &str) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0, self.1);
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

/// The key group of a hash. It is bits 40 to 47, which hash tables, taking the lowest and the highest ones,
/// do not use.
pub fn group_of(hash: u64) -> usize {
    usize::from(hash.to_be_bytes()[2])
}

/// The worker, of `workers`, that keeps the state of a key group.
pub fn worker_of_group(group: usize, workers: usize) -> usize {
    group * workers / KEY_GROUPS
}

/// The worker, of `workers`, that keeps the state of a hash.
pub fn worker_of(hash: u64, workers: usize) -> usize {
    worker_of_group(group_of(hash), workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_has_a_worker_and_groups_stay_whole_when_workers_double() {
        for group in 0..KEY_GROUPS {
            let hash = (group as u64) << 40 | 0xff << 48 | 0xff << 32;
            assert_eq!(group_of(hash), group);
            let (two, four) = (worker_of(hash, 2), worker_of(hash, 4));
            assert!(two < 2 && four < 4);
            assert_eq!(four / 2, two);
        }
    }

    #[test]
    fn hashes_depend_on_the_key_and_never_change() {
        assert_eq!(HashKey(1, 2).hash("user-1"), HashKey(1, 2).hash("user-1"));
        assert_ne!(HashKey(1, 2).hash("user-1"), HashKey(1, 3).hash("user-1"));
    }
}
