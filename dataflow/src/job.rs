//! What a job is, and the registry of those there are.
//!
//! A new job is one file in `jobs/` and one line in [`all`]. Its topic, its table and its keys follow
//! from its row type.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_model::binding::Definition;
use tidegate_model::event::Fields;
use tidegate_model::row::SessionMetrics;
use tidegate_model::{EventTime, JobStart, Schema};
use timely::dataflow::{Scope, StreamVec};

use crate::batch::Batch;
use crate::control::Decided;
use crate::epochs::Change;
use crate::fold::HostBuilder;
use crate::jobs::{EventAggregator, PerformanceTracker, SessionOverview, SessionTracker};
use crate::report::Report;
use crate::settings::{EventClock, JobSettings};
use crate::snapshot::{Captures, Restored};

/// Batches, each with the worker that keeps its users.
pub type Batches<'s> = StreamVec<'s, u64, (u64, Arc<Batch>)>;

/// A job.
pub trait Job {
    /// Its name, in the ledger and in headers.
    fn name(&self) -> &'static str;

    /// The rows that it makes.
    fn schema(&self) -> &'static Schema;

    /// The fields of events that it needs.
    fn fields(&self) -> Fields;

    /// Whether it reads events, and so has a ledger; a derived job reads other jobs' rows.
    fn reads_events(&self) -> bool {
        true
    }

    /// What decides its rows.
    fn definition(&self) -> Definition;

    /// When everything is closed that an event at `time` can have opened.
    fn closed_at(&self, time: EventTime) -> EventTime;

    /// Adds its operators to the graph.
    fn build(&self, graph: &mut Building<'_, '_>);
}

/// The graph while the jobs are added to it.
pub struct Building<'a, 's> {
    /// The scope.
    pub scope: Scope<'s, u64>,
    /// The operator that runs the folds of all jobs that are keyed by user: one exchange for all.
    pub by_user: &'a mut HostBuilder<'s>,
    /// The operator that runs folds over the batches where they were read.
    pub local: &'a mut HostBuilder<'s>,
    /// The frontier of each epoch.
    pub decided: StreamVec<'s, u64, Decided>,
    /// The changes of session rows, once `SessionTracker` is built.
    pub sessions: Option<StreamVec<'s, u64, Change<Rc<SessionMetrics>>>>,
    /// The jobs that began, or began anew, after the deployment did.
    pub starts: &'a BTreeMap<String, JobStart>,
    /// Where operators put copies of their state.
    pub captures: &'a Rc<Captures>,
    /// The snapshot to start from.
    pub restored: Option<&'a Arc<Restored>>,
    /// Reports of rows.
    pub reports: Vec<StreamVec<'s, u64, Report>>,
}

impl<'a> Building<'a, '_> {
    /// When `job` began.
    pub fn start_of(&self, job: &str) -> JobStart {
        self.starts.get(job).copied().unwrap_or(JobStart::ORIGIN)
    }

    /// What `job` starts from: nothing when it began, or began anew, after the snapshot was made.
    pub fn restored_for(&self, job: &str) -> Option<&'a Restored> {
        self.restored.map(Arc::as_ref).filter(|restored| self.start_of(job).epoch <= restored.epoch())
    }
}

/// Every job there is, in the order in which they are built: a derived one after what it derives from.
pub fn all(settings: &JobSettings) -> Vec<Box<dyn Job>> {
    vec![
        Box::new(EventAggregator::new(settings)),
        Box::new(SessionTracker::new(settings)),
        Box::new(SessionOverview::new(settings)),
        Box::new(PerformanceTracker::new(settings)),
    ]
}

/// The definitions of all jobs, by name.
pub fn definitions(settings: &JobSettings) -> BTreeMap<String, Definition> {
    all(settings).iter().map(|job| (job.name().to_owned(), job.definition())).collect()
}

/// The fields of events that any job needs.
pub fn fields(settings: &JobSettings) -> Fields {
    all(settings).iter().fold(Fields::TIMESTAMP | Fields::USER_ID, |fields, job| fields | job.fields())
}

/// When everything is closed that events up to some time can have opened.
pub(crate) fn all_closed_at(settings: &JobSettings) -> Rc<dyn Fn(EventTime) -> EventTime> {
    let jobs = all(settings);
    Rc::new(move |time| {
        if time == EventTime::MIN {
            return time;
        }
        jobs.iter().map(|job| job.closed_at(time)).max().unwrap_or(time)
    })
}

/// What decides a job's rows: what it says itself, and what decides those of every job.
pub(crate) fn definition(common: &Common, settings: &[(&str, String)]) -> Definition {
    let common = [
        ("allowed_lateness_ms", common.lateness_ms.to_string()),
        ("event_time", format!("{:?}", common.event_time)),
        ("future_tolerance_ms", common.future_tolerance_ms.to_string()),
        ("row_version", "1".to_owned()),
        ("hash", "siphash-1-3, 64 bits".to_owned()),
    ];
    let settings = settings.iter().cloned().chain(common);
    Definition { settings: settings.map(|(name, value)| (name.to_owned(), value)).collect() }
}

/// The settings that decide the rows of every job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common {
    pub(crate) lateness_ms: i64,
    event_time: EventClock,
    future_tolerance_ms: i64,
}

impl Common {
    pub(crate) fn of(settings: &JobSettings) -> Self {
        Self {
            lateness_ms: settings.allowed_lateness_ms,
            event_time: settings.event_time,
            future_tolerance_ms: settings.future_tolerance_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_makes_the_rows_that_say_so() {
        let jobs = all(&JobSettings::default());
        let said: Vec<_> = jobs.iter().map(|job| (job.schema().table, job.schema().job)).collect();
        let named: Vec<_> = jobs.iter().map(|job| (job.schema().table, job.name())).collect();
        assert_eq!(said, named);
        assert!(Schema::ALL.iter().all(|schema| said.contains(&(schema.table, schema.job))), "{said:?}");
    }
}
