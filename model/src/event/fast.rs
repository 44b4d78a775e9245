//! The fast decoder: checks a whole document and borrows from it the few fields that are asked for.
//!
//! It must say what [`Event::decode`](super::Event::decode) says, for the fields that it was asked for:
//! the same documents are no JSON, the same values are faults, and equal values come out. What a value
//! means is therefore asked of `lenient` alone. It knows nothing of the fields it does not read.

mod cursor;
mod escape;
mod fields;
mod scan;

use self::cursor::{Cursor, NotJson, Quoted, Span, Token};
use self::escape::unescape_onto;
pub use self::fields::Fields;
use super::lenient::{self, Misfit, Scalar};
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
        let mut walk = Walk {
            cursor: Cursor::new(text),
            fields: self.fields,
            unescaped: &mut self.unescaped,
            found: Found::nothing(self.fields, default_timestamp),
            default_timestamp,
        };
        let is_object = walk.body()?;
        let found = walk.found;
        if !is_object {
            return Err(Rejected::Faulty);
        }
        found.event(text, &self.unescaped).map_err(|Misfit| Rejected::Faulty)
    }
}

/// What has been found of each field so far. As the last of equal names
/// counts, a fault can still be replaced by a value.
struct Found {
    event_type: Result<Place, Misfit>,
    user_id: Result<Place, Misfit>,
    session_id: Result<Place, Misfit>,
    user_agent: Result<Place, Misfit>,
    load_time: Result<Option<i64>, Misfit>,
    interaction_time: Result<Option<i64>, Misfit>,
    timestamp: Result<EventTime, Misfit>,
}

/// Where the characters of a string are.
#[derive(Clone, Copy)]
enum Place {
    Body(Span),
    Unescaped(Span),
}

impl Place {
    const EMPTY: Self = Self::Body(Span { start: 0, end: 0 });

    fn of<'a>(self, body: &'a str, unescaped: &'a str) -> &'a str {
        match self {
            Self::Body(span) => span.of(body),
            Self::Unescaped(span) => span.of(unescaped),
        }
    }
}

impl Found {
    /// Before anything was read, each field that is asked for is a fault unless it has a default. That
    /// goes for the metrics as well, because the object around them is required.
    fn nothing(fields: Fields, default_timestamp: EventTime) -> Self {
        let text = |field| if fields.contains(field) { Err(Misfit) } else { Ok(Place::EMPTY) };
        let integer = |field| if fields.contains(field) { Err(Misfit) } else { Ok(None) };
        Self {
            event_type: text(Fields::EVENT_TYPE),
            user_id: text(Fields::USER_ID),
            session_id: text(Fields::SESSION_ID),
            user_agent: text(Fields::USER_AGENT),
            load_time: integer(Fields::LOAD_TIME),
            interaction_time: integer(Fields::INTERACTION_TIME),
            timestamp: Ok(default_timestamp),
        }
    }

    fn event<'a>(&self, body: &'a str, unescaped: &'a str) -> Result<FastEvent<'a>, Misfit> {
        Ok(FastEvent {
            event_type: self.event_type?.of(body, unescaped),
            user_id: self.user_id?.of(body, unescaped),
            session_id: self.session_id?.of(body, unescaped),
            user_agent: self.user_agent?.of(body, unescaped),
            load_time: self.load_time?,
            interaction_time: self.interaction_time?,
            timestamp: self.timestamp?,
        })
    }
}

/// One pass over one body.
struct Walk<'s, 'a> {
    cursor: Cursor<'a>,
    fields: Fields,
    unescaped: &'s mut String,
    found: Found,
    default_timestamp: EventTime,
}

/// Depth of the values in the body's object, and in the objects there.
const IN_BODY: u32 = 1;
const IN_SECTION: u32 = 2;

impl Walk<'_, '_> {
    /// The whole document: whether it is an object.
    fn body(&mut self) -> Result<bool, NotJson> {
        self.cursor.blanks();
        let is_object = self.cursor.peek() == b'{';
        if is_object {
            let mut more = self.cursor.first_member()?;
            while more {
                self.member()?;
                more = self.cursor.another_member()?;
            }
        } else {
            self.cursor.skip(0)?;
        }
        self.cursor.end()?;
        Ok(is_object)
    }

    /// A member of the body.
    fn member(&mut self) -> Result<(), NotJson> {
        match self.name()? {
            Name::Event if self.wants(Fields::EVENT_TYPE) => {
                self.text_in_section(Name::Type, |found| &mut found.event_type)
            }
            Name::User if self.wants(Fields::USER_ID) => {
                self.text_in_section(Name::Id, |found| &mut found.user_id)
            }
            Name::Device if self.wants(Fields::USER_AGENT) => {
                self.text_in_section(Name::UserAgent, |found| &mut found.user_agent)
            }
            Name::Context if self.wants(Fields::SESSION_ID) => {
                self.text_in_section(Name::SessionId, |found| &mut found.session_id)
            }
            Name::Metrics => self.metrics(),
            Name::Timestamp if self.wants(Fields::TIMESTAMP) => {
                let (default, (_, value)) = (self.default_timestamp, self.value(IN_BODY)?);
                self.found.timestamp = lenient::timestamp(value, default).map_err(|_| Misfit);
                Ok(())
            }
            _ => self.cursor.skip(IN_BODY),
        }
    }

