//! The keys of a worker with their sessions, laid out so that a snapshot can share them.
//!
//! A table has its keys in chunks, each of one key group, and finds them by an index of each group. To copy the
//! table is to share its chunks: whoever reads the copy sees them as they were, and a chunk that is still shared
//! is copied when something in it changes. So no copy of everything is made at once, and no index grows that is
//! an index of everything.
//!
//! A key is one plain entry and its names in the text of its chunk: no allocation of its own, except when it
//! has several sessions.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashTable;

use super::keyed::KeySessions;
use crate::hash::{KEY_GROUPS, group_of};
use crate::snapshot::{KeyRow, Keyed};

/// Keys of a chunk, at most.
const CHUNK: usize = 256;

/// User and session, hashed: 128 bits, so that two keys are never taken for one.
pub(super) type Key = (u64, u64);

/// Where a key is, for as long as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u32);

impl Place {
    fn new(chunk: usize, at: usize) -> Self {
        Self(u32::try_from(chunk * CHUNK + at).expect("so many would not fit into memory"))
    }

    /// The number of the chunk, and the place in it.
    fn split(self) -> (usize, usize) {
        (self.0 as usize / CHUNK, self.0 as usize % CHUNK)
    }
}

/// A key; its names are in the text of its chunk.
#[derive(Clone, Debug)]
struct Entry {
    key: Key,
    held: KeySessions,
    names_at: u32,
    session_len: u32,
    user_len: u32,
}

impl Entry {
    /// Session id and user id.
    fn names<'a>(&self, text: &'a str) -> (&'a str, &'a str) {
        let (at, split) = (self.names_at as usize, self.session_len as usize);
        text[at..at + split + self.user_len as usize].split_at(split)
    }
}

/// Some keys of a group.
#[derive(Clone, Debug)]
struct Chunk {
    group: usize,
    entries: Vec<Entry>,
    /// Entries that are nobody's.
    vacant: Vec<u8>,
    text: String,
    /// Bytes of the text that are nobody's.
    unused: usize,
}

impl Chunk {
    fn of(group: usize) -> Arc<Self> {
        let (entries, vacant, text) = (Vec::new(), Vec::new(), String::new());
        Arc::new(Self { group, entries, vacant, text, unused: 0 })
    }

    fn has_room(&self) -> bool {
        self.entries.len() < CHUNK || !self.vacant.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.entries.len() == self.vacant.len()
    }

    fn insert(&mut self, key: Key, (session_id, user_id): (&str, &str)) -> usize {
        let length = |bytes: usize| u32::try_from(bytes).expect("no record is near 4 GiB");
        if self.unused > self.text.len() / 2 {
            self.compact();
        }
        let names = session_id.len() + user_id.len();
        if self.text.capacity() - self.text.len() < names {
            // There is a text for each chunk: twice as much as it needs would be much.
            self.text.reserve_exact(names.max(self.text.len() / 8));
        }
        let entry = Entry {
            key,
            held: KeySessions::default(),
            names_at: length(self.text.len()),
            session_len: length(session_id.len()),
            user_len: length(user_id.len()),
        };
        self.text.push_str(session_id);
        self.text.push_str(user_id);
        if let Some(at) = self.vacant.pop() {
            self.entries[usize::from(at)] = entry;
            return usize::from(at);
        }
        self.entries.push(entry);
        self.entries.len() - 1
    }

    fn remove(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        self.unused += (entry.session_len + entry.user_len) as usize;
        entry.held = KeySessions::default();
        (entry.session_len, entry.user_len) = (0, 0);
        self.vacant.push(u8::try_from(at).expect("chunks are small"));
    }

    /// Makes the text as short as it can be.
    fn compact(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.text.reserve_exact(text.len() - self.unused);
        self.unused = 0;
        for entry in &mut self.entries {
            let (session_id, user_id) = entry.names(&text);
            entry.names_at = u32::try_from(self.text.len()).expect("shorter than before");
            self.text.push_str(session_id);
            self.text.push_str(user_id);
        }
    }

    /// Adds what it holds to a snapshot.
    fn capture(&self, keyed: &mut Keyed) {
        for entry in self.entries.iter().filter(|entry| !entry.held.sessions.is_empty()) {
            let (session_id, user_id) = entry.names(&self.text);
            keyed.sessions.extend(entry.held.sessions.rows());
            keyed.names.extend_from_slice(session_id.as_bytes());
            keyed.names.extend_from_slice(user_id.as_bytes());
            let sessions = entry.held.sessions.rows().len();
            keyed.keys.push(KeyRow {
                user: entry.key.0,
                session: entry.key.1,
                session_len: entry.session_len,
                user_len: entry.user_len,
                sessions: u32::try_from(sessions).expect("fewer than records of a key"),
                reserved: 0,
            });
        }
    }
}

