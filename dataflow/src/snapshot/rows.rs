//! The rows of a snapshot. They have no pointers and no padding: what is copied is what is written.

use std::ops::Range;

use tidegate_codec::bytemuck::{Pod, Zeroable};

use crate::hash::{KEY_GROUPS, group_of};

/// A set of users in a window of one event type; their hashes follow in [`Keyed::hashes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct UsersRow {
    /// Start of the window.
    pub start_ms: i64,
    /// How many users.
    pub users: u32,
    /// Index of the event type in the allowed list.
    pub event_type: u32,
}

/// A user's session id; its sessions follow in [`Keyed::sessions`], its names in [`Keyed::names`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct KeyRow {
    /// Hash of the user's id.
    pub user: u64,
    /// Hash of the session's id.
    pub session: u64,
    /// Bytes of the session's id.
    pub session_len: u32,
    /// Bytes of the user's id, which follows it.
    pub user_len: u32,
    /// How many sessions there are.
    pub sessions: u32,
    /// Zero.
    pub reserved: u32,
}

/// A session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct SessionRow {
    /// Its first event.
    pub start_ms: i64,
    /// Its last event.
    pub last_ms: i64,
    /// Its page views.
    pub pages: u64,
    /// Its device category.
    pub device: u32,
    /// 1 when its row stands in the table, 0 when not.
    pub emitted: u32,
}

/// The sums of one window of a view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct SumRow {
    /// Start of the window.
    pub start_ms: i64,
    /// What the key names beside the window: an event type or a device category.
    pub label: u64,
    /// The sums; those that a view does not have are zero.
    pub sums: [i64; 4],
}

/// The load times of one window and device; the values follow in [`Windows::load_times`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct RunRow {
    /// Start of the window.
    pub start_ms: i64,
    /// How many values.
    pub values: u32,
    /// The device category.
    pub device: u32,
}

/// A load time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct LoadTimeRow {
    /// How many events had it.
    pub count: u64,
    /// Milliseconds.
    pub millis: u64,
}

/// What a source knows of a partition beside its binding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct PartitionRow {
    /// The largest min(event time, append time) since the first record.
    pub largest_ms: i64,
    /// The largest event time since the first record.
    pub latest_ms: i64,
    /// The partition.
    pub partition: u64,
}

/// What belongs to users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyed {
    /// Sets of users, by window and type.
    pub users: Vec<UsersRow>,
    /// Their hashes, one set after the other.
    pub hashes: Vec<u64>,
    /// Users' session ids.
    pub keys: Vec<KeyRow>,
    /// Their sessions, one key's after the other's.
    pub sessions: Vec<SessionRow>,
    /// Their names, one key's after the other's: session id, user id.
    pub names: Vec<u8>,
}

/// What belongs to windows and partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    /// The sums of `EventAggregator`.
    pub events: Vec<SumRow>,
    /// The sums of `SessionOverview`.
    pub overview: Vec<SumRow>,
    /// The load times that `PerformanceTracker` keeps.
    pub runs: Vec<RunRow>,
    /// Their values, one run's after the other's, ascending within each.
    pub load_times: Vec<LoadTimeRow>,
    /// The partitions that the worker's source reads.
    pub partitions: Vec<PartitionRow>,
}

impl Keyed {
    /// Divides it by key group; there are [`KEY_GROUPS`].
    pub(crate) fn into_groups(self) -> Vec<Self> {
        let mut groups: Vec<Self> = (0..KEY_GROUPS).map(|_| Self::default()).collect();
        for (row, hashes) in self.sets() {
            for hash in hashes {
                let group = &mut groups[group_of(*hash)];
                let is_same =
                    |last: &&mut UsersRow| (last.start_ms, last.event_type) == (row.start_ms, row.event_type);
                match group.users.last_mut().filter(is_same) {
                    Some(last) => last.users += 1,
                    None => group.users.push(UsersRow { users: 1, ..*row }),
                }
                group.hashes.push(*hash);
            }
        }
        for (key, sessions, names) in self.each_key() {
            let group = &mut groups[group_of(key.user)];
            group.keys.push(*key);
            group.sessions.extend_from_slice(sessions);
            group.names.extend_from_slice(names);
        }
        groups
    }

    /// Each set of users.
    pub(crate) fn sets(&self) -> impl Iterator<Item = (&UsersRow, &[u64])> {
        let mut at = 0;
        self.users.iter().map(move |row| (row, &self.hashes[next(&mut at, row.users)]))
    }

    /// Each key, with its sessions and its names.
    pub(crate) fn each_key(&self) -> impl Iterator<Item = (&KeyRow, &[SessionRow], &[u8])> {
        let (mut session, mut name) = (0, 0);
        self.keys.iter().map(move |key| {
            let sessions = &self.sessions[next(&mut session, key.sessions)];
            (key, sessions, &self.names[next(&mut name, key.session_len + key.user_len)])
        })
    }
}

impl Windows {
    /// Each run of load times.
    pub(crate) fn each_run(&self) -> impl Iterator<Item = (&RunRow, &[LoadTimeRow])> {
        let mut at = 0;
        self.runs.iter().map(move |run| (run, &self.load_times[next(&mut at, run.values)]))
    }
}

/// The range of the next so many.
fn next(at: &mut usize, count: u32) -> Range<usize> {
    let from = *at;
    *at += count as usize;
    from..*at
}
