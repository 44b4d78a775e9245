//! Kafka: the brokers, the topics, how long they keep what is in them, and the deployment that they hold.

use tidegate_log::kafka::{
    LookError, OpenError, TopicFault, TopicReport, TopicRole, check_topics, newest_binding,
};
use tidegate_model::EventTime;

use super::deployment;
use super::finding::{Finding, State};
use crate::assembly::kafka_options;
use crate::config::{Config, show_span};

const PART: &str = "kafka";

/// For at least so long should topics keep what is in them: somebody has to mend whatever failed meanwhile.
const OUTAGE_MS: i64 = 3_600_000;

/// Looks at the topics and at the newest binding.
pub(super) fn examine(config: &Config, now: EventTime) -> Vec<Finding> {
    let options = kafka_options(config);
    let reports = match check_topics(&options) {
        Ok(reports) => reports,
        Err(error) => return vec![cannot(&options.bootstrap, &error)],
    };
    let mut findings =
        vec![Finding::ok(PART, options.bootstrap.clone(), "answers, and describes the topics")];
    for report in &reports {
        // What is provisional need not be kept for long.
        let outage_ms = if report.topic == config.topic_live_metrics { 0 } else { OUTAGE_MS };
        let replay_ms = 2 * config.snapshot_every_ms;
        let needs = Needs { replay_ms, outage_ms, refill_ms: refill_ms(config, &report.topic) };
        findings.extend(judge(report, &options.bootstrap, needs));
    }
    let is_bound = |report: &TopicReport| report.role == TopicRole::Epochs && report.found.is_some();
    if reports.iter().any(is_bound) {
        match newest_binding(&options) {
            Ok(binding) => {
                findings.extend(deployment::judge(binding.as_ref(), &config.job_settings(), now));
            }
            Err(LookError::Open(error)) => findings.push(cannot(&options.bootstrap, &error)),
            Err(error) => findings
                .push(Finding::new(PART, "bindings", State::Wrong, "they cannot be read").with_remedy(error)),
        }
    }
    findings
}

fn cannot(bootstrap: &str, error: &OpenError) -> Finding {
    let (state, found) = match error {
        OpenError::Client { .. } => (State::Wrong, "the client's settings are not understood"),
        _ => (State::Away, "it cannot be looked at"),
    };
    Finding::new(PART, bootstrap, state, found).with_remedy(error)
}

/// For how long a topic is to keep what is in it.
#[derive(Clone, Copy)]
#[expect(clippy::struct_field_names, reason = "the unit is part of each name")]
struct Needs {
    /// A start reads so much of the events again.
    replay_ms: i64,
    /// Whoever reads it may be away for so long.
    outage_ms: i64,
    /// A Redis that was emptied is filled again with so much of it.
    refill_ms: i64,
}

/// How far the windows of a topic go back that are kept in a Redis.
fn refill_ms(config: &Config, topic: &str) -> i64 {
    if config.redis_host.is_none() && config.redis_sentinels.is_none() {
        return 0;
    }
    let windows = [
        (&config.topic_event_metrics, config.event_window_ms),
        (&config.topic_performance_metrics, config.performance_window_ms),
        (&config.topic_session_window_metrics, config.session_window_ms),
    ];
    let window_ms = windows.into_iter().find(|(name, _)| *name == topic).map_or(0, |(_, ms)| ms);
    window_ms.saturating_mul(i64::try_from(config.cache_windows_kept).unwrap_or(i64::MAX))
}

