//! Whether epochs come out again as they were committed: the story behind `tidegate replay`.
//!
//! [`plan`] chooses what to start from and which bindings to follow, the runner [computes](tidegate_runner::again)
//! them, and [`compare`] holds the rows against those of the journal. Everything is read beside whoever writes it.

mod compare;
mod plan;
mod report;

use std::path::Path;

use tidegate_log::embedded::{EventsView, JournalView};
use tidegate_runner::again::{Again, compute_again};

pub(crate) use self::plan::Question;
pub(crate) use self::report::Report;
use crate::config::Config;
use crate::exit::{CommandError, Exit};

/// Computes the epochs asked for once more, and says what came of it.
pub(crate) fn replay(
    question: &Question,
    config: &Config,
    journal: &JournalView,
) -> Result<Report, CommandError> {
    let failure = |error: &dyn std::fmt::Display| CommandError::new(Exit::Failure, error.to_string());
    // Before the list of segments: whatever is bound at that moment was written by then.
    let _moment = journal.hold().map_err(|error| failure(&error))?;
    let dir = Path::new(&config.data_dir);
    let view = EventsView::open(dir).map_err(|error| failure(&error))?;
    let plan = plan::plan(question, config, journal, &view)?;
    let mut comparing = compare::Comparing::new(&plan, config, journal);
    let ends = plan.epochs.last().map(tidegate_runner::recovery::ReplayEpoch::ends).unwrap_or_default();
    let again = Again {
        jobs: plan.jobs.clone(),
        hash_key: plan.hash_key,
        starts: plan.starts.clone(),
        snapshot: plan.snapshot.clone(),
        epochs: plan.epochs.clone(),
        readers: view.readers(&ends, config.worker_threads()).map_err(|error| failure(&error))?,
    };
    compute_again(again, |result| comparing.epoch(result)).map_err(|error| failure(&error))?;
    comparing.finish(&plan, config.worker_threads())
}
