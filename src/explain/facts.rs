//! What is known before anything is explained.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tidegate_dataflow::settings::TimeSettings;
use tidegate_model::{Epoch, EventTime, JobStart, Offset, Op, PartitionId};

use super::bound::Bindings;
use super::subject::{Rules, Subject};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) subject: Subject,
    /// Any instant in the window or session.
    pub(crate) instant: EventTime,
    /// An event type, a device category or a session's name; every one of the window without it.
    pub(crate) key: Option<String>,
}

/// A row, by its columns.
pub(crate) type Columns = Map<String, Value>;

/// A record that is this job's business, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) time: EventTime,
    /// When the log took it in; not known of one that only `dropped_events` still has.
    pub(crate) append_time: Option<EventTime>,
    /// Event type or device category; of a session its user.
    pub(crate) key: String,
}

/// Where records lie.
pub(crate) type At = (PartitionId, Offset);

/// What the journal says of a record that the job did not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DroppedRecord {
    pub(crate) epoch: Epoch,
    pub(crate) reason: String,
}

/// A row that an epoch said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) epoch: Epoch,
    pub(crate) op: Op,
    pub(crate) row: Columns,
}

/// A row of the metric store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) epoch: Epoch,
    pub(crate) row: Columns,
}

/// The starts of the closest windows or sessions that the metric store, or the log, has something of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nearest {
    pub(crate) before: Option<EventTime>,
    pub(crate) after: Option<EventTime>,
}

/// Everything that an explanation follows from.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) question: Question,
    pub(crate) rules: Rules,
    /// When the job began, or began anew.
    pub(crate) start: JobStart,
    pub(crate) time: TimeSettings,
    /// The machine's clock.
    pub(crate) clock: EventTime,
    pub(crate) bindings: Bindings,
    /// The job's records in the window or near the session.
    pub(crate) records: BTreeMap<At, Record>,
    pub(crate) dropped: BTreeMap<At, DroppedRecord>,
    /// Rows of the subject's table, oldest first.
    pub(crate) said: Vec<Said>,
    pub(crate) stored: Vec<Stored>,
    /// For windows over sessions: the rows of sessions that end in the window, oldest first.
    pub(crate) sessions: Vec<Said>,
    /// Where the log of each partition ends.
    pub(crate) ends: BTreeMap<PartitionId, Offset>,
    pub(crate) nearest: Nearest,
    /// What gathering found missing, in sentences.
    pub(crate) untold: Vec<String>,
}
