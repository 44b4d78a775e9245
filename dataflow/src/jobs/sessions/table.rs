//! The keys of a worker with their sessions, laid out so that a snapshot can share them.
//!
//! A table has a part for each key group, and a part has its keys in chunks. To copy the table is to share
//! its chunks: whoever reads the copy sees them as they were, and a chunk that is still shared is copied when
//! something in it changes. So no copy of everything is made at once, and growing moves a part at a time.
//!
//! A key is one plain entry and its names in the text of its chunk: no allocation of its own, except when it
//! has several sessions.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    group: u8,
    // Not a number, so that the size is not rounded up: there is a place for each timer.
    slot: [u8; 4],
}

impl Place {
    fn new(group: u8, slot: u32) -> Self {
        Self { group, slot: slot.to_ne_bytes() }
    }

    fn slot(self) -> (usize, usize) {
        split(u32::from_ne_bytes(self.slot))
    }
}

/// The chunk of a slot, and the place in it.
fn split(slot: u32) -> (usize, usize) {
    (slot as usize / CHUNK, slot as usize % CHUNK)
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

/// Some keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    entries: Vec<Entry>,
    /// Entries that are nobody's.
    vacant: Vec<u8>,
    text: String,
    /// Bytes of the text that are nobody's.
    unused: usize,
}

impl Chunk {
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

/// The keys of a group.
#[derive(Debug, Default)]
struct Part {
    /// The slot of each key.
    slots: HashTable<u32>,
    chunks: Vec<Arc<Chunk>>,
    /// Chunks with room; the first one is filled first, so that the last ones become empty.
    with_room: BTreeSet<usize>,
}

impl Part {
    fn insert(&mut self, group: u8, key: Key, names: (&str, &str)) -> Place {
        let number = self.with_room.first().copied().unwrap_or_else(|| {
            self.chunks.push(Arc::default());
            self.with_room.insert(self.chunks.len() - 1);
            self.chunks.len() - 1
        });
        let chunk = Arc::make_mut(&mut self.chunks[number]);
        let at = chunk.insert(key, names);
        if !chunk.has_room() {
            self.with_room.remove(&number);
        }
        let slot = u32::try_from(number * CHUNK + at).expect("they would not fit into memory");
        self.slots.insert_unique(hash(key), slot, rehash(&self.chunks));
        Place::new(group, slot)
    }

    fn remove(&mut self, place: Place) {
        let (number, at) = place.slot();
        let key = self.chunks[number].entries[at].key;
        let slot = u32::from_ne_bytes(place.slot);
        self.slots.find_entry(hash(key), |own| *own == slot).expect("it is kept").remove();
        let chunk = Arc::make_mut(&mut self.chunks[number]);
        chunk.remove(at);
        self.with_room.insert(number);
        if chunk.is_empty() {
            self.chunks[number] = Arc::default();
        }
        if self.slots.len() < self.slots.capacity() / 8 {
            self.slots.shrink_to(2 * self.slots.len(), rehash(&self.chunks));
        }
    }
}

/// A hash of a key; both of it are hashes already.
fn hash((user, session): Key) -> u64 {
    user.rotate_left(32) ^ session
}

fn rehash(chunks: &[Arc<Chunk>]) -> impl Fn(&u32) -> u64 {
    |slot| {
        let (chunk, at) = split(*slot);
        hash(chunks[chunk].entries[at].key)
    }
}

/// The keys of a worker.
#[derive(Debug)]
pub(super) struct Table(Vec<Part>);

impl Default for Table {
    fn default() -> Self {
        Self((0..KEY_GROUPS).map(|_| Part::default()).collect())
    }
}

impl Table {
    /// Where a key is.
    pub(super) fn find(&self, key: Key) -> Option<Place> {
        let group = group_of(key.0);
        let part = &self.0[group];
        let is_key = |slot: &u32| {
            let (chunk, at) = split(*slot);
            part.chunks[chunk].entries[at].key == key
        };
        let slot = part.slots.find(hash(key), is_key)?;
        Some(Place::new(u8::try_from(group).expect("there are 256"), *slot))
    }

    /// Adds a key, which has no sessions yet.
    pub(super) fn insert(&mut self, key: Key, names: (&str, &str)) -> Place {
        let group = group_of(key.0);
        self.0[group].insert(u8::try_from(group).expect("there are 256"), key, names)
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, place: Place) {
        self.0[usize::from(place.group)].remove(place);
    }

    /// What a place holds; of a key that was removed nothing, or what took its place.
    pub(super) fn get(&self, place: Place) -> Option<&KeySessions> {
        let (chunk, at) = place.slot();
        Some(&self.0[usize::from(place.group)].chunks.get(chunk)?.entries.get(at)?.held)
    }

    /// What a key holds, to be changed, and its names: session id, user id.
    pub(super) fn get_mut(&mut self, place: Place) -> ((&str, &str), &mut KeySessions) {
        let (chunk, at) = place.slot();
        let Chunk { entries, text, .. } = Arc::make_mut(&mut self.0[usize::from(place.group)].chunks[chunk]);
        let entry = &mut entries[at];
        (entry.names(text), &mut entry.held)
    }

    /// A copy, which shares what there is until it changes.
    pub(super) fn share(&self) -> SharedSessions {
        SharedSessions(self.0.iter().map(|part| part.chunks.clone()).collect())
    }
}

/// The sessions of a worker as they were, by key group.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedSessions(Vec<Vec<Arc<Chunk>>>);

impl SharedSessions {
    /// Adds those of a key group to a snapshot, and lets go of them.
    pub(crate) fn take(&mut self, group: usize, keyed: &mut Keyed) {
        if let Some(chunks) = self.0.get_mut(group) {
            for chunk in std::mem::take(chunks) {
                chunk.capture(keyed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
