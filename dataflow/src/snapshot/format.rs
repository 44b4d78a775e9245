//! A worker's part of a snapshot as bytes: an object.
//!
//! An object is a sequence of [frames](tidegate_codec), which find every byte that changed:
//!
//! | frames | what |
//! | --- | --- |
//! | head, one row | format version, epoch, worker, number of key groups |
//! | index, one row more than there are groups | where each group begins, and where the last one ends |
//! | for each group that is not empty: [`UsersRow`], hashes, [`KeyRow`], [`SessionRow`], bytes | what belongs to its users |
//! | [`SumRow`], [`SumRow`], [`RunRow`], [`LoadTimeRow`], [`PartitionRow`] | sums of events, sums of sessions, load times, partitions |
//!
//! So whoever needs some of the groups reads the index and those. What frames cannot tell, whether the values
//! make sense together, is looked at here; whoever starts from an object relies on it.

use tidegate_codec::bytemuck::{self, Pod, Zeroable};
use tidegate_codec::{FrameError, Plain, decode as frame, decode_bytes, encode as put, encode_bytes, plain};
use tidegate_model::{DeviceCategory, Epoch};

use super::{
    Captured, KeyRow, Keyed, LoadTimeRow, Object, PartitionRow, RunRow, SessionRow, SumRow, UsersRow, Windows,
};
use crate::hash::{KEY_GROUPS, group_of};

/// The version of the format.
pub const FORMAT_VERSION: u64 = 1;

