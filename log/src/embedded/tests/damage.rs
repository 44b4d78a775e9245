//! Torn tails, flipped bits, segments cut short.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_model::{EventTime, Offset, PartitionId};

use super::options;
use crate::conformance::{event, read_from};
use crate::embedded::events::Events;
use crate::embedded::files::memory::MemoryFiles;
use crate::embedded::reader::EmbeddedReader;
use crate::embedded::segment::{SEGMENT_HEADER_BYTES, segment_name};
use crate::embedded::{EmbeddedAppender, OpenError, Options};
use crate::event::{EventReader, ReadError};

const P0: PartitionId = PartitionId(0);

fn open(files: &MemoryFiles) -> Result<Events, OpenError> {
    let options = Options { segment_bytes_max: 4096, ..options(1) };
    let clock = Arc::new(|| EventTime::from_millis(7));
    Events::open(Arc::new(files.clone()), clock, Path::new("data"), &options)
}

fn append(events: &mut Events, values: &[&str]) {
    let appender = EmbeddedAppender { queue: Arc::clone(&events.queue) };
    let values = values.iter().map(|value| event(0, value)).collect();
    let receipt = appender.submit(values).expect("there is room");
    events.driver.step();
    receipt.wait().expect("it is stored");
}

fn reader(events: &Events) -> EmbeddedReader {
    EmbeddedReader::new(Arc::clone(&events.shared))
}

fn values(events: &Events) -> Vec<String> {
    let read = read_from(&mut reader(events), P0, Offset(0), 1 << 20);
    read.into_iter().map(|(_, value)| value).collect()
}

fn segment(base: u64) -> PathBuf {
    Path::new("data/events/0").join(segment_name(base))
}

/// A segment with three writes of one frame each, and where each begins.
fn three_frames() -> (MemoryFiles, Vec<u8>, [usize; 4]) {
    let files = MemoryFiles::default();
    let mut events = open(&files).expect("it opens");
    let length = || files.content(&segment(0)).map_or(0, |content| content.len());
    append(&mut events, &["one"]);
    let second = length();
    append(&mut events, &["two", "three"]);
    let third = length();
    append(&mut events, &["four", "five"]);
    let content = files.content(&segment(0)).expect("there is a segment");
    let first = usize::try_from(SEGMENT_HEADER_BYTES).expect("small");
    let end = content.len();
    (files, content, [first, second, third, end])
}

#[test]
fn a_torn_tail_of_any_length_is_cut_off() {
    let (files, content, [_, _, third, end]) = three_frames();
    for cut in third..end {
        files.put(&segment(0), content[..cut].to_vec());
        let mut events = open(&files).unwrap_or_else(|error| panic!("{error}, cut at {cut}"));
        assert_eq!(values(&events), ["one", "two", "three"], "cut at {cut}");
        append(&mut events, &["six"]);
        assert_eq!(values(&events), ["one", "two", "three", "six"], "cut at {cut}");
        drop(events);
        let events = open(&files).expect("it opens again");
        assert_eq!(values(&events), ["one", "two", "three", "six"], "cut at {cut}");
    }
}

#[test]
fn a_tail_of_zeros_is_cut_off() {
    let (files, mut content, [.., end]) = three_frames();
    content.resize(end + 10_000, 0);
    files.put(&segment(0), content);
    let events = open(&files).expect("it opens");
    assert_eq!(values(&events), ["one", "two", "three", "four", "five"]);
    assert_eq!(files.content(&segment(0)).expect("there").len(), end);
}

