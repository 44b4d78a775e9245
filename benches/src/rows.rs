//! Rows: committing them to the journal, reading them back, and storing them in the metric tables.
//!
//! The rows are those that the graph makes of a workload, epoch by epoch, so their sizes, their keys and their
//! order are the real ones. Nearly all of them are sessions.

mod raw;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use tidegate_dataflow::report::EpochResult;
use tidegate_log::embedded::{EmbeddedJournal, EmbeddedLog, Options};
use tidegate_log::{Commit, Journal, RowReader as _, RowRecord};
use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::{Binding, EventTime, Generation, Offset, PartitionId};
use tidegate_sinks::{Config, METRICS_FILE, Sink, SqliteStore};

use self::raw::RawRow;
use crate::clock::timed;
use crate::measure::{By, Done, Group};
use crate::windows::drive;
use crate::workload::{MemoryLog, Workload};
use crate::{Scale, Table, scratch};

/// Events whose rows are committed; about every seventh makes one.
const EVENTS: usize = 600_000;
/// Events of an epoch: those of an import.
const CUT: usize = 65_536;

/// Measures commits and the sink.
///
/// # Errors
/// When the disk fails.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let log = Arc::new(MemoryLog::new(Workload::new(4), scale.of(EVENTS), 6, scale.of(CUT)));
    let epochs: Vec<_> = drive(&log, 2).into_iter().filter(|epoch| epoch.commit).collect();
    let rows = Rows::new(&epochs);
    ensure!(rows.count > 0, "the workload makes no rows");
    Ok(vec![journal(&rows, scale)?, sink(&rows, scale)?])
}

/// The rows of a run.
struct Rows {
    /// A commit for each epoch.
    commits: Vec<Commit>,
    /// The same rows, epoch by epoch, as values of columns.
    raw: Vec<Vec<RawRow>>,
    count: usize,
    bytes: usize,
}

impl Rows {
    fn new(epochs: &[EpochResult]) -> Self {
        let commits: Vec<_> = epochs.iter().map(commit).collect();
        let rows = || commits.iter().flat_map(|commit| &commit.rows);
        let (count, bytes) = (rows().count(), rows().map(|row| row.value.len()).sum());
        let raw = commits.iter().map(|commit| commit.rows.iter().map(RawRow::of).collect()).collect();
        Self { commits, raw, count, bytes }
    }
}

/// The commit of an epoch. Who commits it is filled in where that is known.
fn commit(epoch: &EpochResult) -> Commit {
    let row = |row: &tidegate_dataflow::report::OutRow| RowRecord {
        topic: Arc::from(&*row.table),
        key: row.key.clone().into_bytes(),
        value: row.value.clone().into_bytes(),
        epoch: epoch.epoch,
        op: row.op,
        headers: Vec::new(),
    };
    let binding = Binding {
        version: BINDING_VERSION,
        epoch: epoch.epoch,
        generation: Generation(0),
        definitions: std::collections::BTreeMap::new(),
        now: epoch.now,
        close_to: epoch.close_to,
        partitions: epoch.partitions.clone(),
        ledger: epoch.ledger.clone(),
        starts: [].into(),
        origin: None,
        snapshot: None,
        gap: None,
        last_records: BTreeMap::new(),
    };
    Commit { bindings: vec![binding], rows: epoch.rows.iter().map(row).collect() }
}

fn journal(rows: &Rows, scale: Scale) -> anyhow::Result<Table> {
    let (folder, log) = committed(rows)?;
    let title = format!("Committing rows to the journal, {} epochs", rows.commits.len());
    let table = Group::new(title, By::Wall, "rows", rows.count, rows.bytes)
        .ceiling("a file, synced each epoch", || raw::file(&rows.commits))
        .ceiling("SQLite, a table of blobs", || raw::blobs(&rows.commits))
        .case("`Journal::commit`", || {
            let folder = scratch::folder()?;
            let (log, mut journal) = open(folder.path())?;
            let (committed, took) = timed(|| rows.commits.iter().try_for_each(|own| journal.commit(own)));
            committed?;
            assert_eq!(read_back(&log)?, rows.count);
            Ok(Done { took, note: String::new() })
        })
        .case("reading them back", || {
            let (read, took) = timed(|| read_back(&log));
            assert_eq!(read?, rows.count);
            Ok(Done { took, note: String::new() })
        })
        .measure(scale);
    drop((log, folder));
    table
}

fn sink(rows: &Rows, scale: Scale) -> anyhow::Result<Table> {
    let (folder, log) = committed(rows)?;
    let title = format!("Storing rows in the metric tables, {} batches", rows.commits.len());
    let table = Group::new(title, By::Wall, "rows", rows.count, rows.bytes)
        .ceiling("SQLite, the same columns and keys", || raw::columns(&rows.raw))
        .case("the sink, from the journal", || {
            let folder = scratch::folder()?;
            let store = SqliteStore::open(&folder.path().join(METRICS_FILE))?;
            let mut sink = Sink::new(log.row_reader()?, store, Config::default());
            let (stored, took) = timed(|| -> Result<(), tidegate_sinks::SinkError> {
                while !sink.step(EventTime::MIN)?.caught_up {}
                Ok(())
            });
            stored?;
            assert_eq!(sink.totals().put, rows.count as u64);
            Ok(Done { took, note: String::new() })
        })
        .measure(scale);
    drop((log, folder));
    table
}

fn open(folder: &Path) -> anyhow::Result<(EmbeddedLog, EmbeddedJournal)> {
    let log = EmbeddedLog::open(folder, Options::default())?;
    let mut journal = log.journal();
    journal.recover()?;
    Ok((log, journal))
}

/// A log that holds the rows.
fn committed(rows: &Rows) -> anyhow::Result<(tempfile::TempDir, EmbeddedLog)> {
    let folder = scratch::folder()?;
    let (log, mut journal) = open(folder.path())?;
    rows.commits.iter().try_for_each(|own| journal.commit(own))?;
    Ok((folder, log))
}

/// Reads every row as the sink does: how many there are.
fn read_back(log: &EmbeddedLog) -> anyhow::Result<usize> {
    let mut reader = log.row_reader()?;
    let (mut count, mut bytes) = (0, 0);
    let max_rows = Config::default().rows_per_topic_max;
    for topic in Config::default().topics {
        let mut next = Offset::ZERO;
        // A topic that nothing was committed to has no partition.
        while reader.partitions(&topic.name)?.contains(&PartitionId(0)) {
            let from = next;
            next = reader.read(&topic.name, PartitionId(0), from, max_rows, &mut |row| {
                count += 1;
                bytes += row.value.len();
            })?;
            if next == from {
                break;
            }
        }
    }
    std::hint::black_box(bytes);
    Ok(count)
}
