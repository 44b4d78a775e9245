//! The way of the fast decoder through a body: which names matter where, and what has been found there.

#![expect(
    clippy::inline_always,
    reason = "the position stays in a register only if all of the walk is one function, which is 1.4 times as fast"
)]

use super::cursor::{Cursor, NotJson, Quoted, Span, Token};
use super::{FastEvent, Fields, escape};
use crate::event::lenient::{self, Misfit, Scalar};
use crate::time::EventTime;

/// What has been found of each field so far. As the last of equal names counts, a fault can still be
/// replaced by a value.
pub(super) struct Found {
    /// In the order of [`STRINGS`].
    strings: [Result<Place, Misfit>; 4],
    load_time: Result<Option<i64>, Misfit>,
    interaction_time: Result<Option<i64>, Misfit>,
    timestamp: Result<EventTime, Misfit>,
}

/// The fields that are strings, each with its object and its name in there.
const STRINGS: [(Fields, &str, &str); 4] = [
    (Fields::EVENT_TYPE, "event", "type"),
    (Fields::USER_ID, "user", "id"),
    (Fields::SESSION_ID, "context", "session_id"),
    (Fields::USER_AGENT, "device", "user_agent"),
];

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
    #[inline]
    fn nothing(fields: Fields, default_timestamp: EventTime) -> Self {
        let integer = |field| if fields.contains(field) { Err(Misfit) } else { Ok(None) };
        Self {
            strings: STRINGS.map(
                |(field, ..)| {
                    if fields.contains(field) { Err(Misfit) } else { Ok(Place::EMPTY) }
                },
            ),
            load_time: integer(Fields::LOAD_TIME),
            interaction_time: integer(Fields::INTERACTION_TIME),
            timestamp: Ok(default_timestamp),
        }
    }

    #[inline]
    pub(super) fn event<'a>(&self, body: &'a str, unescaped: &'a str) -> Result<FastEvent<'a>, Misfit> {
        let [event_type, user_id, session_id, user_agent] = self.strings;
        Ok(FastEvent {
            event_type: event_type?.of(body, unescaped),
            user_id: user_id?.of(body, unescaped),
            session_id: session_id?.of(body, unescaped),
            user_agent: user_agent?.of(body, unescaped),
            load_time: self.load_time?,
            interaction_time: self.interaction_time?,
            timestamp: self.timestamp?,
        })
    }
}

/// One pass over one body.
pub(super) struct Walk<'s, 'a> {
    cursor: Cursor<'a>,
    fields: Fields,
    unescaped: &'s mut String,
    pub(super) found: Found,
    default_timestamp: EventTime,
}

/// Depth of the values in the body's object, and in the objects there.
const IN_BODY: u32 = 1;
const IN_SECTION: u32 = 2;

impl<'s, 'a> Walk<'s, 'a> {
    #[inline(always)]
    pub(super) fn new(
        text: &'a str,
        fields: Fields,
        default_timestamp: EventTime,
        unescaped: &'s mut String,
    ) -> Self {
        let found = Found::nothing(fields, default_timestamp);
        Self { cursor: Cursor::new(text), fields, unescaped, found, default_timestamp }
    }

    /// The whole document: whether it is an object.
    #[inline(always)]
    pub(super) fn body(&mut self) -> Result<bool, NotJson> {
        self.cursor.blanks();
        let is_object = self.cursor.peek() == b'{';
        if is_object {
            let mut more = self.cursor.first_member()?;
            while more {
                self.member()?;
                more = self.cursor.another_member()?;
            }
        } else {
            self.cursor.token(0)?;
        }
        self.cursor.end()?;
        Ok(is_object)
    }

    /// A member of the body.
    #[inline(always)]
    fn member(&mut self) -> Result<(), NotJson> {
        match self.name()? {
            b"metrics" => self.metrics(),
            b"timestamp" if self.fields.contains(Fields::TIMESTAMP) => {
                let (default, (_, value)) = (self.default_timestamp, self.value(IN_BODY)?);
                self.found.timestamp = lenient::timestamp(value, default).map_err(|_| Misfit);
                Ok(())
            }
            name => match STRINGS.iter().position(|(_, section, _)| section.as_bytes() == name) {
                Some(index) => self.string_in_section(index),
                None => self.pass(IN_BODY),
            },
        }
    }

