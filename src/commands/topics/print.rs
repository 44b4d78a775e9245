//! Topics in print, for people and for programs: pure functions to text.

use std::fmt::Write as _;

use serde_json::json;
use tidegate_log::kafka::{TopicFault, TopicReport, TopicRole};
use tidegate_model::Schema;

use crate::assembly::topic_of;
use crate::config::{Config, show_span};
use crate::print::aligned;

/// What was seen of the topics.
pub(super) struct Seen<'a> {
    pub(super) config: &'a Config,
    pub(super) bootstrap: &'a str,
    pub(super) reports: &'a [TopicReport],
    /// Those that were created just before; `None` when none was to be.
    pub(super) created: Option<Vec<String>>,
}

const HEADER: [&str; 9] =
    ["TOPIC", "FOR", "PARTITIONS", "REPLICAS", "MIN.INSYNC", "TIMESTAMPS", "CLEANUP", "RETENTION", "STATE"];

impl Seen<'_> {
    /// Whether every topic is as it must be.
    pub(super) fn is_ok(&self) -> bool {
        self.reports.iter().all(|report| report.faults.is_empty())
    }

    /// Columns for people, and below them what is wrong.
    pub(super) fn table(&self) -> String {
        let mut text = self.created_lines();
        let header = HEADER.map(str::to_owned);
        let rows = std::iter::once(header).chain(self.reports.iter().map(|report| self.row(report)));
        let rows: Vec<[String; 9]> = rows.collect();
        text.push_str(&aligned(&rows, &[2, 3, 4]));
        for fault in self.reports.iter().flat_map(|report| &report.faults) {
            let _ = write!(text, "\n{fault}\n  {}\n", fault.remedy(self.bootstrap));
        }
        if self.reports.iter().any(is_missing) {
            text.push_str(
                "\n`tidegate topics create` creates whatever is missing; so does the start of any role\n",
            );
        }
        text
    }

    /// Which topics were created, and which were there.
    fn created_lines(&self) -> String {
        let Some(created) = &self.created else { return String::new() };
        let mut text = String::new();
        for TopicReport { topic, .. } in self.reports {
            let word = if created.contains(topic) { "created" } else { "was there" };
            let _ = writeln!(text, "{word:9}  {topic}");
        }
        text.push('\n');
        text
    }

    fn row(&self, report: &TopicReport) -> [String; 9] {
        let setting = |name: &str| {
            let found = report.found.as_ref().and_then(|found| found.settings.get(name));
            found.cloned().unwrap_or_else(|| "-".to_owned())
        };
        let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let found = report.found.as_ref();
        [
            report.topic.clone(),
            self.purpose(report),
            number(found.map(|found| found.partitions)),
            number(found.map(|found| found.replicas)),
            number(found.and_then(|found| found.min_insync_replicas)),
            setting("message.timestamp.type"),
            setting("cleanup.policy"),
            retention(&setting("retention.ms")),
            state(report).to_owned(),
        ]
    }

    /// One object.
    pub(super) fn json(&self) -> String {
        let topics: Vec<_> = self.reports.iter().map(|report| self.object(report)).collect();
        let all = json!({ "bootstrap": self.bootstrap, "ok": self.is_ok(), "topics": topics });
        serde_json::to_string_pretty(&all).expect("names and numbers are plain JSON") + "\n"
    }

    fn object(&self, report: &TopicReport) -> serde_json::Value {
        let found = report.found.as_ref();
        let fault = |fault: &TopicFault| json!({ "problem": fault.to_string(), "remedy": fault.remedy(self.bootstrap) });
        let mut object = json!({
            "topic": report.topic,
            "for": self.purpose(report),
            "state": state(report),
            "partitions": found.map(|found| found.partitions),
            "replicas": found.map(|found| found.replicas),
            "min_insync_replicas": found.and_then(|found| found.min_insync_replicas),
            "settings": found.map(|found| &found.settings),
            "faults": report.faults.iter().map(fault).collect::<Vec<_>>(),
        });
        if let Some(created) = &self.created {
            object["created"] = created.contains(&report.topic).into();
        }
        object
    }

    /// What a topic is for. A log knows of rows only that they are rows.
    fn purpose(&self, report: &TopicReport) -> String {
        let table = || Schema::ALL.into_iter().find(|it| topic_of(self.config, it.table) == report.topic);
        match report.role {
            TopicRole::Events => "events".to_owned(),
            TopicRole::Epochs => "bindings of epochs".to_owned(),
            TopicRole::Rows if report.topic == self.config.topic_live_metrics => {
                "provisional rows".to_owned()
            }
            TopicRole::Rows if report.topic == self.config.topic_dropped_events => {
                "dropped events".to_owned()
            }
            TopicRole::Rows => table().map_or_else(String::new, |schema| format!("rows of {}", schema.table)),
        }
    }
}

fn is_missing(report: &TopicReport) -> bool {
    report.found.is_none()
}

fn state(report: &TopicReport) -> &'static str {
    match report.faults.as_slice() {
        [] => "ok",
        _ if is_missing(report) => "missing",
        _ => "wrong",
    }
}

/// A `retention.ms` in words.
fn retention(text: &str) -> String {
    match text.parse::<i64>() {
        Ok(..0) => "for ever".to_owned(),
        Ok(ms) => show_span(ms),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_log::kafka::TopicFacts;

    use super::*;
    use crate::config::Inputs;

    #[test]
    fn a_line_for_each_topic_and_below_them_what_is_wrong() {
        let config = Inputs::default().resolve().expect("the defaults are valid").config;
        let settings = [
            ("message.timestamp.type", "LogAppendTime"),
            ("cleanup.policy", "delete"),
            ("retention.ms", "604800000"),
        ];
        let found = TopicFacts {
            partitions: 6,
            replicas: 3,
            min_insync_replicas: Some(2),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        let missing = TopicFault::Missing {
            topic: "event_metrics".to_owned(),
            partitions: 3,
            replicas: None,
            settings: vec![("cleanup.policy", "delete")],
        };
        let report =
            |topic: &str, role, found, faults| TopicReport { topic: topic.to_owned(), role, found, faults };
        let reports = [
            report("analytics_events", TopicRole::Events, Some(found), Vec::new()),
            report("event_metrics", TopicRole::Rows, None, vec![missing]),
        ];
        let seen = Seen { config: &config, bootstrap: "b:1", reports: &reports, created: None };
        let expected = "\
TOPIC             FOR                    PARTITIONS  REPLICAS  MIN.INSYNC  TIMESTAMPS     CLEANUP  RETENTION  STATE
analytics_events  events                          6         3           2  LogAppendTime  delete   7d         ok
event_metrics     rows of event_metrics           -         -           -  -              -        -          missing

topic event_metrics is missing, or this user may not describe it
  kafka-topics --bootstrap-server b:1 --create --topic event_metrics --partitions 3 --config cleanup.policy=delete

`tidegate topics create` creates whatever is missing; so does the start of any role
";
        assert_eq!(seen.table(), expected);
        assert!(!seen.is_ok());
    }
}
