//! What is the same, what is not, and what cannot be told any more.

use std::path::Path;

use tempfile::TempDir;
use tidegate_log::embedded::{EmbeddedJournal, EmbeddedLog, Options};
use tidegate_log::journal::{Commit, Journal as _, RowRecord};
use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::{Binding, EventTime, Ledger, Op};

use super::*;

const EVENTS: &str = "event_metrics";
const SESSIONS: &str = "session_metrics";

fn row(table: &'static str, key: &str, value: &str) -> OutRow {
    OutRow { table: table.into(), key: key.to_owned(), value: value.to_owned(), op: Op::Final }
}

/// The rows that are computed of an epoch: two of each table.
pub(in super::super) fn rows_of(epoch: u64) -> Vec<OutRow> {
    let of = |table| ["a", "b"].map(|key| row(table, key, &format!("{key}{epoch}")));
    [of(EVENTS), of(SESSIONS)].concat()
}

/// A journal that has these rows of the epochs 1 to `last`.
pub(in super::super) fn journal(
    dir: &Path,
    last: u64,
    rows: impl Fn(u64) -> Vec<OutRow>,
) -> (EmbeddedLog, JournalView) {
    let log = EmbeddedLog::open(dir, Options::default()).expect("it opens");
    let mut journal = log.journal();
    let generation = journal.recover().expect("it recovers").generation;
    for epoch in (1..=last).map(Epoch) {
        let binding = Binding {
            version: BINDING_VERSION,
            epoch,
            generation,
            definitions: [].into(),
            now: EventTime::from_millis(0),
            close_to: EventTime::MIN,
            partitions: [].into(),
            ledger: Ledger::default(),
            starts: [].into(),
            origin: None,
            snapshot: None,
            gap: None,
            last_records: BTreeMap::new(),
        };
        let record = |row: OutRow| RowRecord {
            topic: row.table.into(),
            key: row.key.into_bytes(),
            value: row.value.into_bytes(),
            epoch,
            op: row.op,
            headers: Vec::new(),
        };
        let rows = rows(epoch.0).into_iter().map(record).collect();
        journal.commit(&Commit { bindings: vec![binding], rows }).expect("it commits");
    }
    (log, EmbeddedJournal::open_read_only(dir).expect("it opens"))
}

pub(in super::super) fn comparing(view: &JournalView, from: u64) -> Comparing<'_> {
    Comparing::new(view, Epoch(from), &BTreeMap::new(), str::to_owned).expect("it can be read")
}

/// Compares what is computed with a journal that has `committed` of the epoch 1.
fn compared(computed: &[OutRow], committed: &[OutRow]) -> Report {
    let dir = TempDir::new().expect("a temporary directory");
    let (_log, view) = journal(dir.path(), 1, |_| committed.to_vec());
    let mut comparing = comparing(&view, 1);
    comparing.epoch(Epoch(1), computed);
    comparing.finish().expect("it can be read")
}

/// How many rows are equal and how many are not, and the first of these.
fn told(report: Report) -> (u64, u64, Option<Difference>) {
    (report.rows, report.differences, report.difference)
}

#[test]
fn rows_are_the_same_whatever_their_order_and_those_of_one_key_may_be_several() {
    let rows = [row(EVENTS, "a", "1"), row(EVENTS, "a", "1"), row(EVENTS, "a", "2"), row(SESSIONS, "a", "1")];
    let turned: Vec<_> = rows.iter().rev().cloned().collect();
    assert_eq!(told(compared(&rows, &turned)), (4, 0, None));
}

#[test]
fn what_differs_is_counted_and_the_first_is_shown() {
    let shown = |row: &OutRow| Some(Row { op: row.op, value: row.value.clone() });
    let rows = [row(EVENTS, "a", "1"), row(EVENTS, "b", "2")];
    let corrected = OutRow { op: Op::Correct, ..rows[0].clone() };
    let other_table = row(SESSIONS, "a", "1");
    for (computed, committed, equal, different) in [
        (vec![rows[0].clone()], vec![row(EVENTS, "a", "7")], 0, 1),
        (vec![rows[0].clone()], vec![corrected], 0, 1),
        (vec![], vec![rows[0].clone()], 0, 1),
        (rows.to_vec(), vec![rows[1].clone()], 1, 1),
        (vec![rows[0].clone()], vec![rows[0].clone(), rows[0].clone()], 1, 1),
        (vec![rows[0].clone()], vec![other_table], 0, 2),
    ] {
        let (rows, differences, first) = told(compared(&computed, &committed));
        assert_eq!((rows, differences), (equal, different), "{computed:?} {committed:?}");
        let first = first.expect("there is one");
        let has = |rows: &[OutRow], found: &Option<Row>| {
            found.is_none() || rows.iter().any(|row| row.key == first.key && shown(row) == *found)
        };
        assert!(has(&computed, &first.computed) && has(&committed, &first.committed), "{first:?}");
        assert!(first.computed.is_some() || first.committed.is_some());
    }
}

#[test]
fn rows_of_many_epochs_are_read_in_pieces() {
    let dir = TempDir::new().expect("a temporary directory");
    let (_log, view) = journal(dir.path(), 1_700, rows_of);
    let mut comparing = comparing(&view, 3);
    for epoch in 2..=1_700 {
        comparing.epoch(Epoch(epoch), &rows_of(epoch));
    }
    let report = comparing.finish().expect("it can be read");
    assert_eq!((report.epochs, report.rows, report.differences), (1_698, 4 * 1_698, 0));
    assert_eq!((report.first, report.last), (Some(Epoch(3)), Some(Epoch(1_700))));
    assert_eq!(report.not_compared, [""; 0]);
}