/// Judges a topic.
fn judge(report: &TopicReport, bootstrap: &str, needs: Needs) -> Vec<Finding> {
    let what = || format!("topic {}", report.topic);
    let Some(found) = &report.found else {
        let missing = Finding::new(PART, what(), State::Warning, "missing, or this user may not describe it");
        return vec![
            missing.with_remedy(
                "`tidegate topics create` creates it, and so does the start of any role that may",
            ),
        ];
    };
    let kept_ms: Option<i64> = found.settings.get("retention.ms").and_then(|text| text.parse().ok());
    let shown = format!("{} partitions, {} replicas", found.partitions, found.replicas);
    let kept = match kept_ms {
        Some(..0) => ", kept for ever".to_owned(),
        Some(ms) => format!(", kept {}", show_span(ms)),
        None => String::new(),
    };
    let mut findings: Vec<Finding> = report
        .faults
        .iter()
        .map(|fault: &TopicFault| {
            let remedy = fault.remedy(bootstrap);
            Finding::new(PART, what(), State::Wrong, fault.to_string()).with_remedy(remedy)
        })
        .collect();
    if let Some(finding) = kept_ms.and_then(|ms| too_short(report, bootstrap, ms, needs)) {
        findings.push(finding);
    }
    if findings.is_empty() {
        findings.push(Finding::ok(PART, what(), shown + &kept));
    }
    findings
}

/// Whether a topic forgets too soon.
fn too_short(report: &TopicReport, bootstrap: &str, kept_ms: i64, needs: Needs) -> Option<Finding> {
    if kept_ms < 0 {
        return None;
    }
    let Needs { replay_ms, outage_ms, refill_ms } = needs;
    let (state, why) = match report.role {
        TopicRole::Events if kept_ms < replay_ms => {
            (State::Wrong, format!("a start reads {} again (twice snapshot.every)", show_span(replay_ms)))
        }
        TopicRole::Events | TopicRole::Rows if kept_ms < outage_ms => {
            (State::Warning, "whoever reads it and is away for longer loses what is in it".to_owned())
        }
        TopicRole::Rows if kept_ms < refill_ms => (
            State::Warning,
            format!(
                "a Redis that was emptied is filled again with {} of it (cache.windows_kept)",
                show_span(refill_ms)
            ),
        ),
        _ => return None,
    };
    let found = format!("kept {} only: {why}", show_span(kept_ms));
    let wanted = OUTAGE_MS.max(2 * replay_ms).max(refill_ms);
    Some(Finding::new(PART, format!("topic {}", report.topic), state, found).with_remedy(format!(
        "kafka-configs --bootstrap-server {bootstrap} --alter --topic {} --add-config retention.ms={wanted}",
        report.topic
    )))
}

#[cfg(test)]
mod tests {
    use tidegate_log::kafka::TopicFacts;

    use super::*;

    fn report(role: TopicRole, retention_ms: Option<i64>) -> TopicReport {
        let found = retention_ms.map(|ms| TopicFacts {
            partitions: 3,
            replicas: 1,
            min_insync_replicas: Some(1),
            settings: [("retention.ms".to_owned(), ms.to_string())].into(),
        });
        TopicReport { topic: "t".to_owned(), role, found, faults: Vec::new() }
    }

    #[test]
    fn topics_keep_what_somebody_may_still_need() {
        for (role, retention_ms, state) in [
            (TopicRole::Events, None, State::Warning),
            (TopicRole::Events, Some(-1), State::Ok),
            (TopicRole::Events, Some(604_800_000), State::Ok),
            (TopicRole::Events, Some(600_000), State::Warning),
            (TopicRole::Events, Some(59_999), State::Wrong),
            (TopicRole::Rows, Some(59_999), State::Warning),
            (TopicRole::Rows, Some(3_600_000), State::Warning),
            (TopicRole::Rows, Some(7_200_000), State::Ok),
            (TopicRole::Epochs, Some(-1), State::Ok),
        ] {
            let findings = judge(
                &report(role, retention_ms),
                "b:1",
                Needs { replay_ms: 60_000, outage_ms: OUTAGE_MS, refill_ms: 7_200_000 },
            );
            let states: Vec<State> = findings.iter().map(|finding| finding.state).collect();
            assert_eq!(states, [state], "{role:?} {retention_ms:?}: {findings:?}");
            let has_remedy = findings.iter().all(|it| it.remedy.is_some() == (it.state != State::Ok));
            assert!(has_remedy, "{findings:?}");
        }
    }
}
