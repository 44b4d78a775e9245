//! The arguments of `explain`.

use clap::Args;
use tidegate_model::EventTime;

use super::{DataDir, ReportFormat};
use crate::explain::subject::Subject;

pub(super) const AFTER_EXPLAIN: &str = "\
Examples:
  tidegate explain --job event_metrics --window 2026-01-01T00:00:30Z
  tidegate explain --job event_metrics --window 2026-01-01T00:00:30Z --key page_view --format json
  tidegate explain --job PerformanceTracker --window 1767225630000 --key Mobile
  tidegate explain --job session_metrics --window 2026-01-01T00:10:00Z --key sess-1

It tells from which epochs and offsets a row was made, what was said of it and when, and which records were left out; of a \
row that is not final, what holds the frontier, and since when. What was pruned or removed is said, not guessed.";

const JOB: &str = "The table or its job: event_metrics (EventAggregator), performance_metrics (PerformanceTracker), \
session_window_metrics (SessionOverview) or session_metrics (SessionTracker)";
const KEY: &str = "Only this event type, device category or session; session_metrics needs one";

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The table, or its job.
    #[arg(long, value_name = "JOB", help = JOB)]
    pub job: Subject,

    /// Any instant in the window or session: RFC 3339, or milliseconds since 1970
    #[arg(long, value_name = "INSTANT", value_parser = instant, allow_negative_numbers = true)]
    pub window: EventTime,

    /// An event type, a device category or a session.
    #[arg(long, value_name = "KEY", help = KEY)]
    pub key: Option<String>,

    #[command(flatten)]
    pub(super) data_dir: DataDir,

    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    pub format: ReportFormat,
}

fn instant(text: &str) -> Result<EventTime, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(EventTime::from_millis(ms));
    }
    EventTime::parse(text).map_err(|_| {
        "expected an instant such as 2026-01-01T00:00:30Z, or milliseconds since 1970".to_owned()
    })
}
