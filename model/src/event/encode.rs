//! The canonical JSON of an event, as the topic holds it (contract section 2): every field, in the order
//! of contract section 1, without blanks, `null` where an optional one has no value.

use std::fmt::Display;
use std::io::Write as _;

use super::{Event, Property};

impl Event {
    /// Appends the canonical JSON of this event to `out`. [`Event::decode`] reads an equal event from it.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        literal(out, "{\"event\":{\"id\":\"");
        display(out, self.id.as_hyphenated());
        literal(out, "\",\"type\":");
        string(out, &self.event_type);
        literal(out, "},\"user\":{\"id\":");
        string(out, &self.user_id);
        literal(out, "},\"device\":{\"user_agent\":");
        string(out, &self.user_agent);
        literal(out, ",\"screen_width\":");
        display(out, self.screen_width);
        literal(out, ",\"screen_height\":");
        display(out, self.screen_height);
        literal(out, "},\"context\":{\"url\":");
        string(out, self.url.as_str());
        literal(out, ",\"referrer\":");
        match &self.referrer {
            Some(referrer) => string(out, referrer.as_str()),
            None => literal(out, "null"),
        }
        literal(out, ",\"ip_address\":");
        match &self.ip_address {
            Some(address) => {
                literal(out, "\"");
                display(out, address);
                literal(out, "\"");
            }
            None => literal(out, "null"),
        }
        literal(out, ",\"session_id\":");
        string(out, &self.session_id);
        literal(out, "},\"properties\":{");
        for (index, (name, value)) in self.properties.iter().enumerate() {
            literal(out, if index == 0 { "" } else { "," });
            string(out, name);
            literal(out, ":");
            property(out, value);
        }
        literal(out, "},\"metrics\":{\"load_time\":");
        integer_or_null(out, self.load_time);
        literal(out, ",\"interaction_time\":");
        integer_or_null(out, self.interaction_time);
        literal(out, "},\"timestamp\":");
        display(out, self.timestamp.as_millis());
        literal(out, "}");
    }
}

fn literal(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Numbers, ids and addresses, of which no character needs an escape.
fn display(out: &mut Vec<u8>, value: impl Display) {
    write!(out, "{value}").expect("a vector takes every byte");
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a vector takes every byte");
}

fn integer_or_null(out: &mut Vec<u8>, value: Option<i64>) {
    match value {
        Some(value) => display(out, value),
        None => literal(out, "null"),
    }
}

/// A float gets its shortest form that reads back as the same one; it has a point or an exponent, which
/// is what tells it from an integer.
fn property(out: &mut Vec<u8>, value: &Property) {
    match value {
        Property::Text(text) => string(out, text),
        Property::Int(integer) => display(out, integer),
        Property::Float(float) => serde_json::to_writer(out, float).expect("a vector takes every byte"),
    }
}
