//! The canonical JSON of an event, written without an `Event` in between.
//!
//! The bytes are those of `Event::encode_into`, which a test holds; writing them directly is what makes
//! an import of access logs fast.

use std::io::Write as _;

use tidegate_model::EventTime;
use tidegate_model::names::PAGE_VIEW;
use uuid::Uuid;

/// The parts of a page view that an access log knows. Texts are not escaped yet; the address is in its
/// canonical form, and the timestamp is not before 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageView<'a> {
    pub(super) id: Uuid,
    pub(super) user_id: &'a str,
    pub(super) user_agent: &'a str,
    pub(super) url: &'a str,
    pub(super) referrer: Option<&'a str>,
    pub(super) ip_address: Option<&'a str>,
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
            Some(address) => string(out, address),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"session_id\":");
        string(out, self.session_id);
        out.extend_from_slice(
            b"},\"properties\":{},\"metrics\":{\"load_time\":null,\"interaction_time\":null},\"timestamp\":",
        );
        millis(out, self.timestamp);
        out.push(b'}');
    }
}

/// A JSON string. Runs without an escape are copied whole.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, behind) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = behind.split_first() else { break };
        escape(out, byte);
        rest = behind;
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
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

/// The number of bytes before the first one that needs an escape. Eight are looked at together: a byte of
/// the word has its highest bit set in `found` when it is below 0x20, a quote or a backslash. A borrow may
/// set the bit of a byte above such a one as well, but never alone, so that the lowest bit is right.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let below_blank = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = below_blank | is_zero(word ^ (ONES * 0x22)) | is_zero(word ^ (ONES * 0x5c));
        if found != 0 {
            return 8 * index + found.trailing_zeros() as usize / 8;
        }
    }
    let needs_escape = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    8 * words.len() + rest.iter().position(needs_escape).unwrap_or(rest.len())
}

/// A time after 1970, in decimal digits.
fn millis(out: &mut Vec<u8>, time: EventTime) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    let mut rest = time.as_millis().unsigned_abs();
    while rest > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a remainder of ten");
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
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
    fn an_escape_is_found_at_every_place() {
        for length in 0..40 {
            for at in 0..length {
                for byte in ["\"", "\\", "\0", "\u{1f}"] {
                    let mut text = "é".repeat(length / 2) + &"a ".repeat(length);
                    let at = text.floor_char_boundary(at);
                    text.insert_str(at, byte);
                    assert_eq!(plain_run(text.as_bytes()), at, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn times_are_written_in_decimal() {
        for ms in [0, 9, 10, 1_431_857_103_000, i64::MAX] {
            let mut own = Vec::new();
            millis(&mut own, EventTime::from_millis(ms));
            assert_eq!(String::from_utf8(own).expect("ASCII"), ms.to_string());
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
