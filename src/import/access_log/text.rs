//! The quoted fields of an access log: where they end, and what their escapes stand for.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter};

/// Splits `text`, which begins behind an opening quote, at the quote that closes the field. Servers
/// escape quotes inside a field; for those that do not, `closes` says by what follows a quote whether it
/// is the closing one. When none is, the first unescaped one counts; without any there is no end.
pub(super) fn closing_quote(text: &[u8], closes: impl Fn(&[u8]) -> bool) -> Option<(&[u8], &[u8])> {
    let mut quotes = memchr_iter(b'"', text).filter(|at| !is_escaped(text, *at));
    let first = quotes.next()?;
    let closing = std::iter::once(first).chain(quotes).find(|at| closes(&text[at + 1..]));
    let at = closing.unwrap_or(first);
    Some((&text[..at], &text[at + 1..]))
}

/// Whether an odd number of backslashes stands before `at`.
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Undoes the escapes of Apache (`\"`, `\\`, `\n`, `\xHH`, …) and nginx (`\xHH`). A backslash before
/// anything else stands for itself.
pub(super) fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let (meant, used) = match (byte, after) {
            (b'\\', [b'x', high, low, ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => (byte, 1),
            },
            (b'\\', [next @ (b'"' | b'\\'), ..]) => (*next, 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'b', ..]) => (0x08, 2),
            (b'\\', [b'v', ..]) => (0x0b, 2),
            _ => (byte, 1),
        };
        plain.push(meant);
        rest = &rest[used..];
    }
    Cow::Owned(plain)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Text for an event; bytes that are no UTF-8 become U+FFFD.
pub(super) fn readable(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once() {
        for (escaped, plain) in [
            (r"plain", b"plain".as_slice()),
            (r#"a\"b"#, b"a\"b"),
            (r"a\\b", b"a\\b"),
            (r"a\\x41", b"a\\x41"),
            (r"\x41\x0a\xff", b"A\n\xff"),
            (r"\n\r\t\b\v", b"\n\r\t\x08\x0b"),
            (r"\d \x4", br"\d \x4"),
            (r"\xzz", br"\xzz"),
            (r"end\", br"end\"),
        ] {
            assert_eq!(unescape(escaped.as_bytes()).as_ref(), plain, "{escaped}");
        }
    }

    #[test]
    fn an_escaped_quote_does_not_close() {
        let split = |text: &'static str| closing_quote(text.as_bytes(), |rest| rest.starts_with(b" "));
        assert_eq!(split(r#"a" b"#), Some((&b"a"[..], &b" b"[..])));
        assert_eq!(split(r#"a\" b" c"#), Some((&br#"a\" b"#[..], &b" c"[..])));
        assert_eq!(split(r#"a\\" b" c"#), Some((&br"a\\"[..], &br#" b" c"#[..])));
        assert_eq!(split(r#"a"x" c"#), Some((&br#"a"x"#[..], &b" c"[..])));
        assert_eq!(split(r#"a"x"#), Some((&b"a"[..], &b"x"[..])));
        assert_eq!(split("a"), None);
    }
}
