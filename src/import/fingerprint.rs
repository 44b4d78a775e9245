//! What an import's input is recognised by, and the ids of its events.
//!
//! The fingerprint of a file is the 128-bit SipHash-2-4, under the key zero, of: the format version, the
//! options that decide what its lines become, the file's length, its first 64 KiB and its last 64 KiB (as
//! they lie on the disk, compressed or not). That of a set is the hash of those of its files, in the order
//! in which they are read. Names and paths are no part of it. All of this is fixed for ever, because the
//! ids of events and the recognition of a resumed import depend on it: a change needs a new [`VERSION`].

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use uuid::Uuid;

/// The version of the recipe above.
pub const VERSION: u8 = 1;

/// So much of a file's beginning and end is hashed.
pub const EDGE_BYTES: usize = 64 << 10;

/// Names the content of a file, or of a whole input, together with the options of its reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u128);

impl Fingerprint {
    /// Of one file; `options` spells out what decides the events of its lines.
    pub(super) fn of_content(options: &str, length: u64, first: &[u8], last: &[u8]) -> Self {
        Self::hash(&[options.as_bytes(), &length.to_le_bytes(), first, last])
    }

    /// Of files, in the order in which they are read.
    pub(super) fn of_set(files: impl Iterator<Item = Self>) -> Self {
        let parts: Vec<[u8; 16]> = files.map(|file| file.0.to_le_bytes()).collect();
        Self::hash(&parts.iter().map(<[u8; 16]>::as_slice).collect::<Vec<_>>())
    }

    /// The id of the event on line `line`: a UUID v8 that is the same whenever the file is read.
    pub(super) fn event_id(self, line: u64) -> Uuid {
        let mut hasher = SipHasher24::new();
        hasher.write(&self.0.to_le_bytes());
        hasher.write(&line.to_le_bytes());
        uuid::Builder::from_custom_bytes(hasher.finish128().as_u128().to_be_bytes()).into_uuid()
    }

    fn hash(parts: &[&[u8]]) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(&[VERSION]);
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        Self(hasher.finish128().as_u128())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(options: &str, first: &[u8], last: &[u8]) -> Fingerprint {
        Fingerprint::of_content(options, 7, first, last)
    }

    #[test]
    fn the_recipe_never_changes() {
        let one = sample("access-log", b"a", b"b");
        assert_eq!(one.to_string(), "94a5706e2ff8f671a444da40ad5eab35");
        assert_eq!(Fingerprint::of_set([one].into_iter()).to_string(), "f8b69a7cf5b13eefc9470c24883abbe1");
        assert_eq!(one.event_id(1).to_string(), "2ed1e989-407d-876d-8ace-ae925b257304");
    }

    #[test]
    fn every_part_counts_and_borders_between_parts_do_too() {
        let all = [
            sample("json", b"a", b"b"),
            sample("access-log", b"a", b"b"),
            sample("json", b"ab", b""),
            sample("json", b"", b"ab"),
            Fingerprint::of_content("json", 8, b"a", b"b"),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let one = sample("json", b"a", b"b");
        assert_eq!(one.to_string().parse(), Ok(one));
    }

    #[test]
    fn ids_are_of_version_8() {
        let id = sample("json", b"a", b"b").event_id(41);
        assert_eq!((id.get_version_num(), id.get_variant()), (8, uuid::Variant::RFC4122));
    }
}
