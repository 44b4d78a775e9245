//! Objects come out as they went in, samples of every version stay readable, and nothing else is read.

use super::*;
use crate::hash::worker_of;

/// What version 1 wrote of [`sample`].
const VERSION_1: &[u8] = include_bytes!("version_1.snapshot");

/// Two users of different key groups, one with two sessions; a third who only clicked.
fn sample() -> Captured {
    let [ann, ben, cat] = [0x0000_0100_0000_0001, 0x0000_ff00_0000_0002, 0x0000_0100_0000_0003];
    let session =
        |start_ms, pages, emitted| SessionRow { start_ms, last_ms: start_ms + 7, pages, device: 2, emitted };
    let key = |user, session_len, sessions| KeyRow {
        user,
        session: 5,
        session_len,
        user_len: 3,
        sessions,
        reserved: 0,
    };
    let keyed = Keyed {
        users: vec![
            UsersRow { start_ms: 1_000, users: 2, event_type: 0 },
            UsersRow { start_ms: 2_000, users: 3, event_type: 1 },
        ],
        hashes: vec![ann, ben, cat, ben, ann],
        keys: vec![key(ben, 3, 1), key(ann, 0, 2)],
        sessions: vec![session(1_001, 1, 0), session(-5, 2, 1), session(2_002, 3, 0)],
        names: "s\u{b5}benann".bytes().collect(),
    };
    let sum = |label, sums| SumRow { start_ms: 1_000, label, sums };
    let windows = Windows {
        events: vec![sum(0, [2, 2, 0, 0]), sum(1, [9, 3, 0, 0])],
        overview: vec![sum(3, [1, 0, 7, 2])],
        runs: vec![RunRow { start_ms: 1_000, values: 2, device: 2 }],
        load_times: vec![LoadTimeRow { count: 4, millis: 10 }, LoadTimeRow { count: 1, millis: 3_600_000 }],
        partitions: vec![PartitionRow { largest_ms: 2_009, latest_ms: 2_010, partition: 3 }],
    };
    Captured { epoch: Epoch(1_600_000_000_000), worker: 1, keyed, windows, ..Captured::default() }
}

#[test]
fn version_1_is_read() {
    let Captured { epoch, worker, keyed, windows, .. } = sample();
    assert_eq!(decode(VERSION_1), Ok(Object { epoch, worker, groups: keyed.into_groups(), windows }));
}

#[test]
fn the_format_is_version_1() {
    let written = encode(sample());
    assert!(written == VERSION_1, "another format needs another version, and a sample of its own");
}

#[test]
fn an_object_holds_users_by_key_group() {
    let object = decode(&encode(sample())).expect("it was just written");
    let users = |group: usize| object.groups[group].hashes.len();
    assert_eq!((object.groups.len(), users(1), users(255)), (KEY_GROUPS, 3, 2));
    assert_eq!(object.groups[1].sessions.len(), 2);
    assert_eq!(object.groups[255].names, "s\u{b5}ben".as_bytes());
    assert_eq!(worker_of(object.groups[255].hashes[0], 4), 3);
}

#[test]
fn every_byte_that_changed_is_found() {
    let written = encode(sample());
    for at in 0..written.len() {
        let mut damaged = written.clone();
        damaged[at] ^= 0x10;
        let error = decode(&damaged).expect_err("a byte changed");
        assert!(matches!(error, FormatError::Frame { .. }), "byte {at}: {error}");
    }
    for length in 0..written.len() {
        assert!(decode(&written[..length]).is_err(), "cut off at {length}");
    }
    let longer = [&written[..], &[0]].concat();
    assert_eq!(decode(&longer), Err(FormatError::Contradiction("where it ends")));
}

#[test]
fn what_does_not_fit_together_is_found() {
    type Spoil = fn(&mut Captured);
    let cases: [(&str, Spoil); 9] = [
        ("an event type", |it| it.keyed.users[0].event_type = 255),
        ("a session", |it| it.keyed.sessions[0].device = 4),
        ("a session", |it| it.keyed.sessions[0].emitted = 2),
        ("a name, which is no text", |it| it.keyed.keys[0].session_len = 2),
        ("a device category", |it| it.windows.overview[0].label = 4),
        ("a run of load times", |it| it.windows.runs[0].device = 4),
        ("the number of load times", |it| it.windows.runs[0].values = 1),
        ("a load time", |it| it.windows.load_times[0].millis = 1 << 32),
        ("a partition", |it| it.windows.partitions[0].partition = 1 << 32),
    ];
    for (what, change) in cases {
        let mut captured = sample();
        change(&mut captured);
        if what.starts_with("a name") {
            captured.keyed.keys[0].user_len = 4;
        }
        assert_eq!(decode(&encode(captured)), Err(FormatError::Contradiction(what)));
    }
}

#[test]
fn a_later_version_is_refused_by_name() {
    let mut bytes = Vec::new();
    put(&[HeadRow { version: 2, epoch: 1, worker: 0, groups: 256 }], &mut bytes);
    let error = decode(&bytes).expect_err("nobody knows version 2 yet").to_string();
    assert!(error.contains("format version 2, and this program reads version 1"), "{error}");
}
