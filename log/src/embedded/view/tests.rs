//! Reading beside the writer: what is certain is there, what is half written is no error.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tidegate_model::{Offset, PartitionId};

use super::EventsView;
use crate::conformance::{block_on, event};
use crate::embedded::files::{Disk, Files, StoredFile};
use crate::embedded::{EmbeddedLog, EmbeddedReader, Options};
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

fn at(offset: u64) -> BTreeMap<PartitionId, Offset> {
    BTreeMap::from([(PARTITION, Offset(offset))])
}

/// Everything from `from` on, in many small reads.
fn walked(dir: &Path, end: u64, from: u64) -> Result<String, ReadError> {
    let view = EventsView::open(dir).expect("it opens");
    let mut reader = view.readers(&at(from), &at(end), 1)?.pop().expect("one");
    let (mut values, mut next) = (String::new(), Offset(from));
    while next < reader.bounds(PARTITION)?.end {
        next = reader.read(PARTITION, next, 1, &mut |record| {
            values.push_str(String::from_utf8_lossy(record.value).trim_end());
        })?;
    }
    Ok(values)
}

#[test]
fn readers_go_through_the_log_beside_the_writer() {
    let dir = TempDir::new().expect("a temporary directory");
    let log = written(dir.path());
    assert_eq!(walked(dir.path(), 10, 0).expect("it can be read"), "0123456789");
    assert_eq!(walked(dir.path(), 7, 3).expect("it can be read"), "3456");
    let error = walked(dir.path(), 11, 0).expect_err("ten are not eleven");
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    drop(log);
    fs::remove_file(&segments(dir.path())[0]).expect("it goes");
    let error = walked(dir.path(), 10, 0).expect_err("the first record is gone");
    assert!(matches!(error, ReadError::OutOfRange { asked: Offset(0), .. }), "{error}");
}

/// Every segment before the end was opened and checked, however many there were.
#[test]
fn segments_before_where_reading_starts_are_not_opened() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(written(dir.path()));
    let view = EventsView::open(dir.path()).expect("it opens");
    let segments = segments(dir.path());
    fs::write(&segments[0], "no header").expect("it is written");
    let second = view.partitions[&PARTITION].bases[1];
    let readers = |from| view.readers(&at(from), &at(10), 2);
    assert!(matches!(readers(0), Err(ReadError::Damaged { .. })));
    assert!(matches!(readers(second - 1), Err(ReadError::Damaged { .. })), "its last record is in it");
    for from in second..=10 {
        let start = readers(from).expect("it is whole")[0].bounds(PARTITION).expect("it can be read").start;
        assert!(start <= Offset(from), "{from}");
    }
    assert_eq!(walked(dir.path(), 10, second).expect("it can be read").len() as u64, 10 - second);
}

/// An epoch may end within what was written at once.
#[test]
fn a_reader_whose_end_lies_within_a_frame_stops_there() {
    let dir = TempDir::new().expect("a temporary directory");
    let log =
        EmbeddedLog::open(dir.path(), Options { partitions: 1, ..Options::default() }).expect("it opens");
    for batch in [0..4, 4..10] {
        let events = batch.map(|value| event(0, &value.to_string())).collect();
        block_on(log.appender().append(events)).expect("it is appended");
    }
    let view = EventsView::open(dir.path()).expect("it opens");
    for end in 1..=10 {
        let mut reader = view.readers(&at(0), &at(end), 1).expect("it is whole").pop().expect("one");
        for max_bytes in [1, 3, 1_000] {
            let (mut values, mut next) = (String::new(), Offset(0));
            let visit = &mut |record: crate::RecordRef<'_>| {
                values.push_str(&String::from_utf8_lossy(record.value));
            };
            while next < Offset(end) {
                next = reader.read(PARTITION, next, max_bytes, visit).expect("it can be read");
            }
            assert_eq!(reader.read(PARTITION, next, max_bytes, visit).expect("it is at its end"), next);
            let expected = &"0123456789"[..usize::try_from(end).expect("small")];
            assert_eq!((values.as_str(), next), (expected, Offset(end)), "{max_bytes}");
        }
    }
}

#[test]
fn a_directory_without_a_log_has_no_partition() {
    let dir = TempDir::new().expect("a temporary directory");
    assert_eq!(EventsView::open(dir.path()).expect("it opens").partitions().count(), 0);
}

/// A disk that counts the bytes read.
#[derive(Debug)]
struct Counting {
    disk: Disk,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn StoredFile>,
    bytes: Arc<AtomicUsize>,
}

impl Files for Counting {
    fn open(&self, path: &Path) -> io::Result<Box<dyn StoredFile>> {
        Ok(Box::new(CountingFile { file: self.disk.open(path)?, bytes: Arc::clone(&self.bytes) }))
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("a reader only opens")
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        unreachable!("a reader only opens")
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn StoredFile>> {
        unreachable!("a reader only opens")
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("a reader only opens")
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("a reader only opens")
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        unreachable!("a reader only opens")
    }
}

impl StoredFile for CountingFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, at)?;
        self.bytes.fetch_add(read, Ordering::Relaxed);
        Ok(read)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        unreachable!("a reader only reads")
    }

    fn sync(&self) -> io::Result<()> {
        unreachable!("a reader only reads")
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        unreachable!("a reader only reads")
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

/// Whoever follows bindings takes in what is of an epoch, and is shown more than that.
#[test]
fn a_segment_in_many_small_steps_is_scanned_about_once() {
    let dir = TempDir::new().expect("a temporary directory");
    let log =
        EmbeddedLog::open(dir.path(), Options { partitions: 1, ..Options::default() }).expect("it opens");
    for batch in 0..400 {
        let value = |no| event(0, &format!("{:5}{}", batch * 10 + no, " ".repeat(200)));
        block_on(log.appender().append((0..10).map(value).collect())).expect("it is appended");
    }
    drop(log);
    let size: u64 = segments(dir.path()).iter().map(|path| fs::metadata(path).expect("a file").len()).sum();
    let view = EventsView::open(dir.path()).expect("it opens");
    for (step, taken) in [(1, 512), (3, 3 * 512), (7, 7 * 512), (25, 25 * 512), (10, 1)] {
        let bytes = Arc::new(AtomicUsize::new(0));
        let files = Counting { disk: Disk::read_only(), bytes: Arc::clone(&bytes) };
        let shared = view.shared(&at(0), &at(4_000), Arc::new(files));
        let mut reader = EmbeddedReader::new(Arc::new(shared.expect("it is whole")));
        let mut next = 0;
        while next < 4_000 {
            let until = (next + step).min(4_000);
            let mut values = Vec::new();
            let visit = &mut |record: crate::RecordRef<'_>| {
                if record.offset < Offset(until) {
                    let text = String::from_utf8_lossy(record.value);
                    values.push(text.trim().parse::<u64>().expect("a number"));
                }
            };
            reader.read(PARTITION, Offset(next), taken, visit).expect("it can be read");
            let after = next + u64::try_from(values.len()).expect("small");
            assert_eq!(values, (next..after).collect::<Vec<_>>());
            assert!(after > next, "at least one record");
            next = after;
        }
        let read = bytes.load(Ordering::Relaxed) as u64;
        // What the buffer held is read again when a read begins in it and ends behind it.
        assert!(read < 4 * size, "{read} bytes of {size} in steps of {step}");
    }
}
