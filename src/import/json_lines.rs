//! JSON Lines: an event in the form of the tracking endpoint (contract section 1) on each line.

use tidegate_model::event::{DecodeError, Defaults};
use tidegate_model::{Event, EventTime};
use uuid::Uuid;

/// Why a line is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonLineError {
    /// It does not fit the form; every fault is named.
    #[error("{}", in_line(.0))]
    Decode(#[from] DecodeError),
    /// It has no timestamp. On the endpoint the server's clock would stand in, which says nothing about
    /// an event of the past.
    #[error("/timestamp: an import needs the time of the event, found nothing")]
    NoTimestamp,
}

/// The error without the number of a line within the line, which would be taken for the file's.
fn in_line(error: &DecodeError) -> String {
    match error {
        DecodeError::NotJson { column, reason, .. } => format!("not JSON at column {column}: {reason}"),
        DecodeError::Faults(_) => error.to_string(),
    }
}

/// Turns lines into canonical events; its buffers serve every line.
#[derive(Debug, Default)]
pub struct Converter {
    user_id: String,
    json: Vec<u8>,
}

/// An event of a line.
#[derive(Clone, Copy, Debug)]
pub struct Converted<'a> {
    /// Its canonical JSON, defaults filled in.
    pub json: &'a [u8],
    /// Its `user.id`.
    pub user_id: &'a str,
    /// Its timestamp.
    pub time: EventTime,
}

impl Converter {
    /// The event of one line; `id` is its id unless it has its own.
    ///
    /// # Errors
    /// When the line is no event, or has no timestamp.
    pub fn convert(&mut self, line: &[u8], id: Uuid) -> Result<Converted<'_>, JsonLineError> {
        // No line can name this instant, so that finding it means that the line named none.
        let defaults = Defaults { id, now: EventTime::MIN };
        let event = Event::decode(line, &defaults)?;
        if event.timestamp == EventTime::MIN {
            return Err(JsonLineError::NoTimestamp);
        }
        self.json.clear();
        event.encode_into(&mut self.json);
        self.user_id = event.user_id;
        Ok(Converted { json: &self.json, user_id: &self.user_id, time: event.timestamp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"event":{"type":"click"},"user":{"id":"u"},"device":{"user_agent":"a","screen_width":1,"screen_height":"2"},"context":{"url":"http://a.example","session_id":"s"},"metrics":{},"timestamp":1431857103000}"#;

    fn convert(line: &str) -> Result<String, String> {
        let mut converter = Converter::default();
        match converter.convert(line.as_bytes(), Uuid::from_u128(7)) {
            Ok(event) => Ok(String::from_utf8_lossy(event.json).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn defaults_are_filled_in() {
        let json = convert(LINE).expect("an event");
        assert!(
            json.starts_with(r#"{"event":{"id":"00000000-0000-0000-0000-000000000007","type":"click"}"#),
            "{json}"
        );
        assert!(json.contains(r#""screen_height":2"#), "{json}");
        assert_eq!(convert(&json), Ok(json.clone()), "what comes out goes in");
    }

    #[test]
    fn an_event_without_its_time_is_refused() {
        let line = LINE.replace(r#","timestamp":1431857103000"#, "");
        let error = convert(&line).expect_err("no time");
        assert_eq!(error, "/timestamp: an import needs the time of the event, found nothing");
    }

    #[test]
    fn every_fault_of_a_line_is_named() {
        let line = LINE.replace(r#""id":"u""#, r#""id":5"#).replace("1431857103000", "1431857103");
        let error = convert(&line).expect_err("two faults");
        assert!(error.contains("/user/id") && error.contains("/timestamp"), "{error}");
    }
}
