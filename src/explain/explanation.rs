//! What an explanation says. Its JSON form is what `--format json` prints.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tidegate_model::{Epoch, EventTime, Offset, Op, PartitionId};

use super::facts::Columns;

/// Why rows say what they say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Explanation {
    pub(crate) table: &'static str,
    pub(crate) job: &'static str,
    /// The instant that was asked for.
    pub(crate) instant: EventTime,
    /// The window that it falls into; sessions have none.
    pub(crate) window: Option<Span>,
    /// What was asked for; `null` for every key.
    pub(crate) key: Option<String>,
    pub(crate) as_of: AsOf,
    /// When the job began anew; `null` when that was before everything that is told here.
    pub(crate) begun: Option<Begun>,
    /// The rows that there are, or will be; none when nothing fell into the window.
    pub(crate) rows: Vec<RowStory>,
    /// Where time stands; `null` when everything that was asked for is final.
    pub(crate) waiting: Option<Waiting>,
    /// Where to look instead; `null` when something was found.
    pub(crate) nearest: Option<NearestSpans>,
    /// What cannot be told any more, and why; in sentences.
    pub(crate) untold: Vec<String>,
}

/// The half-open interval `[start, end)` of a window, or the first and the last event of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Span {
    pub(crate) start: EventTime,
    pub(crate) end: EventTime,
}

/// The newest binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct AsOf {
    pub(crate) epoch: Epoch,
    pub(crate) clock: EventTime,
    /// `null` when it has not moved yet.
    pub(crate) frontier: Option<EventTime>,
}

/// How a job began anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Begun {
    /// The first epoch that it takes part in.
    pub(crate) epoch: Epoch,
    /// What begins after this is its business.
    pub(crate) after: EventTime,
    /// What that is, in words.
    #[serde(skip)]
    pub(crate) of: &'static str,
}

impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, after, of } = self;
        write!(f, "the job began anew in epoch {epoch}, with {of} after {after}")
    }
}

/// How a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Its window or session is still open.
    Open,
    /// It was said once.
    Final,
    /// It was said, and said anew.
    Corrected,
    /// It was said, and taken back.
    Retracted,
    /// Events made it, but neither the log nor the metric store has it any more.
    Removed,
    /// It does not come: the job began anew before it was final.
    Never,
    /// No event counts: those that there are were left out.
    Nothing,
}

impl State {
    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Final => "final",
            Self::Corrected => "corrected",
            Self::Retracted => "retracted",
            Self::Removed => "removed",
            Self::Never => "never",
            Self::Nothing => "nothing",
        }
    }
}

/// The story of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RowStory {
    /// Event type or device category; `session|user` of a session.
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) state: State,
    /// The frontier at which it is final.
    pub(crate) final_at: EventTime,
    /// The epoch whose frontier came there; `null` when none did yet, or it is not known any more.
    pub(crate) final_epoch: Option<Epoch>,
    /// The frontier from which on nothing corrects it.
    pub(crate) settled_at: EventTime,
    /// The rows of the metric store.
    pub(crate) stored: Vec<StoredRow>,
    /// What was said of it, oldest first.
    pub(crate) said: Vec<SaidRow>,
    /// Records that count in it.
    pub(crate) records: u64,
    /// The epochs that they came in, oldest first.
    pub(crate) epochs: Vec<Contribution>,
    /// Records in the log that no binding names yet.
    pub(crate) unbound: Vec<Share>,
    /// Records that do not count.
    pub(crate) left_out: Vec<LeftOut>,
}

/// A row of the metric store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct StoredRow {
    /// The epoch that made it.
    pub(crate) version: Epoch,
    pub(crate) columns: Columns,
}

/// A row, as an epoch said it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SaidRow {
    pub(crate) epoch: Epoch,
    pub(crate) op: Op,
    pub(crate) columns: Columns,
}

/// What an epoch brought.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Contribution {
    /// `null`: its binding was pruned.
    pub(crate) epoch: Option<Epoch>,
    /// The clock at its end.
    pub(crate) clock: Option<EventTime>,
    /// Its frontier; `null` when that had not moved yet.
    pub(crate) frontier: Option<EventTime>,
    /// The row was final before: what the epoch brought corrects it.
    pub(crate) late: bool,
    /// Where its records lie.
    pub(crate) partitions: Vec<Share>,
    /// The sessions that it closed or changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) sessions: Vec<SaidRow>,
}

/// Records of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Share {
    pub(crate) partition: PartitionId,
    pub(crate) records: u64,
    /// Half-open ranges that follow each other with gaps.
    pub(crate) offsets: Vec<Offsets>,
}

/// The offsets `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Offsets {
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

/// A record that does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) reason: String,
    pub(crate) time: EventTime,
    pub(crate) partition: PartitionId,
    pub(crate) offset: Offset,
    /// The epoch that left it out, if that is still known.
    pub(crate) epoch: Option<Epoch>,
}

/// What an open row waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Waiting {
    /// `null` when it has not moved yet.
    pub(crate) frontier: Option<EventTime>,
    /// Where it must come to, for the first row that is open.
    pub(crate) must_reach: EventTime,
    pub(crate) short_ms: Option<i64>,
    /// What holds it: the words of `/v1/status`.
    pub(crate) held_by: &'static str,
    /// Partition to reason.
    pub(crate) holding: BTreeMap<PartitionId, &'static str>,
    pub(crate) unmoved_since: Unmoved,
    /// How old the newest binding is, by the machine's clock.
    pub(crate) binding_age_ms: i64,
    /// The binding is so old that no process seems to run.
    pub(crate) stands_still: bool,
    pub(crate) bound_ms: i64,
    pub(crate) partitions: Vec<Standing>,
}

/// Since when the frontier has not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unmoved {
    pub(crate) epoch: Epoch,
    pub(crate) clock: EventTime,
    /// Older bindings were pruned; it may have stood there for longer.
    pub(crate) or_longer: bool,
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Standing {
    pub(crate) partition: PartitionId,
    /// `null` without a record.
    pub(crate) watermark: Option<EventTime>,
    /// The clock of the epoch that brought its last record; that of its first epoch without one.
    pub(crate) last_record: EventTime,
    pub(crate) offset: Offset,
    pub(crate) end_offset: Option<Offset>,
    pub(crate) idle: bool,
}

/// The closest windows or sessions that have something, by their start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NearestSpans {
    pub(crate) before: Option<EventTime>,
    pub(crate) after: Option<EventTime>,
}
