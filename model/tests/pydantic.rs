//! The leniency of the decoders against what pydantic said of the same bodies.
//!
//! `pydantic_verdicts.json` was made by `pydantic_verdicts.py`, beside it. Where Tidegate says something
//! else, [`DEVIATIONS`] has the case and the reason; the same list is in `docs/event-format.md`. Only bodies
//! that nest deeper than `DEPTH_MAX` are not in it.

use serde::Deserialize;
use serde_json::{Value, json};
use tidegate_model::event::{DEPTH_MAX, Defaults, Event, Property};
use tidegate_model::time::EventTime;
use uuid::Uuid;

/// Field, inputs, and why one of the two sides refuses what the other takes.
const DEVIATIONS: &[(&str, &[&str], &str)] = &[
    ("*", &["true", "false", r#"{"a":true}"#, r#"{"a":false}"#], "a boolean is no number and no address"),
    (
        "*",
        &["9223372036854775808", "-9223372036854775809", "18446744073709551616", "\"9223372036854775808\""],
        "integers have 64 bits",
    ),
    (
        "properties",
        &[r#"{"a":9223372036854775808}"#, r#"{"a":18446744073709551616}"#, r#"{"a":-9223372036854775809}"#],
        "integers have 64 bits",
    ),
    ("metrics/load_time", &["\"0__1\""], "underscores are single, after leading zeros as well"),
    (
        "timestamp",
        &["94694399999", "7289654400000", "1431857103", "1431857103007000", "1431857103007000000", "0"],
        "milliseconds of the years 1973 to 2200",
    ),
    ("timestamp", &["-1431857103007"], "milliseconds of the years 1973 to 2200"),
    ("context/ip_address", &["5", "4294967296"], "an address is a string"),
    ("context/ip_address", &["\"fe80::1%eth0\""], "a zone means nothing outside of the client"),
    ("properties", &[r#"{"a":1e400}"#, r#"{"a":NaN}"#], "numbers are finite"),
    ("", &[r#"{$,"unknown":1e400}"#, r#"{$,"unknown":NaN}"#], "numbers are finite"),
    ("properties", &[r#"{"a":[],"a":"b"}"#], "the last of equal names counts alone, as in FastAPI"),
];

const DOCS: &str = include_str!("../../docs/event-format.md");

#[derive(Deserialize)]
struct Verdicts {
    verdicts: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    field: String,
    input: String,
    body: String,
    json: Option<(Value,)>,
}

impl Verdict {
    fn deviates(&self) -> bool {
        let listed = |field: &str| {
            DEVIATIONS.iter().any(|(own, inputs, _)| *own == field && inputs.contains(&&*self.input))
        };
        // What is listed for every field deviates in those where pydantic takes it.
        let taken_by_them = self.json.is_some() && !self.field.is_empty();
        let deeper = self.json.is_some() && self.input.matches('[').count() >= DEPTH_MAX as usize;
        listed(&self.field) || taken_by_them && listed("*") || deeper
    }

    /// The value of the field as pydantic would show it.
    fn ours(&self) -> Option<Value> {
        let defaults = Defaults { id: Uuid::nil(), now: EventTime::from_millis(1_700_000_000_000) };
        let event = Event::decode(self.body.as_bytes(), &defaults).ok()?;
        Some(match &*self.field {
            "timestamp" => json!(event.timestamp.as_millis()),
            "metrics/load_time" => json!(event.load_time),
            "metrics/interaction_time" => json!(event.interaction_time),
            "device/screen_width" => json!(event.screen_width),
            "device/screen_height" => json!(event.screen_height),
            "event/type" => json!(event.event_type),
            "user/id" => json!(event.user_id),
            "device/user_agent" => json!(event.user_agent),
            "context/session_id" => json!(event.session_id),
            "context/referrer" if event.referrer.is_none() => Value::Null,
            "context/ip_address" if event.ip_address.is_none() => Value::Null,
            "properties" => event.properties.into_iter().map(|(name, value)| (name, shown(value))).collect(),
            _ => json!(true),
        })
    }
}

fn shown(property: Property) -> Value {
    match property {
        Property::Text(text) => json!(text),
        Property::Int(int) => json!(int),
        Property::Float(float) => json!(float),
    }
}

#[test]
fn bodies_are_taken_and_read_as_pydantic_took_and_read_them() {
    let table: Verdicts = serde_json::from_str(include_str!("pydantic_verdicts.json")).expect("a table");
    assert!(table.verdicts.len() > 300, "the table is whole");
    let mut differences = Vec::new();
    for verdict in &table.verdicts {
        let theirs = verdict.json.as_ref().map(|(value,)| value.clone());
        let ours = verdict.ours();
        if (ours == theirs) == verdict.deviates() {
            differences.push(format!("{} {}: {ours:?}, theirs {theirs:?}", verdict.field, verdict.input));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_deviation_was_measured_and_is_in_the_docs() {
    let table: Verdicts = serde_json::from_str(include_str!("pydantic_verdicts.json")).expect("a table");
    for (field, inputs, reason) in DEVIATIONS {
        for input in *inputs {
            let listed =
                |verdict: &Verdict| verdict.input == *input && (*field == "*" || verdict.field == *field);
            assert!(table.verdicts.iter().any(listed), "{field} {input}: {reason}");
        }
        assert!(DOCS.contains(reason), "docs/event-format.md has a row with: {reason}");
    }
}
