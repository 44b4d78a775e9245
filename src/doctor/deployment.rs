//! What the newest binding says: whether a start with this configuration goes on from it.

use tidegate_dataflow::settings::JobSettings;
use tidegate_model::{Binding, EventTime};
use tidegate_runner::recovery::check_definitions;

use super::finding::{Finding, State};
use crate::config::show_span;

const PART: &str = "deployment";

/// Clocks may be so far apart before anybody is told.
pub(super) const SKEW_MAX_MS: i64 = 1_000;

/// Judges the newest binding; `None` when there is none yet.
pub(super) fn judge(binding: Option<&Binding>, jobs: &JobSettings, now: EventTime) -> Vec<Finding> {
    let Some(binding) = binding else {
        return vec![Finding::ok(PART, "bindings", "none yet: the first start begins it")];
    };
    let age_ms = now.as_millis() - binding.now.as_millis();
    let found = format!(
        "epoch {}, committed {} ago by generation {}",
        binding.epoch,
        show_span(age_ms.max(0)),
        binding.generation
    );
    let mut findings = vec![Finding::ok(PART, "bindings", found)];
    let (what, appended) = ("clock", binding.last_records.values().map(|record| record.appended).max());
    let newest = appended.into_iter().chain([binding.now]).max().unwrap_or(binding.now);
    let ahead_ms = newest.as_millis() - now.as_millis();
    findings.push(if ahead_ms > SKEW_MAX_MS {
        let found = format!("{} behind what was committed", show_span(ahead_ms));
        Finding::new(PART, what, State::Warning, found).with_remedy(
            "synchronise the clocks of this machine, of the dataflow and of the brokers (NTP): time stands still for the \
             dataflow until its clock has caught up",
        )
    } else {
        Finding::ok(PART, what, "not behind what was committed")
    });
    findings.push(match check_definitions(binding, jobs) {
        Ok(()) => Finding::ok(PART, "jobs", "defined as in the newest binding, or new"),
        Err(error) => Finding::new(PART, "jobs", State::Wrong, "defined otherwise than committed rows were")
            .with_remedy(error),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_that_has_not_begun_is_fine() {
        let findings = judge(None, &JobSettings::default(), EventTime::from_millis(0));
        assert!(findings.iter().all(|finding| finding.state == State::Ok), "{findings:?}");
    }
}
