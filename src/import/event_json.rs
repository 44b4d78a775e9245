//! The canonical JSON of an event, written without an `Event` in between.
//!
//! The bytes are those of `Event::encode_into`, which a test holds; writing them directly is what makes
//! an import of access logs fast.

use std::io::Write as _;
use std::net::IpAddr;

use tidegate_model::EventTime;
use tidegate_model::names::PAGE_VIEW;
use uuid::Uuid;

/// The parts of a page view that an access log knows. Texts need no escaping yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageView<'a> {
    pub(super) id: Uuid,
    pub(super) user_id: &'a str,
    pub(super) user_agent: &'a str,
    pub(super) url: &'a str,
    pub(super) referrer: Option<&'a str>,
    pub(super) ip_address: Option<IpAddr>,
    pub(super) session_id: &'a str,
    pub(super) timestamp: EventTime,
}

impl PageView<'_> {
    /// Appends the event to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut id = Uuid::encode_buffer();
        out.extend_from_slice(b"{\"event\":{\"id\":\"");
        out.extend_from_slice(self.id.as_hyphenated().encode_lower(&mut id).as_bytes());
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(PAGE_VIEW.as_bytes());
        out.extend_from_slice(b"\"},\"user\":{\"id\":");
        string(out, self.user_id);
        out.extend_from_slice(b"},\"device\":{\"user_agent\":");
        string(out, self.user_agent);
        out.extend_from_slice(b",\"screen_width\":0,\"screen_height\":0},\"context\":{\"url\":");
        string(out, self.url);
        out.extend_from_slice(b",\"referrer\":");
        match self.referrer {
            Some(referrer) => string(out, referrer),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"ip_address\":");
        match self.ip_address {
            Some(address) => write!(out, "\"{address}\"").expect("a vector takes every byte"),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"session_id\":");
        string(out, self.session_id);
        out.extend_from_slice(
            b"},\"properties\":{},\"metrics\":{\"load_time\":null,\"interaction_time\":null},\"timestamp\":",
        );
        write!(out, "{}}}", self.timestamp.as_millis()).expect("a vector takes every byte");
    }
}

/// A JSON string. Runs without an escape are copied whole.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => write!(out, "\\u{other:04x}").expect("a vector takes every byte"),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn strings_are_escaped_as_serde_json_does(text in any::<String>()) {
            let mut own = Vec::new();
            string(&mut own, &text);
            prop_assert_eq!(String::from_utf8(own).expect("UTF-8"), serde_json::json!(text).to_string());
        }
    }

    #[test]
    fn every_control_character_is_escaped_as_serde_json_does() {
        let text: String = (0..0x80_u8).map(char::from).collect();
        let mut own = Vec::new();
        string(&mut own, &text);
        assert_eq!(String::from_utf8(own).expect("UTF-8"), serde_json::json!(text).to_string());
    }
}
