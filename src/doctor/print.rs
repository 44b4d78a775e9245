//! Findings in print, for people and for programs: pure functions to text.

use std::fmt::Write as _;

use serde_json::json;

use super::finding::{Finding, State};
use crate::print::aligned;

/// Columns, and below them what to do about what is not as it should be.
pub(super) fn table(findings: &[Finding]) -> String {
    let header = ["PART", "WHAT", "STATE", "FOUND"].map(str::to_owned);
    let rows = findings
        .iter()
        .map(|it| [it.part.to_owned(), it.what.clone(), it.state.word().to_owned(), one_line(&it.found)]);
    let mut text = aligned(&std::iter::once(header).chain(rows).collect::<Vec<_>>(), &[]);
    // What is mended in the same way stands together.
    let same = |one: &Finding, next: &Finding| {
        (one.part, one.state, &one.remedy) == (next.part, next.state, &next.remedy)
    };
    for group in findings.chunk_by(same) {
        let Some(remedy) = &group[0].remedy else { continue };
        let whats: Vec<&str> = group.iter().map(|finding| &*finding.what).collect();
        let _ = write!(text, "\n{}, {}: {}\n", group[0].part, whats.join(", "), group[0].state.word());
        for line in remedy.lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let _ = writeln!(
        text,
        "\n{} ok, {} warnings, {} away, {} wrong",
        count(State::Ok),
        count(State::Warning),
        count(State::Away),
        count(State::Wrong),
    );
    text
}

/// One object.
pub(super) fn json(findings: &[Finding]) -> String {
    let object = |it: &Finding| {
        json!({
            "part": it.part,
            "what": it.what,
            "state": it.state.word(),
            "found": it.found,
            "remedy": it.remedy,
        })
    };
    let ok = findings.iter().all(|finding| finding.state <= State::Warning);
    let all = json!({ "ok": ok, "findings": findings.iter().map(object).collect::<Vec<_>>() });
    serde_json::to_string_pretty(&all).expect("names and texts are plain JSON") + "\n"
}

/// The first line; what comes after it belongs to a remedy.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_stands_below_with_what_to_do() {
        let findings = [
            Finding::ok("kafka", "topic events", "6 partitions"),
            Finding::new("redis", "version", State::Wrong, "6.2.1, expected 7.0 or later")
                .with_remedy("install Redis 7"),
        ];
        let expected = "\
PART   WHAT          STATE  FOUND
kafka  topic events  ok     6 partitions
redis  version       wrong  6.2.1, expected 7.0 or later

redis, version: wrong
  install Redis 7

1 ok, 0 warnings, 0 away, 1 wrong
";
        assert_eq!(table(&findings), expected);
        let json: serde_json::Value = serde_json::from_str(&json(&findings)).expect("an object");
        assert_eq!((&json["ok"], &json["findings"][1]["state"]), (&false.into(), &"wrong".into()));
    }
}