/// Why bytes are not an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A frame is not as it was written.
    #[error("its frame at byte {at} cannot be read")]
    Frame {
        /// Where the frame begins.
        at: usize,
        /// What is wrong with it.
        #[source]
        error: FrameError,
    },
    /// It was written by another version.
    #[error(
        "it has format version {found}, and this program reads version {FORMAT_VERSION}: use the one that wrote it"
    )]
    Version {
        /// Its version.
        found: u64,
    },
    /// Its parts do not fit together.
    #[error("it contradicts itself in {0}")]
    Contradiction(&'static str),
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
struct HeadRow {
    version: u64,
    epoch: u64,
    worker: u64,
    groups: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
struct IndexRow {
    begins: u64,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
struct HashRow {
    user: u64,
}

plain!(HeadRow, 0x0002_0001);
plain!(IndexRow, 0x0002_0002);
plain!(HashRow, 0x0002_0003);
plain!(UsersRow, 0x0002_0004);
plain!(KeyRow, 0x0002_0005);
plain!(SessionRow, 0x0002_0006);
plain!(SumRow, 0x0002_0007);
plain!(RunRow, 0x0002_0008);
plain!(LoadTimeRow, 0x0002_0009);
plain!(PartitionRow, 0x0002_000a);

/// Writes what a worker captured.
pub fn encode(captured: Captured) -> Vec<u8> {
    let Captured { epoch, worker, keyed, mut sessions, windows } = captured;
    let head =
        HeadRow { version: FORMAT_VERSION, epoch: epoch.0, worker: worker as u64, groups: KEY_GROUPS as u64 };
    let mut bytes = Vec::new();
    put(&[head], &mut bytes);
    // The index has its place before the groups, and is known after them.
    let index = bytes.len();
    put(&[IndexRow { begins: 0 }; KEY_GROUPS + 1], &mut bytes);
    let first = bytes.len();
    let mut begins = Vec::with_capacity(KEY_GROUPS + 1);
    sessions.sort();
    for (number, mut group) in keyed.into_groups().into_iter().enumerate() {
        begins.push(IndexRow { begins: (bytes.len() - first) as u64 });
        sessions.take(number, &mut group);
        if group != Keyed::default() {
            put(&group.users, &mut bytes);
            put(bytemuck::cast_slice::<u64, HashRow>(&group.hashes), &mut bytes);
            put(&group.keys, &mut bytes);
            put(&group.sessions, &mut bytes);
            encode_bytes(&group.names, &mut bytes);
        }
    }
    begins.push(IndexRow { begins: (bytes.len() - first) as u64 });
    let mut known = Vec::with_capacity(first - index);
    put(&begins, &mut known);
    bytes[index..first].copy_from_slice(&known);
    put(&windows.events, &mut bytes);
    put(&windows.overview, &mut bytes);
    put(&windows.runs, &mut bytes);
    put(&windows.load_times, &mut bytes);
    put(&windows.partitions, &mut bytes);
    bytes
}

/// Reads frames, one after the other.
struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Frames<'a> {
    fn rows<T: Plain>(&mut self) -> Result<Vec<T>, FormatError> {
        self.next(frame::<T>)
    }

    fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        self.next(decode_bytes)
    }

    fn next<T>(
        &mut self,
        read: impl FnOnce(&'a [u8]) -> Result<(T, usize), FrameError>,
    ) -> Result<T, FormatError> {
        let at = self.at;
        let (held, used) = read(&self.bytes[at..]).map_err(|error| FormatError::Frame { at, error })?;
        self.at += used;
        Ok(held)
    }
}

/// Reads an object, and makes sure that it can be started from.
///
/// # Errors
/// When it is not what [`encode`] wrote.
pub fn decode(bytes: &[u8]) -> Result<Object, FormatError> {
    let mut frames = Frames { bytes, at: 0 };
    let head = frames.rows::<HeadRow>()?;
    let [HeadRow { version, epoch, worker, groups }] = head[..] else {
        return Err(FormatError::Contradiction("its head"));
    };
    if version != FORMAT_VERSION {
        return Err(FormatError::Version { found: version });
    }
    let index = frames.rows::<IndexRow>()?;
    check(groups == KEY_GROUPS as u64 && index.len() == KEY_GROUPS + 1, "the number of its key groups")?;
    let first = frames.at;
    let mut read = Vec::with_capacity(KEY_GROUPS);
    for (number, span) in index.windows(2).enumerate() {
        check((frames.at - first) as u64 == span[0].begins, "where a key group begins")?;
        let mut group = Keyed::default();
        if span[0].begins != span[1].begins {
            group = Keyed {
                users: frames.rows()?,
                hashes: frames.rows::<HashRow>()?.iter().map(|row| row.user).collect(),
                keys: frames.rows()?,
                sessions: frames.rows()?,
                names: frames.bytes()?.to_vec(),
            };
            check_group(&group, number)?;
        }
        read.push(group);
    }
    check((frames.at - first) as u64 == index[KEY_GROUPS].begins, "where its key groups end")?;
    let windows = Windows {
        events: frames.rows()?,
        overview: frames.rows()?,
        runs: frames.rows()?,
        load_times: frames.rows()?,
        partitions: frames.rows()?,
    };
    check_windows(&windows)?;
    check(frames.at == bytes.len(), "where it ends")?;
    let worker =
        usize::try_from(worker).map_err(|_| FormatError::Contradiction("the number of its worker"))?;
    Ok(Object { epoch: Epoch(epoch), worker, groups: read, windows })
}

fn check(holds: bool, what: &'static str) -> Result<(), FormatError> {
    if holds { Ok(()) } else { Err(FormatError::Contradiction(what)) }
}

fn is_device(number: u64) -> bool {
    number < DeviceCategory::ALL.len() as u64
}

/// Whether what these lengths add up to is there.
fn fit(lengths: impl Iterator<Item = u32>, there: usize) -> bool {
    lengths.map(u64::from).sum::<u64>() == there as u64
}

fn check_group(group: &Keyed, number: usize) -> Result<(), FormatError> {
    let Keyed { users, hashes, keys, sessions, names } = group;
    check(fit(users.iter().map(|row| row.users), hashes.len()), "the number of users")?;
    check(users.iter().all(|row| row.event_type < u32::from(u8::MAX)), "an event type")?;
    check(hashes.iter().all(|hash| group_of(*hash) == number), "the key group of a user")?;
    check(fit(keys.iter().map(|key| key.sessions), sessions.len()), "the number of sessions")?;
    let lengths = keys.iter().flat_map(|key| [key.session_len, key.user_len]);
    check(fit(lengths, names.len()), "the length of names")?;
    let is_key = |key: &KeyRow| group_of(key.user) == number && key.sessions > 0;
    check(keys.iter().all(is_key), "the key of a session")?;
    let is_session = |row: &SessionRow| is_device(u64::from(row.device)) && row.emitted < 2;
    check(sessions.iter().all(is_session), "a session")?;
    let is_text = |bytes| std::str::from_utf8(bytes).is_ok();
    let are_texts = group.each_key().all(|(key, _, names)| {
        let (session_id, user_id) = names.split_at(key.session_len as usize);
        is_text(session_id) && is_text(user_id)
    });
    check(are_texts, "a name, which is no text")
}

fn check_windows(windows: &Windows) -> Result<(), FormatError> {
    let Windows { events, overview, runs, load_times, partitions } = windows;
    check(events.iter().all(|row| row.label < u64::from(u8::MAX)), "an event type")?;
    check(overview.iter().all(|row| is_device(row.label)), "a device category")?;
    let is_run = |run: &RunRow| is_device(u64::from(run.device)) && run.values > 0;
    check(runs.iter().all(is_run), "a run of load times")?;
    check(fit(runs.iter().map(|run| run.values), load_times.len()), "the number of load times")?;
    check(load_times.iter().all(|row| u32::try_from(row.millis).is_ok() && row.count > 0), "a load time")?;
    check(partitions.iter().all(|row| u32::try_from(row.partition).is_ok()), "a partition")
}

#[cfg(test)]
mod tests;
