//! The journal when its storage fails: at the n-th operation, for every n.
//!
//! Whatever happens, a commit is there as a whole or not at all; one that was answered with success is
//! there, one that was definitely refused is not, and rows belong to bindings.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tidegate_model::{Epoch, EventTime, Generation, Offset, PartitionId};

use self::shim::{Fail, Kind};
use super::{EmbeddedJournal, EmbeddedRowReader, FILE, JournalDb};
use crate::conformance::journal::{bindings, commit, row};
use crate::journal::{CommitError, Journal, JournalError};
use crate::rows::RowReader;

mod shim;

const COMMITS: u64 = 6;
const TOPIC: &str = "event_metrics";

fn open(dir: &Path, vfs: Option<&str>) -> Result<Arc<JournalDb>, JournalError> {
    let db = JournalDb::open(dir.join(FILE), vfs, Arc::new(|| EventTime::from_millis(7)))?;
    // Checkpoints happen all the time, so that they fail as well.
    let every_pages = db.writer().connection.pragma_update(None, "wal_autocheckpoint", 12);
    every_pages.expect("it is a setting in memory");
    Ok(db)
}

/// How many rows the commit of an epoch has, some of several pages.
fn rows_of(epoch: u64) -> u64 {
    1 + epoch % 3 * 2
}

fn commit_of(epoch: u64, generation: Generation) -> crate::journal::Commit {
    let value = |no: u64| format!("{epoch}.{no} {}", "x".repeat(if no == 1 { 9_000 } else { 50 }));
    commit(epoch, generation, (0..rows_of(epoch)).map(|no| row(epoch, &value(no))).collect())
}

/// What a process was told before it ended.
#[derive(Debug, Default)]
struct Told {
    committed: Vec<u64>,
    /// Definitely refused, and not sent again.
    refused: Vec<u64>,
    unknown: Option<u64>,
    failures: u64,
    generation: u64,
}

/// Commits one epoch after the other, until an answer says that the process must end. A commit that was
/// definitely refused is sent again after healing, or else left out.
fn run(dir: &Path, heal: bool) -> Told {
    let mut told = Told::default();
    let Ok(db) = open(dir, Some(shim::NAME)) else { return told };
    let mut journal = EmbeddedJournal::new(db);
    let Ok(recovered) = journal.recover() else { return told };
    told.generation = recovered.generation.0;
    if journal.read_bindings(None, &mut |_| ()).is_err() {
        return told;
    }
    for epoch in 1..=COMMITS {
        let commit = commit_of(epoch, recovered.generation);
        let mut outcome = journal.commit(&commit);
        if let Err(error) = &outcome {
            told.failures += 1;
            if error.is_definite() && heal {
                shim::fail(Fail::Never, Kind::Io);
                outcome = journal.commit(&commit);
                assert!(outcome.is_ok(), "it heals: {outcome:?}");
            }
        }
        match outcome {
            Ok(()) => told.committed.push(epoch),
            Err(error) if error.is_definite() => told.refused.push(epoch),
            Err(error) => {
                assert!(matches!(error, CommitError::Indefinite { .. }), "{error}");
                told.unknown = Some(epoch);
                let next = journal.commit(&commit_of(epoch + 1, recovered.generation));
                assert!(
                    matches!(next, Err(CommitError::Indefinite { .. })),
                    "nothing is committed after an unknown outcome: {next:?}"
                );
                break;
            }
        }
    }
    told
}

/// Opens the journal anew, with files that work, and compares.
fn check(dir: &Path, told: &Told, context: &str) {
    let db = open(dir, Some(shim::NAME)).unwrap_or_else(|error| panic!("{error}: {context}"));
    let mut journal = EmbeddedJournal::new(Arc::clone(&db));
    let recovered = journal.recover().unwrap_or_else(|error| panic!("{error}: {context}"));
    assert!(recovered.generation.0 > told.generation, "{context}");
    let bound: Vec<u64> = bindings(&mut journal, None).iter().map(|binding| binding.epoch.0).collect();
    let mut expected = told.committed.clone();
    if let Some(unknown) = told.unknown.filter(|unknown| bound.contains(unknown)) {
        expected.push(unknown);
    }
    assert_eq!(bound, expected, "{told:?}: {context}");
    let mut rows = EmbeddedRowReader::open(db).expect("it opens for reading");
    let mut found = Vec::new();
    rows.read(TOPIC, PartitionId(0), Offset(0), usize::MAX, &mut |row| {
        assert_eq!(row.offset.0, found.len() as u64, "{context}");
        found.push((row.epoch.0, row.value.to_vec()));
    })
    .unwrap_or_else(|error| panic!("{error}: {context}"));
    let expected: Vec<_> = bound
        .iter()
        .flat_map(|epoch| commit_of(*epoch, Generation(0)).rows)
        .map(|row| (row.epoch.0, row.value))
        .collect();
    assert!(found == expected, "rows are those of the bound epochs: {context}");
    let after = commit_of(COMMITS + 1, recovered.generation);
    journal.commit(&after).unwrap_or_else(|error| panic!("it goes on: {error}: {context}"));
}

/// What a process that is killed leaves behind: the files without the index in shared memory.
fn killed(from: &Path) -> TempDir {
    let to = TempDir::new().expect("a temporary directory");
    for name in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-journal")] {
        if from.join(&name).exists() {
            fs::copy(from.join(&name), to.path().join(&name)).expect("a copy");
        }
    }
    to
}

