//! The data directory of an embedded deployment.

use tidegate_log::embedded::EmbeddedLog;
use tidegate_model::EventTime;

use super::deployment;
use super::finding::{Finding, State};
use crate::commands::ledger::open_journal;
use crate::config::Config;

const PART: &str = "data directory";

/// Looks at the data directory, beside whoever writes it.
pub(super) fn examine(config: &Config, now: EventTime) -> Vec<Finding> {
    let dir = config.data_dir.display().to_string();
    let wrong = |error: &dyn std::fmt::Display| {
        Finding::new(PART, &dir, State::Wrong, "it cannot be used").with_remedy(error)
    };
    if !config.data_dir.exists() {
        return vec![Finding::ok(PART, dir, "not there yet: the first start makes it")];
    }
    let partitions = match EmbeddedLog::partitions_of(&config.data_dir) {
        Ok(Some(partitions)) => partitions,
        Ok(None) => return vec![Finding::ok(PART, dir, "empty: the first start fills it")],
        Err(error) => return vec![wrong(&error)],
    };
    let mut findings = vec![Finding::ok(PART, &dir, format!("{partitions} partitions"))];
    let binding = open_journal(config)
        .and_then(|journal| journal.last_binding().map_err(crate::assembly::journal_error));
    match binding {
        Ok(binding) => findings.extend(deployment::judge(binding.as_ref(), &config.job_settings(), now)),
        Err(error) => findings.push(wrong(&error)),
    }
    findings
}
