//! Reading beside the writer: what is certain is there, what is half written is no error.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use tempfile::TempDir;
use tidegate_model::{Offset, PartitionId};

use super::{EventsView, ViewReader};
use crate::conformance::{block_on, event};
use crate::embedded::{EmbeddedLog, Options};
use crate::event::{EventAppender as _, EventReader as _, ReadError};

const PARTITION: PartitionId = PartitionId(0);

/// A log of one partition with the values `0` to `9`, each in a segment of a page or so.
fn written(dir: &Path) -> EmbeddedLog {
    let options = Options { partitions: 1, segment_bytes_max: 4096, ..Options::default() };
    let log = EmbeddedLog::open(dir, options).expect("the log opens");
    for value in 0..10 {
        let events = vec![event(0, &format!("{value}{}", " ".repeat(1_500)))];
        block_on(log.appender().append(events)).expect("it is appended");
    }
    log
}

fn read(view: &EventsView, offsets: std::ops::Range<u64>, certain: u64) -> Result<(String, u64), ReadError> {
    let mut values = String::new();
    let visit = &mut |record: crate::RecordRef<'_>| {
        values.push_str(String::from_utf8_lossy(record.value).trim_end());
    };
    let end = view.read(PARTITION, Offset(offsets.start)..Offset(offsets.end), Offset(certain), visit)?;
    Ok((values, end.0))
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir.join("events/0")).expect("a directory");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn any_range_is_read_beside_the_writer() {
    let dir = TempDir::new().expect("a temporary directory");
    let _log = written(dir.path());
    assert!(segments(dir.path()).len() > 2, "there are several segments");
    let view = EventsView::open(dir.path()).expect("it opens");
    assert_eq!(view.partitions().collect::<Vec<_>>(), [PARTITION]);
    for (offsets, found) in [
        (0..10, "0123456789"),
        (3..7, "3456"),
        (9..10, "9"),
        (8..u64::MAX, "89"),
        (10..u64::MAX, ""),
        (4..4, ""),
    ] {
        let end = offsets.start + found.len() as u64;
        let read = read(&view, offsets.clone(), 10.min(offsets.end)).expect("it can be read");
        assert_eq!(read, (found.to_owned(), end), "{offsets:?}");
    }
    let missing = read(&view, 8..12, 11).expect_err("ten are not eleven");
    assert!(matches!(missing, ReadError::OutOfRange { asked: Offset(10), .. }), "{missing}");
}

#[test]
fn what_is_half_written_is_not_shown_and_no_error() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(written(dir.path()));
    let last = segments(dir.path()).pop().expect("a segment");
    let whole = fs::read(&last).expect("a file");
    let mut file = OpenOptions::new().append(true).open(&last).expect("it opens");
    file.write_all(&whole[32..70]).expect("it is written");
    let view = EventsView::open(dir.path()).expect("it opens");
    assert_eq!(read(&view, 8..u64::MAX, 10).expect("it can be read"), ("89".to_owned(), 10));
    let error = read(&view, 8..u64::MAX, 11).expect_err("a record that is certain is not there");
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
}

#[test]
fn what_retention_removed_is_out_of_range() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(written(dir.path()));
    fs::remove_file(&segments(dir.path())[0]).expect("it goes");
    let view = EventsView::open(dir.path()).expect("it opens");
    let start = view.start(PARTITION).0;
    assert!(start > 0);
    let error = read(&view, 0..10, 10).expect_err("the first record is gone");
    assert!(matches!(error, ReadError::OutOfRange { asked: Offset(0), .. }), "{error}");
    assert_eq!(read(&view, start..10, 10).expect("it can be read").1, 10);
}

#[test]
fn a_directory_without_a_log_has_no_partition() {
    let dir = TempDir::new().expect("a temporary directory");
    assert_eq!(EventsView::open(dir.path()).expect("it opens").partitions().count(), 0);
}

#[test]
fn a_reader_shows_each_record_once_however_little_it_reads() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(written(dir.path()));
    for max_bytes in [0, 1, 2_000, 4_000, 100_000] {
        for from in 0..=10 {
            let view = EventsView::open(dir.path()).expect("it opens");
            let mut reader = ViewReader::new(view, [(PARTITION, Offset(10))].into());
            assert_eq!(reader.bounds(PARTITION).expect("it is there"), Offset(0)..Offset(10));
            let (mut text, mut next) = (String::new(), Offset(from));
            while next < Offset(10) {
                let mut visit = |record: crate::RecordRef<'_>| {
                    text.push_str(String::from_utf8_lossy(record.value).trim_end());
                };
                let after = reader.read(PARTITION, next, max_bytes, &mut visit).expect("it can be read");
                assert!(next < after && after <= Offset(10), "at least one record");
                next = after;
            }
            assert_eq!(text, "0123456789"[usize::try_from(from).expect("small")..], "{max_bytes} {from}");
        }
    }
    let view = EventsView::open(dir.path()).expect("it opens");
    let mut reader = ViewReader::new(view, [(PARTITION, Offset(11))].into());
    let missing = reader.read(PARTITION, Offset(10), 9, &mut |_| {}).expect_err("ten are not eleven");
    assert!(matches!(missing, ReadError::OutOfRange { asked: Offset(10), .. }), "{missing}");
}