#[test]
fn rows_that_retention_removes_meanwhile_are_named_and_no_difference() {
    let dir = TempDir::new().expect("a temporary directory");
    let (_log, view) = journal(dir.path(), 700, rows_of);
    let mut comparing = comparing(&view, 1);
    comparing.epoch(Epoch(1), &rows_of(1));
    // Two rows of an epoch, and a piece of a thousand: the first 500 epochs were read, and whether there was more of
    // the last of them cannot be told. Of 601 one row is left.
    let sql = "DELETE FROM rows WHERE offset < 1201 AND topic = (SELECT id FROM topics WHERE name = 'event_metrics');
               UPDATE topics SET first_offset = 1201 WHERE name = 'event_metrics'";
    rusqlite::Connection::open(dir.path().join("journal.db"))
        .and_then(|writer| writer.execute_batch(sql))
        .expect("rows go");
    for epoch in 2..=700 {
        comparing.epoch(Epoch(epoch), &rows_of(epoch));
    }
    let report = comparing.finish().expect("it can be read");
    assert_eq!((report.epochs, report.differences, report.difference), (700, 0, None));
    assert_eq!(report.rows, 4 * 700 - 2 * 102);
    let named = "event_metrics of 102 epochs: rows up to epoch 601 were removed (log.retention)";
    assert_eq!(report.not_compared, [named]);
}

#[test]
fn rows_of_a_job_that_began_anew_are_compared_from_then_on() {
    let dir = TempDir::new().expect("a temporary directory");
    let (_log, view) = journal(dir.path(), 5, rows_of);
    let starts =
        BTreeMap::from([("EventAggregator".to_owned(), JobStart { epoch: Epoch(4), after: EventTime::MIN })]);
    let mut comparing = Comparing::new(&view, Epoch(1), &starts, str::to_owned).expect("it can be read");
    for epoch in 1..=5 {
        let is_there = |row: &OutRow| row.table == SESSIONS || epoch >= 4;
        let rows: Vec<_> = rows_of(epoch).into_iter().filter(is_there).collect();
        comparing.epoch(Epoch(epoch), &rows);
    }
    let report = comparing.finish().expect("it can be read");
    assert_eq!((report.rows, report.differences), (2 * 5 + 2 * 2, 0));
    assert_eq!(report.not_compared, ["event_metrics of 3 epochs: its job began anew in epoch 4"]);
}

/// Both were counted as one, and only one reason was given.
#[test]
fn rows_removed_and_rows_from_before_the_job_began_anew_are_told_apart() {
    let dir = TempDir::new().expect("a temporary directory");
    let (_log, view) = journal(dir.path(), 9, rows_of);
    // As retention does it: of epoch 6 one row is left.
    let sql =
        "DELETE FROM rows WHERE offset < 11 AND topic = (SELECT id FROM topics WHERE name = 'event_metrics');
               UPDATE topics SET first_offset = 11 WHERE name = 'event_metrics'";
    rusqlite::Connection::open(dir.path().join("journal.db"))
        .and_then(|writer| writer.execute_batch(sql))
        .expect("rows go");
    let starts =
        BTreeMap::from([("EventAggregator".to_owned(), JobStart { epoch: Epoch(3), after: EventTime::MIN })]);
    let mut comparing = Comparing::new(&view, Epoch(1), &starts, str::to_owned).expect("it can be read");
    for epoch in 1..=9 {
        comparing.epoch(Epoch(epoch), &rows_of(epoch));
    }
    let report = comparing.finish().expect("it can be read");
    assert_eq!((report.rows, report.differences), (2 * 9 + 2 * 3, 0));
    let told = [
        "event_metrics of 2 epochs: its job began anew in epoch 3",
        "event_metrics of 4 epochs: rows up to epoch 6 were removed (log.retention)",
    ];
    assert_eq!(report.not_compared, told);
}

/// An epoch counted as compared of which no table was, and a replay of such epochs alone as a success.
#[test]
fn an_epoch_of_which_no_table_is_compared_does_not_count() {
    let dir = TempDir::new().expect("a temporary directory");
    let (_log, view) = journal(dir.path(), 2, rows_of);
    let jobs = Schema::ALL.iter().map(|schema| schema.job.to_owned());
    let anew = JobStart { epoch: Epoch(2), after: EventTime::MIN };
    let starts = jobs.map(|job| (job, anew)).collect();
    let report_of = |epochs: &[u64]| {
        let mut comparing = Comparing::new(&view, Epoch(1), &starts, str::to_owned).expect("it can be read");
        for epoch in epochs {
            comparing.epoch(Epoch(*epoch), &rows_of(*epoch));
        }
        comparing.finish().expect("it can be read")
    };
    let report = report_of(&[1, 2]);
    assert_eq!((report.epochs, report.first, report.nothing_compared()), (1, Some(Epoch(2)), None));
    let report = report_of(&[1]);
    assert_eq!((report.epochs, report.rows, report.differences), (0, 0, 0));
    let text = report.nothing_compared().expect("nothing was");
    assert!(text.contains("nothing was compared: event_metrics of 1 epochs: its job began anew"), "{text}");
    let text = report_of(&[]).nothing_compared().expect("nothing was");
    assert!(text.contains("none of the epochs asked for was committed"), "{text}");
}