    /// An object that replaces the one of the same name before it, and with it the string that was
    /// found there.
    #[inline]
    fn text_in_section(
        &mut self,
        wanted: Name,
        slot: impl Fn(&mut Found) -> &mut Result<Place, Misfit>,
    ) -> Result<(), NotJson> {
        *slot(&mut self.found) = Err(Misfit);
        self.section(|walk, name| {
            if name != wanted {
                return walk.cursor.skip(IN_SECTION);
            }
            let (place, value) = walk.value(IN_SECTION)?;
            let text = lenient::text(value).map(|_| place);
            *slot(&mut walk.found) = text;
            Ok(())
        })
    }

    /// As [`Walk::text_in_section`], for two optional integers, which only an object can leave out.
    fn metrics(&mut self) -> Result<(), NotJson> {
        let absent = if self.cursor.peek() == b'{' { Ok(None) } else { Err(Misfit) };
        if self.wants(Fields::LOAD_TIME) {
            self.found.load_time = absent;
        }
        if self.wants(Fields::INTERACTION_TIME) {
            self.found.interaction_time = absent;
        }
        self.section(|walk, name| {
            match name {
                Name::LoadTime if walk.wants(Fields::LOAD_TIME) => {
                    walk.found.load_time = lenient::optional_integer(walk.value(IN_SECTION)?.1);
                }
                Name::InteractionTime if walk.wants(Fields::INTERACTION_TIME) => {
                    walk.found.interaction_time = lenient::optional_integer(walk.value(IN_SECTION)?.1);
                }
                _ => walk.cursor.skip(IN_SECTION)?,
            }
            Ok(())
        })
    }

    /// Any value in the body; of an object, each member goes through `member` at its value.
    #[inline]
    fn section(
        &mut self,
        mut member: impl FnMut(&mut Self, Name) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        if self.cursor.peek() != b'{' {
            return self.cursor.skip(IN_BODY);
        }
        let mut more = self.cursor.first_member()?;
        while more {
            let name = self.name()?;
            member(self, name)?;
            more = self.cursor.another_member()?;
        }
        Ok(())
    }

    /// The name of a member, up to its value.
    #[inline]
    fn name(&mut self) -> Result<Name, NotJson> {
        let quoted = self.cursor.name()?;
        if !quoted.escaped {
            return Ok(Name::of(quoted.span.of(self.cursor.text())));
        }
        let kept = self.unescaped.len();
        unescape_onto(self.unescaped, quoted.span.of(self.cursor.text()));
        let name = Name::of(&self.unescaped[kept..]);
        self.unescaped.truncate(kept);
        Ok(name)
    }

    /// A value that is wanted, and where its characters are if it is a string.
    #[inline]
    fn value(&mut self, depth: u32) -> Result<(Place, Scalar<'_>), NotJson> {
        let text = self.cursor.text();
        Ok(match self.cursor.token(depth)? {
            Token::Null => (Place::EMPTY, Scalar::Null),
            Token::Number(span) => (Place::EMPTY, Scalar::Number(span.of(text))),
            Token::Other => (Place::EMPTY, Scalar::Other),
            Token::Text(Quoted { span, escaped: false }) => (Place::Body(span), Scalar::Text(span.of(text))),
            Token::Text(Quoted { span, escaped: true }) => {
                let start = self.unescaped.len();
                unescape_onto(self.unescaped, span.of(text));
                let span = Span { start, end: self.unescaped.len() };
                (Place::Unescaped(span), Scalar::Text(span.of(self.unescaped)))
            }
        })
    }

    #[inline]
    fn wants(&self, field: Fields) -> bool {
        self.fields.contains(field)
    }
}

/// The names that mean something to this decoder, in whichever object they do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Event,
    Type,
    User,
    Id,
    Device,
    UserAgent,
    Context,
    SessionId,
    Metrics,
    LoadTime,
    InteractionTime,
    Timestamp,
    Unknown,
}

impl Name {
    #[inline]
    fn of(name: &str) -> Self {
        match name.as_bytes() {
            b"event" => Self::Event,
            b"type" => Self::Type,
            b"user" => Self::User,
            b"id" => Self::Id,
            b"device" => Self::Device,
            b"user_agent" => Self::UserAgent,
            b"context" => Self::Context,
            b"session_id" => Self::SessionId,
            b"metrics" => Self::Metrics,
            b"load_time" => Self::LoadTime,
            b"interaction_time" => Self::InteractionTime,
            b"timestamp" => Self::Timestamp,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
