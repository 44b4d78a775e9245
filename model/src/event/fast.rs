//! The fast decoder: checks a whole document and borrows from it the few fields that are asked for.
//!
//! It must say what [`Event::decode`](super::Event::decode) says, for the fields that it was asked for:
//! the same documents are no JSON, the same values are faults, and equal values come out. What a value
//! means is therefore asked of `lenient` alone. It knows nothing of the fields it does not read.

mod cursor;
mod escape;
mod fields;
mod scan;
mod walk;

use self::cursor::NotJson;
pub use self::fields::Fields;
use self::walk::Walk;
use crate::time::EventTime;

/// What was asked for of an event. Strings that were not asked for are empty, optional numbers `None`,
/// and the timestamp is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FastEvent<'a> {
    /// `event.type`.
    pub event_type: &'a str,
    /// `user.id`.
    pub user_id: &'a str,
    /// `context.session_id`.
    pub session_id: &'a str,
    /// `device.user_agent`.
    pub user_agent: &'a str,
    /// `metrics.load_time`, in milliseconds.
    pub load_time: Option<i64>,
    /// `metrics.interaction_time`, in milliseconds.
    pub interaction_time: Option<i64>,
    /// `timestamp`.
    pub timestamp: EventTime,
}

/// Why a body was not decoded; [`Event::decode`](super::Event::decode) says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is no JSON document in UTF-8.
    #[error("not JSON")]
    NotJson,
    /// A field that was asked for is missing or does not fit.
    #[error("a field is missing or has a value that does not fit")]
    Faulty,
}

impl From<NotJson> for Rejected {
    fn from(_: NotJson) -> Self {
        Self::NotJson
    }
}

/// Reads events without allocating. The room for strings with escapes is kept from one event to the
/// next; it grows to the size of the largest body.
#[derive(Clone, Debug)]
pub struct FastDecoder {
    fields: Fields,
    unescaped: String,
}

impl FastDecoder {
    /// A decoder that reads `fields`.
    pub fn new(fields: Fields) -> Self {
        Self { fields, unescaped: String::new() }
    }

    /// Reads one event; `default_timestamp` is for those that have none.
    ///
    /// # Errors
    /// When the body is no JSON, or when one of the fields asked for does not fit.
    pub fn decode<'a>(
        &'a mut self,
        body: &'a [u8],
        default_timestamp: EventTime,
    ) -> Result<FastEvent<'a>, Rejected> {
        let text = std::str::from_utf8(body).map_err(|_| Rejected::NotJson)?;
        self.unescaped.clear();
        let mut walk = Walk::new(text, self.fields, default_timestamp, &mut self.unescaped);
        let is_object = walk.body()?;
        let found = walk.found;
        let event = found.event(text, &self.unescaped);
        event.ok().filter(|_| is_object).ok_or(Rejected::Faulty)
    }
}

#[cfg(test)]
mod tests;
