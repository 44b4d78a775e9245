//! A pull parser over the text of one document. It checks the whole grammar of JSON and builds nothing:
//! what it hands out are places in the text.
//!
//! It takes what `serde_json` takes: escapes must name characters, so a lone surrogate is an error;
//! numbers must be finite as doubles; and containers nest no deeper than [`DEPTH_MAX`].
//!
//! The position is worth keeping in a register: everything that runs for each token is inlined, and what
//! is not gets the position by value instead of a reference to the cursor.

#![expect(
    clippy::inline_always,
    reason = "left to itself the compiler calls these, and passes every result through memory, at 1.4 times the cost"
)]

use super::escape;
use super::scan::first_special;
use crate::event::DEPTH_MAX;

/// The text is no JSON. Where and why is for the strict decoder to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotJson;

/// Half-open range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn of(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

/// A string between its quotes, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted {
    pub(super) span: Span,
    pub(super) escaped: bool,
}

/// A value as far as a field can use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Null,
    Text(Quoted),
    Number(Span),
    /// A value that was passed over.
    Other,
}

/// A position in a text. Each method expects a certain thing there and leaves the position behind it.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    #[inline(always)]
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The byte at the position; 0, which no JSON has outside of strings, at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        self.bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Passes over blanks.
    #[inline(always)]
    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() != byte {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    /// Blanks and the end of the text.
    #[inline(always)]
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(NotJson) }
    }

    /// The opening quote to the closing one.
    #[inline(always)]
    fn string(&mut self) -> Result<Quoted, NotJson> {
        self.expect(b'"')?;
        let start = self.at;
        let stop = first_special(self.bytes(), start).ok_or(NotJson)?;
        let escaped = self.bytes()[stop] != b'"';
        let end = if escaped { end_of_escaped(self.bytes(), stop)? } else { stop };
        self.at = end + 1;
        Ok(Quoted { span: Span { start, end }, escaped })
    }

    /// The name of a member, and the colon and the blanks that follow it.
    #[inline(always)]
    pub(super) fn name(&mut self) -> Result<Quoted, NotJson> {
        let name = self.string()?;
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        Ok(name)
    }

    /// The opening brace: whether a member follows, at whose name the position is then; otherwise it is
    /// behind the closing brace.
    #[inline(always)]
    pub(super) fn first_member(&mut self) -> Result<bool, NotJson> {
        self.expect(b'{')?;
        self.blanks();
        let empty = self.peek() == b'}';
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// After a member: whether another one follows, as in [`Cursor::first_member`].
    #[inline(always)]
    pub(super) fn another_member(&mut self) -> Result<bool, NotJson> {
        self.blanks();
        let byte = self.peek();
        self.at += 1;
        match byte {
            b',' => {
                self.blanks();
                Ok(true)
            }
            b'}' => Ok(false),
            _ => Err(NotJson),
        }
    }

    #[inline(always)]
    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(NotJson) } else { Ok(()) }
    }

    #[inline(always)]
    fn number(&mut self) -> Result<Span, NotJson> {
        /// The largest finite double has 309 digits, so that fewer of them are always finite.
        const DIGITS_SURE: usize = 308;

        let start = self.at;
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut sure = self.at - start <= DIGITS_SURE;
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
            sure = false;
        }
        let span = Span { start, end: self.at };
        if sure || span.of(self.text).parse().is_ok_and(f64::is_finite) { Ok(span) } else { Err(NotJson) }
    }

    #[inline(always)]
    fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if !self.bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    /// Any value, which lies inside of `depth` containers.
    #[inline(always)]
    pub(super) fn token(&mut self, depth: u32) -> Result<Token, NotJson> {
        match self.peek() {
            b'"' => Ok(Token::Text(self.string()?)),
            b'-' | b'0'..=b'9' => Ok(Token::Number(self.number()?)),
            b'n' => self.word("null").map(|()| Token::Null),
            b't' => self.word("true").map(|()| Token::Other),
            b'f' => self.word("false").map(|()| Token::Other),
            _ => {
                self.at = end_of_container(*self, depth)?;
                Ok(Token::Other)
            }
        }
    }
}

/// The place of the closing quote of a string that stops being plain at `stop`.
#[cold]
fn end_of_escaped(bytes: &[u8], mut stop: usize) -> Result<usize, NotJson> {
    loop {
        match bytes[stop] {
            b'"' => return Ok(stop),
            b'\\' => {
                let (_, after) = escape::read(bytes, stop).ok_or(NotJson)?;
                stop = first_special(bytes, after).ok_or(NotJson)?;
            }
            // A control character.
            _ => return Err(NotJson),
        }
    }
}

/// The place behind the array or object at the cursor, which lies inside of `depth` others. Not by
/// recursion, so that no document can exhaust the stack.
#[inline(never)]
fn end_of_container(mut cursor: Cursor<'_>, depth: u32) -> Result<usize, NotJson> {
    // One bit for each container that is open, the innermost one lowest: whether it is an object.
    let mut objects: u128 = 0;
    let mut open = 0;
    loop {
        // At a value.
        let byte = cursor.peek();
        if matches!(byte, b'{' | b'[') {
            if depth + open >= DEPTH_MAX {
                return Err(NotJson);
            }
            let object = byte == b'{';
            objects = objects << 1 | u128::from(object);
            open += 1;
            cursor.at += 1;
            cursor.blanks();
            if cursor.peek() != if object { b'}' } else { b']' } {
                if object {
                    cursor.name()?;
                }
                continue;
            }
        } else if open == 0 {
            return Err(NotJson);
        } else {
            // No container, so that this does not come back here.
            cursor.token(DEPTH_MAX)?;
        }
        // A value has ended, and perhaps the containers around it do.
        loop {
            cursor.blanks();
            let byte = cursor.peek();
            cursor.at += 1;
            match (byte, objects & 1 == 1) {
                (b',', object) => {
                    cursor.blanks();
                    if object {
                        cursor.name()?;
                    }
                    break;
                }
                (b'}', true) | (b']', false) => {
                    objects >>= 1;
                    open -= 1;
                    if open == 0 {
                        return Ok(cursor.at);
                    }
                }
                _ => return Err(NotJson),
            }
        }
    }
}