/// Where the keys of a group are.
#[derive(Debug, Default)]
struct Part {
    places: HashTable<Place>,
    /// Its chunks with room; the first one is filled first, so that the last ones become empty.
    with_room: BTreeSet<usize>,
}

/// A hash of a key; both of it are hashes already.
fn hash((user, session): Key) -> u64 {
    user.rotate_left(32) ^ session
}

/// The keys of a worker.
#[derive(Debug)]
pub(super) struct Table {
    /// By group.
    parts: Vec<Part>,
    /// Of all groups.
    chunks: Vec<Arc<Chunk>>,
}

impl Default for Table {
    fn default() -> Self {
        Self { parts: (0..KEY_GROUPS).map(|_| Part::default()).collect(), chunks: Vec::new() }
    }
}

fn entry(chunks: &[Arc<Chunk>], place: Place) -> &Entry {
    let (chunk, at) = place.split();
    &chunks[chunk].entries[at]
}

impl Table {
    /// Where a key is.
    pub(super) fn find(&self, key: Key) -> Option<Place> {
        let places = &self.parts[group_of(key.0)].places;
        places.find(hash(key), |place| entry(&self.chunks, *place).key == key).copied()
    }

    /// Adds a key, which has no sessions yet.
    pub(super) fn insert(&mut self, key: Key, names: (&str, &str)) -> Place {
        let Self { parts, chunks } = self;
        let group = group_of(key.0);
        let Part { places, with_room } = &mut parts[group];
        let number = with_room.first().copied().unwrap_or_else(|| {
            chunks.push(Chunk::of(group));
            with_room.insert(chunks.len() - 1);
            chunks.len() - 1
        });
        let chunk = Arc::make_mut(&mut chunks[number]);
        let place = Place::new(number, chunk.insert(key, names));
        if !chunk.has_room() {
            with_room.remove(&number);
        }
        places.insert_unique(hash(key), place, |place| hash(entry(chunks, *place).key));
        place
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, place: Place) {
        let Self { parts, chunks } = self;
        let (number, at) = place.split();
        let chunk = Arc::make_mut(&mut chunks[number]);
        let (group, key) = (chunk.group, chunk.entries[at].key);
        chunk.remove(at);
        if chunk.is_empty() {
            chunks[number] = Chunk::of(group);
        }
        let Part { places, with_room } = &mut parts[group];
        with_room.insert(number);
        places.find_entry(hash(key), |own| *own == place).expect("a key that is kept is found").remove();
        if places.len() < places.capacity() / 8 {
            places.shrink_to(2 * places.len(), |place| hash(entry(chunks, *place).key));
        }
    }

    /// What a place holds; where a key was removed nothing, or what took its place.
    pub(super) fn get(&self, place: Place) -> Option<&KeySessions> {
        let (chunk, at) = place.split();
        Some(&self.chunks[chunk].entries.get(at)?.held)
    }

    /// What a key holds, to be changed, and its names: session id, user id.
    pub(super) fn get_mut(&mut self, place: Place) -> ((&str, &str), &mut KeySessions) {
        let (chunk, at) = place.split();
        let Chunk { entries, text, .. } = Arc::make_mut(&mut self.chunks[chunk]);
        let entry = &mut entries[at];
        (entry.names(text), &mut entry.held)
    }

    /// A copy, which shares what there is until it changes.
    pub(super) fn share(&self) -> SharedSessions {
        SharedSessions(self.chunks.clone())
    }
}

/// The sessions of a worker as they were.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSessions(Vec<Arc<Chunk>>);

impl SharedSessions {
    /// Orders them for [`take`](Self::take).
    pub(crate) fn sort(&mut self) {
        self.0.sort_by_key(|chunk| Reverse(chunk.group));
    }

    /// Adds those of a key group to a snapshot, and lets go of them. Groups are asked for in their order.
    pub(crate) fn take(&mut self, group: usize, keyed: &mut Keyed) {
        while let Some(chunk) = self.0.pop_if(|chunk| chunk.group == group) {
            chunk.capture(keyed);
        }
    }
}

#[cfg(test)]
mod tests;