fn dir() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// Fails the n-th operation for every n, and checks what a killed process and an ended one leave.
fn fail_every(fail: fn(u64) -> Fail, kind: Kind, heal: bool) -> u64 {
    shim::register();
    shim::fail(Fail::Never, kind);
    run(dir().path(), false);
    let operations = shim::operations();
    assert!(operations > 50, "{operations}");
    let mut failures = 0;
    for n in 0..operations {
        let context = format!("{:?} {kind:?}, healed: {heal}", fail(n));
        let dir = dir();
        shim::fail(fail(n), kind);
        let told = run(dir.path(), heal);
        failures += told.failures;
        if kind == Kind::Full {
            assert_eq!(told.unknown, None, "a full disk is a definite error: {context}");
        }
        shim::fail(Fail::Never, kind);
        check(killed(dir.path()).path(), &told, &context);
        check(dir.path(), &told, &context);
    }
    failures
}

#[test]
fn an_io_error_leaves_whole_commits() {
    assert!(fail_every(Fail::Only, Kind::Io, true) > 0);
}

#[test]
fn a_storage_that_stays_broken_leaves_whole_commits() {
    assert!(fail_every(Fail::From, Kind::Io, false) > 0);
}

#[test]
fn a_full_disk_refuses_commits_and_heals() {
    assert!(fail_every(Fail::Only, Kind::Full, true) > 0);
    assert!(fail_every(Fail::From, Kind::Full, true) > 0);
}

#[test]
fn a_disk_that_stays_full_refuses_commits_and_loses_none() {
    assert!(fail_every(Fail::From, Kind::Full, false) > 0);
}

#[test]
fn a_full_disk_is_named_as_one() {
    shim::register();
    shim::fail(Fail::Never, Kind::Full);
    let dir = dir();
    let mut journal = EmbeddedJournal::new(open(dir.path(), Some(shim::NAME)).expect("it opens"));
    let generation = journal.recover().expect("it recovers").generation;
    shim::fail(Fail::From(0), Kind::Full);
    for _ in 0..3 {
        match journal.commit(&commit_of(1, generation)) {
            Err(CommitError::DiskFull { path }) => assert!(path.ends_with(FILE), "{path}"),
            other => panic!("{other:?}"),
        }
    }
    shim::fail(Fail::Never, Kind::Full);
    journal.commit(&commit_of(1, generation)).expect("there is room again");
}

#[test]
fn recovering_settles_a_commit_in_doubt() {
    shim::register();
    shim::fail(Fail::Never, Kind::Io);
    let dir = dir();
    let mut journal = EmbeddedJournal::new(open(dir.path(), Some(shim::NAME)).expect("it opens"));
    let generation = journal.recover().expect("it recovers").generation;
    shim::fail(Fail::From(0), Kind::Io);
    let error = journal.commit(&commit_of(1, generation)).expect_err("nothing can be written");
    assert!(matches!(error, CommitError::Indefinite { .. }), "{error}");
    shim::fail(Fail::Never, Kind::Io);
    let recovered = journal.recover().expect("it recovers");
    let next = recovered.last.map_or(1, |binding| binding.epoch.0 + 1);
    journal.commit(&commit_of(next, recovered.generation)).expect("it goes on");
}

#[test]
fn a_newer_binding_is_refused_by_name() {
    let dir = dir();
    let db = open(dir.path(), None).expect("it opens");
    let mut journal = EmbeddedJournal::new(Arc::clone(&db));
    let generation = journal.recover().expect("it recovers").generation;
    journal.commit(&commit_of(5, generation)).expect("it commits");
    let change = |body: &str| {
        let sql = "UPDATE bindings SET body = ?1";
        db.writer().connection.execute(sql, [body]).expect("it is changed");
    };
    change(r#"{"version":99,"what":"ever"}"#);
    match journal.recover() {
        Err(JournalError::NewerFormat { what, found: 99, .. }) => {
            assert!(what.contains("binding 5"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    change(r#"{"version":1,"what":"ever"}"#);
    match journal.recover() {
        Err(JournalError::Damaged { what, reason }) => {
            assert!(what.contains("binding 5") && reason.contains("missing field"), "{what}: {reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_older_binding_that_is_damaged_is_named_when_it_is_read() {
    let dir = dir();
    let db = open(dir.path(), None).expect("it opens");
    let mut journal = EmbeddedJournal::new(Arc::clone(&db));
    let generation = journal.recover().expect("it recovers").generation;
    for epoch in 4..=6 {
        journal.commit(&commit_of(epoch, generation)).expect("it commits");
    }
    let sql = "UPDATE bindings SET body = '{}' WHERE epoch = 5";
    db.writer().connection.execute(sql, []).expect("it is changed");
    assert_eq!(journal.recover().expect("the newest is whole").last.map(|last| last.epoch.0), Some(6));
    let mut shown = Vec::new();
    match journal.read_bindings(None, &mut |binding| shown.push(binding.epoch.0)) {
        Err(JournalError::Damaged { what, .. }) => assert!(what.contains("binding 5"), "{what}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(shown, [4]);
    assert_eq!(bindings(&mut journal, Some(Epoch(5))).len(), 1, "nothing before it is read");
}

#[test]
fn a_commit_before_recovery_is_refused() {
    let dir = dir();
    let mut journal = EmbeddedJournal::new(open(dir.path(), None).expect("it opens"));
    let refused = journal.commit(&commit_of(1, Generation(0)));
    assert!(matches!(refused, Err(CommitError::Invalid { .. })), "{refused:?}");
}