    /// The object with the string `STRINGS[index]`. It replaces the one of the same name before it, and
    /// with it the string that was found there.
    #[inline(always)]
    fn string_in_section(&mut self, index: usize) -> Result<(), NotJson> {
        let (field, _, wanted) = STRINGS[index];
        if !self.fields.contains(field) {
            return self.pass(IN_BODY);
        }
        self.found.strings[index] = Err(Misfit);
        self.section(|walk, name| {
            if name != wanted.as_bytes() {
                return walk.pass(IN_SECTION);
            }
            let (place, value) = walk.value(IN_SECTION)?;
            let found = lenient::text(value).map(|_| place);
            walk.found.strings[index] = found;
            Ok(())
        })
    }

    /// The object with the two optional integers, which only an object can leave out.
    #[inline(always)]
    fn metrics(&mut self) -> Result<(), NotJson> {
        let wants_load = self.fields.contains(Fields::LOAD_TIME);
        let wants_interaction = self.fields.contains(Fields::INTERACTION_TIME);
        let absent = if self.cursor.peek() == b'{' { Ok(None) } else { Err(Misfit) };
        if wants_load {
            self.found.load_time = absent;
        }
        if wants_interaction {
            self.found.interaction_time = absent;
        }
        self.section(|walk, name| {
            match name {
                b"load_time" if wants_load => {
                    walk.found.load_time = lenient::optional_integer(walk.value(IN_SECTION)?.1);
                }
                b"interaction_time" if wants_interaction => {
                    walk.found.interaction_time = lenient::optional_integer(walk.value(IN_SECTION)?.1);
                }
                _ => walk.pass(IN_SECTION)?,
            }
            Ok(())
        })
    }

    /// Any value in the body; of an object, each member goes through `member` at its value.
    #[inline(always)]
    fn section(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), NotJson>,
    ) -> Result<(), NotJson> {
        if self.cursor.peek() != b'{' {
            return self.pass(IN_BODY);
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
    #[inline(always)]
    fn name(&mut self) -> Result<&'a [u8], NotJson> {
        let Quoted { span, escaped } = self.cursor.name()?;
        if escaped {
            return Ok(known_name(span.of(self.cursor.text())).as_bytes());
        }
        Ok(&self.cursor.text().as_bytes()[span.start..span.end])
    }

    /// A value that is not wanted.
    #[inline(always)]
    fn pass(&mut self, depth: u32) -> Result<(), NotJson> {
        self.cursor.token(depth).map(|_| ())
    }

    /// A value that is wanted, and where its characters are if it is a string.
    #[inline(always)]
    fn value(&mut self, depth: u32) -> Result<(Place, Scalar<'_>), NotJson> {
        let text = self.cursor.text();
        Ok(match self.cursor.token(depth)? {
            Token::Null => (Place::EMPTY, Scalar::Null),
            Token::Number(span) => (Place::EMPTY, Scalar::Number(span.of(text))),
            Token::Other => (Place::EMPTY, Scalar::Other),
            Token::Text(Quoted { span, escaped: false }) => (Place::Body(span), Scalar::Text(span.of(text))),
            Token::Text(Quoted { span, escaped: true }) => {
                let start = self.unescaped.len();
                escape::unescape_onto(self.unescaped, span.of(text));
                let span = Span { start, end: self.unescaped.len() };
                (Place::Unescaped(span), Scalar::Text(span.of(self.unescaped)))
            }
        })
    }
}

/// Which name that means something is written as `raw`, with escapes in it; the empty one, which means
/// nothing, when it is none of them. Nobody writes names like this, but JSON has it.
#[cold]
fn known_name(raw: &str) -> &'static str {
    let others = ["metrics", "load_time", "interaction_time", "timestamp"];
    let of_strings = STRINGS.iter().flat_map(|(_, section, name)| [*section, *name]);
    let mut known = others.into_iter().chain(of_strings);
    known.find(|name| escape::is_escaped_form(raw, name)).unwrap_or("")
}
