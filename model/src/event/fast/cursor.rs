//! A pull parser over the text of one document. It checks the whole grammar of JSON and builds nothing:
//! what it hands out are places in the text.
//!
//! It takes what `serde_json` takes: escapes must name characters, so a lone surrogate is an error;
//! numbers must be finite as doubles; and containers nest no deeper than [`DEPTH_MAX`].

use super::super::DEPTH_MAX;
use super::escape;
use super::scan::first_special;

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
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The byte at the position; 0, which no JSON has outside of strings, at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Passes over blanks.
    #[inline]
    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.peek() != byte {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(())
    }

    /// Blanks and the end of the text.
    pub(super) fn end(&mut self) -> Result<(), NotJson> {
        self.blanks();
        if self.at == self.text.len() { Ok(()) } else { Err(NotJson) }
    }

    /// The opening quote to the closing one.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Quoted, NotJson> {
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = first_special(bytes, self.at).ok_or(NotJson)?;
            match bytes[self.at] {
                b'"' => {
                    let span = Span { start, end: self.at };
                    self.at += 1;
                    return Ok(Quoted { span, escaped });
                }
                b'\\' => {
                    (_, self.at) = escape::read(bytes, self.at).ok_or(NotJson)?;
                    escaped = true;
                }
                // A control character.
                _ => return Err(NotJson),
            }
        }
    }

    /// The name of a member, and the colon and the blanks that follow it.
    #[inline]
    pub(super) fn name(&mut self) -> Result<Quoted, NotJson> {
        let name = self.string()?;
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        Ok(name)
    }

    /// After a member: whether another one follows, at whose name the position is then; otherwise it is
    /// behind the closing brace.
    #[inline]
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

    /// The opening brace: whether a member follows, at whose name the position is then; otherwise it is
    /// behind the closing brace.
    #[inline]
    pub(super) fn first_member(&mut self) -> Result<bool, NotJson> {
        self.expect(b'{')?;
        self.blanks();
        let empty = self.peek() == b'}';
        self.at += usize::from(empty);
        Ok(!empty)
    }

    #[inline]
    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(NotJson) } else { Ok(()) }
    }

    #[inline]
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

    fn word(&mut self, word: &str) -> Result<(), NotJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(NotJson);
        }
        self.at += word.len();
        Ok(())
    }

    /// Any value, which lies inside of `depth` containers.
    #[inline]
    pub(super) fn token(&mut self, depth: u32) -> Result<Token, NotJson> {
        match self.peek() {
            b'"' => Ok(Token::Text(self.string()?)),
            b'-' | b'0'..=b'9' => Ok(Token::Number(self.number()?)),
            b'n' => self.word("null").map(|()| Token::Null),
            _ => self.skip(depth).map(|()| Token::Other),
        }
    }

    /// Passes over any value, which lies inside of `depth` containers. Not by recursion, so that no
    /// document can exhaust the stack.
    pub(super) fn skip(&mut self, depth: u32) -> Result<(), NotJson> {
        // One bit for each container that is open, the innermost one lowest: whether it is an object.
        let mut objects: u128 = 0;
        let mut open = 0;
        loop {
            match self.peek() {
                b'"' => {
                    self.string()?;
                }
                byte @ (b'{' | b'[') => {
                    self.at += 1;
                    self.blanks();
                    let object = byte == b'{';
                    if depth + open >= DEPTH_MAX {
                        return Err(NotJson);
                    }
                    if self.peek() != if object { b'}' } else { b']' } {
                        objects = objects << 1 | u128::from(object);
                        open += 1;
                        if object {
                            self.name()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b't' => self.word("true")?,
                b'f' => self.word("false")?,
                b'n' => self.word("null")?,
                _ => {
                    self.number()?;
                }
            }
            // A value has ended, and perhaps the containers around it do.
            loop {
                if open == 0 {
                    return Ok(());
                }
                self.blanks();
                let byte = self.peek();
                self.at += 1;
                match (byte, objects & 1 == 1) {
                    (b',', true) => {
                        self.blanks();
                        self.name()?;
                        break;
                    }
                    (b',', false) => {
                        self.blanks();
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        objects >>= 1;
                        open -= 1;
                    }
                    _ => return Err(NotJson),
                }
            }
        }
    }
}
