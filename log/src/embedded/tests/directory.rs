//! One writer, formats, partitions.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidegate_model::{Epoch, Generation, Offset, Op, PartitionId};

use super::{copy_of, open, options};
use crate::conformance::{event, journal, journal::commit, read_from};
use crate::embedded::{EmbeddedJournal, EmbeddedLog, ImportState, OpenError};
use crate::event::EventReader;
use crate::journal::{Journal, JournalError};
use crate::rows::{RowReader, RowRef};

fn dir() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// A directory that version 1 wrote; it must be readable for as long as version 1 is.
#[test]
fn the_sample_of_version_1_is_understood() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/v1");
    let dir = copy_of(&sample);
    let log = open(dir.path(), 2);
    let mut reader = log.reader();
    let mut read = |partition| {
        let read = read_from(&mut reader, PartitionId(partition), Offset(0), 100);
        read.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(read(0), [r#"{"no":0}"#, r#"{"no":2}"#, r#"{"no":3}"#]);
    assert_eq!(read(1), [r#"{"no":1}"#]);
    let mut journal = log.journal();
    assert_eq!(journal.recover().expect("it recovers").generation, Generation(2));
    let epochs: Vec<u64> =
        journal::bindings(&mut journal, None).iter().map(|binding| binding.epoch.0).collect();
    assert_eq!(epochs, [1_700_000_000_000, 1_700_000_000_001]);
    let mut rows = Vec::new();
    let mut row_reader = log.row_reader().expect("it opens");
    let keep = &mut |row: RowRef<'_>| {
        rows.push((row.epoch.0, row.op, row.key.to_vec(), row.value.to_vec(), row.headers.to_vec()));
    };
    let end = row_reader.read("dropped_events", PartitionId(0), Offset(0), 10, keep);
    assert_eq!(end.expect("it can be read"), Offset(1));
    let headers = vec![("reason".to_owned(), "expired".to_owned())];
    let expected = (1_700_000_000_001, Op::Retract, b"key".to_vec(), b"value".to_vec(), headers);
    assert_eq!(rows, [expected]);
    assert_eq!(log.import_state("sample").expect("it can be read"), ImportState::Unfinished);
    let begun = log.import_begin("sample", Epoch(7)).expect("it begins");
    assert_eq!(begun.done, [(PartitionId(0), 1), (PartitionId(1), 0)].into());
}

#[test]
fn a_second_writer_is_told_the_first_ones_pid() {
    let dir = dir();
    let first = open(dir.path(), 1);
    match EmbeddedLog::open(dir.path(), options(1)) {
        Err(OpenError::Locked { dir: locked, pid }) => {
            assert_eq!(locked, dir.path().display().to_string());
            assert_eq!(pid, std::process::id().to_string());
        }
        other => panic!("{other:?}"),
    }
    first.close();
    open(dir.path(), 1);
}

#[test]
fn a_journal_is_read_while_it_is_written() {
    let dir = dir();
    let missing = EmbeddedJournal::open_read_only(dir.path());
    assert!(matches!(missing.err(), Some(JournalError::Storage { .. })));
    let log = open(dir.path(), 1);
    let view = EmbeddedJournal::open_read_only(dir.path()).expect("it opens beside the writer");
    assert_eq!(view.last_binding().expect("it can be read"), None);
    let mut journal = log.journal();
    let generation = journal.recover().expect("it recovers").generation;
    journal.commit(&commit(1, generation, vec![])).expect("it commits");
    journal.commit(&commit(2, generation, vec![])).expect("it commits");
    let last = view.last_binding().expect("it can be read").expect("there is one");
    assert_eq!(last.epoch.0, 2);
    log.close();
    let after = EmbeddedJournal::open_read_only(dir.path()).expect("it opens without a writer");
    assert_eq!(after.last_binding().expect("it can be read"), Some(last));
}

#[test]
fn newer_formats_are_refused_by_name() {
    let dir = dir();
    let log = open(dir.path(), 1);
    log.appender().append_blocking(vec![event(0, "a")]).expect("it is stored");
    log.close();
    let format = dir.path().join("format");
    let kept = fs::read(&format).expect("there is a format");
    fs::write(&format, br#"{"format":2,"partitions":1,"more":true}"#).expect("it is written");
    match EmbeddedLog::open(dir.path(), options(1)) {
        Err(OpenError::NewerFormat { path, found: 2, supported: 1 }) => assert!(path.ends_with("format")),
        other => panic!("{other:?}"),
    }
    fs::write(&format, kept).expect("it is written");

    let segment = dir.path().join("events/0/00000000000000000000.segment");
    let kept = fs::read(&segment).expect("there is a segment");
    let mut newer = kept.clone();
    newer[8] = 2;
    fs::write(&segment, newer).expect("it is written");
    match EmbeddedLog::open(dir.path(), options(1)) {
        Err(OpenError::NewerFormat { path, found: 2, .. }) => assert!(path.ends_with(".segment")),
        other => panic!("{other:?}"),
    }
    fs::write(&segment, kept).expect("it is written");

    let sqlite = rusqlite::Connection::open(dir.path().join("journal.db")).expect("it opens");
    sqlite.execute("UPDATE meta SET value = 2 WHERE key = 'version'", []).expect("it is changed");
    drop(sqlite);
    match EmbeddedLog::open(dir.path(), options(1)) {
        Err(OpenError::Journal(JournalError::NewerFormat { what, found: 2, .. })) => {
            assert!(what.ends_with("journal.db"));
        }
        other => panic!("{other:?}"),
    }
    let view = EmbeddedJournal::open_read_only(dir.path());
    assert!(matches!(view.err(), Some(JournalError::NewerFormat { .. })));
}

#[test]
fn partitions_are_added_but_never_taken_away() {
    let dir = dir();
    let log = open(dir.path(), 2);
    log.appender().append_blocking(vec![event(1, "a")]).expect("it is stored");
    log.close();
    match EmbeddedLog::open(dir.path(), options(1)) {
        Err(OpenError::FewerPartitions { asked: 1, found: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    let log = open(dir.path(), 3);
    assert_eq!(log.reader().partitions().expect("partitions").len(), 3);
    log.appender().append_blocking(vec![event(2, "b")]).expect("it is stored");
    log.close();
    assert!(EmbeddedLog::open(dir.path(), options(2)).is_err());
    let mut reader = open(dir.path(), 3).reader();
    let mut read = |partition| read_from(&mut reader, PartitionId(partition), Offset(0), 100);
    assert_eq!(read(1), [(Offset(0), "a".to_owned())]);
    assert_eq!(read(2), [(Offset(0), "b".to_owned())]);
}

#[test]
fn damaged_files_are_named() {
    let dir = dir();
    open(dir.path(), 1).close();
    let journal = dir.path().join("journal.db");
    let kept = fs::read(&journal).expect("there is a journal");
    fs::write(&journal, vec![b'x'; 5_000]).expect("it is written");
    match EmbeddedLog::open(dir.path(), options(1)) {
        Err(OpenError::Journal(JournalError::Damaged { what, .. })) => assert!(what.ends_with("journal.db")),
        other => panic!("{other:?}"),
    }
    fs::write(&journal, kept).expect("it is written");
    fs::write(dir.path().join("format"), b"{").expect("it is written");
    match EmbeddedLog::open(dir.path(), options(1)) {
        Err(OpenError::Damaged { path, .. }) => assert!(path.ends_with("format"), "{path}"),
        other => panic!("{other:?}"),
    }
}