#[test]
fn a_flipped_bit_in_the_last_frame_is_a_torn_tail() {
    let (files, content, [_, _, third, end]) = three_frames();
    for bit in third * 8..end * 8 {
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        files.put(&segment(0), flipped);
        let events = open(&files).unwrap_or_else(|error| panic!("{error}, bit {bit}"));
        assert_eq!(values(&events), ["one", "two", "three"], "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_in_an_earlier_frame_is_damage() {
    let (files, content, [_, second, third, _]) = three_frames();
    for bit in second * 8..third * 8 {
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        files.put(&segment(0), flipped);
        match open(&files).err() {
            Some(OpenError::Damaged { path, at, .. }) => {
                assert_eq!((path, at), (segment(0).display().to_string(), second as u64), "bit {bit}");
            }
            other => panic!("{other:?}, bit {bit}"),
        }
    }
}

#[test]
fn a_flipped_bit_in_a_header_is_damage() {
    let (files, content, [first, ..]) = three_frames();
    for bit in 0..first * 8 {
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        files.put(&segment(0), flipped);
        let error = open(&files).err().unwrap_or_else(|| panic!("bit {bit}"));
        let named = matches!(
            &error,
            OpenError::Damaged { path, .. } | OpenError::NewerFormat { path, .. }
                if *path == segment(0).display().to_string()
        );
        assert!(named, "{error}, bit {bit}");
    }
}

/// Two segments, of which the first is full, and the offset at which the second begins.
fn two_segments() -> (MemoryFiles, u64) {
    let files = MemoryFiles::default();
    let mut events = open(&files).expect("it opens");
    for _ in 0..6 {
        append(&mut events, &[&"x".repeat(900)]);
    }
    let names = events.shared.partition(P0).expect("it exists").segments().list.len();
    assert_eq!(names, 2);
    let base = events.shared.partition(P0).expect("it exists").segments().list[1].base;
    (files, base)
}

#[test]
fn damage_in_an_older_segment_is_named_by_the_reader_and_not_skipped() {
    let (files, _) = two_segments();
    let mut content = files.content(&segment(0)).expect("there");
    let frame = 44 + 4 + 900;
    let second = usize::try_from(SEGMENT_HEADER_BYTES).expect("small") + frame;
    content[second + 100] ^= 1;
    files.put(&segment(0), content);
    let events = open(&files).expect("older segments are checked when they are read");
    let mut reader = reader(&events);
    let mut shown = Vec::new();
    let error = reader
        .read(P0, Offset(0), 1 << 20, &mut |record| shown.push(record.offset))
        .expect_err("a frame is damaged");
    assert_eq!(shown, [Offset(0)], "what comes before it is shown");
    match error {
        ReadError::Damaged { path, at, .. } => {
            assert_eq!((path, at), (segment(0).display().to_string(), second as u64));
        }
        other => panic!("{other:?}"),
    }
    assert!(reader.read(P0, Offset(1), 1, &mut |_| panic!("it is damaged")).is_err());
    let after = reader.read(P0, Offset(2), 1, &mut |_| ()).expect("what comes after it can be asked for");
    assert_eq!(after, Offset(3));
}

#[test]
fn an_older_segment_that_was_cut_is_damage() {
    let (files, base) = two_segments();
    let content = files.content(&segment(0)).expect("there");
    for cut in [content.len() - 1, content.len() - (44 + 4 + 900)] {
        files.put(&segment(0), content[..cut].to_vec());
        let events = open(&files).expect("older segments are checked when they are read");
        let error = reader(&events).read(P0, Offset(base - 1), 1 << 20, &mut |_| panic!("it is gone"));
        assert!(matches!(error, Err(ReadError::Damaged { .. })), "{error:?}, cut at {cut}");
    }
}

#[test]
fn a_write_of_several_frames_is_there_as_a_whole_or_not_at_all() {
    let files = MemoryFiles::default();
    let mut events = open(&files).expect("it opens");
    append(&mut events, &["before"]);
    let large = "y".repeat(100_000);
    let first = files.content(&segment(0)).expect("there").len();
    // The write is larger than a segment, so it gets one of its own.
    append(&mut events, &[&large, &large, &large]);
    drop(events);
    assert!(first > 0);
    let content = files.content(&segment(1)).expect("the large write has its own segment");
    for cut in [content.len() - 1, content.len() - 100_010, content.len() - 100_100, 33] {
        files.put(&segment(1), content[..cut].to_vec());
        let events = open(&files).expect("it opens");
        assert_eq!(values(&events), ["before"], "cut at {cut}");
    }
}
