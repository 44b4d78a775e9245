//! Whether epochs come out again as they were committed: the story behind `tidegate replay`.
//!
//! [`plan`] chooses what to start from and which bindings to follow, the runner [computes](tidegate_runner::again)
//! them, and [`compare`] holds the rows against those of the journal. Everything is read beside whoever writes it.

mod bound;
mod compare;
mod plan;
mod report;

use std::fmt::Display;
use std::path::Path;

use tidegate_log::embedded::{EventsView, JournalView};
use tidegate_runner::ObjectSnapshots;
use tidegate_runner::again::{Again, compute_again};
use tidegate_runner::recovery::ReplayEpoch;
use tidegate_runner::snapshot::SnapshotStore;

use self::bound::Bound;
use self::compare::Comparing;
pub(crate) use self::plan::Question;
use self::plan::{Sources, plan};
pub(crate) use self::report::Report;
use crate::assembly::{SNAPSHOTS, topic_of};
use crate::config::Config;
use crate::exit::{CommandError, Exit};

fn failure(error: impl Display) -> CommandError {
    CommandError::new(Exit::Failure, error.to_string())
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
    let mut comparing = Comparing::new(journal, plan.from, &plan.starts, topic_of).map_err(failure)?;
    let (snapshot, workers) = (plan.snapshot, config.worker_threads());
    let started_from = snapshot.as_ref().map(|snapshot| snapshot.restored.epoch());
    let again = Again {
        jobs: plan.jobs,
        hash_key: plan.hash_key,
        starts: plan.starts,
        snapshot,
        epochs: plan.epochs,
        readers: view.readers(&ends, workers).map_err(failure)?,
    };
    compute_again(again, |result| comparing.epoch(result.epoch, &result.rows)).map_err(failure)?;
    Ok(Report { snapshot: started_from, workers, ..comparing.finish().map_err(failure)? })
}

/// What is bound, and a view with the events that it speaks of.
///
/// Of the journal it is one moment, and not for longer than it takes to read it. The segments are listed after that
/// moment began: what was bound by then had been written by then. The other way round an epoch could be bound in
/// between whose events lie in a segment that is not in the list. What retention removes in between is missing in
/// the list, too, whose start says so.
fn look(question: &Question, dir: &Path, journal: &JournalView) -> Result<(Bound, EventsView), CommandError> {
    let _moment = journal.hold().map_err(failure)?;
    let view = EventsView::open(dir).map_err(failure)?;
    let mut bound = Bound::default();
    journal.read_bindings(&mut |binding| bound.add(binding, question.to)).map_err(failure)?;
    Ok((bound, view))
}

#[cfg(test)]
mod tests {
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
}
