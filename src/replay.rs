//! Whether epochs come out again as they were committed: the story behind `tidegate replay`.
//!
//! [`plan`] chooses what to start from and which bindings to follow, the runner [computes](tidegate_runner::again)
//! them, and [`compare`] holds the rows against those of the journal. Everything is read beside whoever writes it.

mod bound;
mod compare;
mod plan;
mod report;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use tidegate_log::embedded::{EventsView, JournalView};
use tidegate_model::{Offset, PartitionId};
use tidegate_runner::ObjectSnapshots;
use tidegate_runner::again::{Again, compute_again};
use tidegate_runner::recovery::{FromSnapshot, ReplayEpoch};
use tidegate_runner::snapshot::SnapshotStore;

use self::bound::Bound;
use self::compare::Comparing;
pub(crate) use self::plan::Question;
use self::plan::{Sources, plan};
pub(crate) use self::report::Report;
use crate::assembly::{SNAPSHOTS, journal_error, topic_of, view_error};
use crate::config::Config;
use crate::exit::{CommandError, Exit};

fn failure(error: impl Into<Box<dyn Error + Send + Sync>>) -> CommandError {
    CommandError::new(Exit::Failure, error)
}

/// Computes the epochs asked for once more, and says what came of it.
pub(crate) fn replay(
    question: &Question,
    config: &Config,
    journal: &JournalView,
) -> Result<Report, CommandError> {
    let (bound, view) = look(question, &config.data_dir, journal)?;
    let snapshots = ObjectSnapshots::open(&config.data_dir.join(SNAPSHOTS));
    let sources = Sources {
        configured: [config.job_settings(), config.import_job_settings()],
        events_from: view.partitions().map(|partition| (partition, view.start(partition))).collect(),
        snapshots: snapshots.as_ref().map(|store| store as &dyn SnapshotStore).map_err(Clone::clone),
    };
    let plan = plan(question, bound, &sources)?;
    let ends = plan.epochs.last().map(ReplayEpoch::ends).unwrap_or_default();
    let topic_of = |table| topic_of(config, table).to_owned();
    let mut comparing = Comparing::new(journal, plan.from, &plan.starts, topic_of).map_err(journal_error)?;
    let (snapshot, workers) = (plan.snapshot, config.worker_threads());
    let reads_from = snapshot.as_ref().map(FromSnapshot::ends).unwrap_or_default();
    let started_from = snapshot.as_ref().map(|snapshot| snapshot.restored.epoch());
    let again = Again {
        jobs: plan.jobs,
        hash_key: plan.hash_key,
        starts: plan.starts,
        snapshot,
        epochs: plan.epochs,
        readers: view.readers(&reads_from, &ends, workers).map_err(failure)?,
    };
    compute_again(again, |result| comparing.epoch(result.epoch, &result.rows))
        .map_err(|error| or_removed(failure(error), &config.data_dir, &reads_from))?;
    let report = Report { snapshot: started_from, workers, ..comparing.finish().map_err(journal_error)? };
    match report.nothing_compared() {
        Some(text) => Err(CommandError::new(Exit::Refused, text)),
        None => Ok(report),
    }
}

/// What is bound, and a view with the events that it speaks of.
///
/// Of the journal it is one moment, and not for longer than it takes to read it. The segments are listed after that
/// moment began: what was bound by then had been written by then. The other way round an epoch could be bound in
/// between whose events lie in a segment that is not in the list. What retention removes in between is missing in
/// the list, too, whose start says so.
fn look(question: &Question, dir: &Path, journal: &JournalView) -> Result<(Bound, EventsView), CommandError> {
    let _moment = journal.hold().map_err(journal_error)?;
    let view = EventsView::open(dir).map_err(view_error)?;
    let mut bound = Bound::default();
    journal.read_bindings(&mut |binding| bound.add(binding, question.to)).map_err(journal_error)?;
    Ok((bound, view))
}

/// Adds the reason to an error when events were removed meanwhile that are read from there on.
fn or_removed(error: CommandError, dir: &Path, reads_from: &BTreeMap<PartitionId, Offset>) -> CommandError {
    let from = |partition| reads_from.get(&partition).copied().unwrap_or(Offset::ZERO);
    let is_removed = |view: EventsView| view.partitions().any(|id| view.start(id) > from(id));
    if !EventsView::open(dir).is_ok_and(is_removed) {
        return error;
    }
    let text =
        "events that it follows were removed meanwhile (log.retention); ask for later ones: --from-epoch";
    failure(format!("{error}: {text}"))
}

#[cfg(test)]
mod tests {
    use tidegate_log::embedded::{EmbeddedLog, Options};
    use tidegate_model::Epoch;

    use super::compare::tests::{comparing, journal, rows_of};
    use super::*;

    /// A replay that held the journal for as long as it computed had the log of the writer grow.
    #[test]
    fn a_replay_does_not_keep_the_writer_from_cutting_its_log() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (_log, view) = journal(dir.path(), 700, rows_of);
        let (bound, _) = look(&Question::default(), dir.path(), &view).expect("it can be read");
        assert_eq!(bound.span, Some((Epoch(1), Epoch(700))));
        let mut comparing = comparing(&view, 1);
        comparing.epoch(Epoch(1), &rows_of(1));
        let writer = rusqlite::Connection::open(dir.path().join("journal.db")).expect("it opens");
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: u32 = writer.query_row(sql, [], |row| row.get(0)).expect("it checkpoints");
        assert_eq!(busy, 0, "nobody looks at an older state");
    }

    #[test]
    fn what_a_later_version_wrote_is_refused() {
        for newer_binding in [true, false] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let (_log, view) = journal(dir.path(), 3, rows_of);
            if newer_binding {
                let writer = rusqlite::Connection::open(dir.path().join("journal.db")).expect("it opens");
                let sql = "UPDATE bindings SET body = json_set(body, '$.version', 99) WHERE epoch = 3";
                writer.execute(sql, []).expect("it is written");
            } else {
                let path = dir.path().join("format");
                let format = std::fs::read_to_string(&path).expect("a file");
                let newer = format.replace("\"format\":1", "\"format\":99");
                assert_ne!(newer, format);
                std::fs::write(path, newer).expect("it is written");
            }
            let error = look(&Question::default(), dir.path(), &view).expect_err("it is newer");
            assert_eq!(error.exit, Exit::Refused, "{error}");
        }
    }

    #[test]
    fn events_that_are_removed_meanwhile_are_named_as_the_reason() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        drop(EmbeddedLog::open(dir.path(), Options::default()).expect("it opens"));
        let told = |from| {
            let reads_from = (0..6).map(|id| (PartitionId(id), Offset(from))).collect();
            or_removed(failure("no such file"), dir.path(), &reads_from).to_string()
        };
        assert_eq!(told(0), "no such file");
        std::fs::write(dir.path().join("events/0/00000000000000000007.segment"), "")
            .expect("only names count");
        assert_eq!(told(7), "no such file");
        assert!(told(6).starts_with("no such file: events that it follows were removed meanwhile"));
    }
}
