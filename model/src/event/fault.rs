//! What can be wrong with a body, in words for the person who sent it.

use std::fmt;

/// How many characters of an offending value an error shows.
const EXCERPT_CHARS_MAX: usize = 60;

/// Why a body is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is no JSON document in UTF-8.
    #[error("not JSON at line {line}, column {column}: {reason}")]
    NotJson {
        /// The line, counted from 1.
        line: usize,
        /// The column, in bytes; 0 stands for the end of the line before.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The body is JSON but does not fit. These are all of its faults, except that the faults of
    /// `properties` beyond the first 32 are only counted.
    #[error("{}", join(.0))]
    Faults(Vec<Fault>),
}

fn join(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}

/// One value that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: an RFC 6901 pointer such as `/device/screen_width`; empty for the whole body.
    pub pointer: String,
    /// The beginning of the offending JSON text; `nothing` when the field is missing.
    pub value: String,
    /// What would have fitted.
    pub expected: String,
}

impl Fault {
    /// A fault of the value with the JSON text `json`, or of a missing one.
    pub(super) fn new(pointer: String, json: Option<&str>, expected: impl Into<String>) -> Self {
        let value = json.map_or_else(|| "nothing".to_owned(), excerpt);
        Self { pointer, value, expected: expected.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "body" } else { &self.pointer };
        write!(f, "{place}: expected {}, found {}", self.expected, self.value)
    }
}

/// The first characters of `json`, on one line.
fn excerpt(json: &str) -> String {
    let mut chars = json.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text: String = chars.by_ref().take(EXCERPT_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

/// `name` as a segment of an RFC 6901 pointer, the slash included.
pub(super) fn segment(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_between_characters() {
        let cut = excerpt(&"ü".repeat(EXCERPT_CHARS_MAX + 1));
        assert_eq!(cut, format!("{}…", "ü".repeat(EXCERPT_CHARS_MAX)));
        assert_eq!(excerpt("[1,\n 2]"), "[1,  2]");
    }

    #[test]
    fn faults_read_as_one_sentence() {
        let faults = vec![
            Fault::new(segment("a/b~c"), Some("true"), "a string"),
            Fault::new(String::new(), None, "an object"),
        ];
        assert_eq!(
            DecodeError::Faults(faults).to_string(),
            "/a~1b~0c: expected a string, found true; body: expected an object, found nothing"
        );
    }
}
