//! A line of Common or Combined Log Format into its fields, still as they stand there.
//!
//! `[vhost:port ]address ident user [time] "request" status bytes[ "referrer" "agent"[ …]]`. What an event
//! needs is the address, the time and the request; everything else may be missing or odd.

use memchr::{memchr, memchr_iter};
use tidegate_model::EventTime;

use super::text::closing_quote;
use super::{LineError, time};

/// The fields of a line that an event is made of; quoted ones still escaped, without their quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) address: &'a [u8],
    pub(super) time: EventTime,
    pub(super) request: &'a [u8],
    pub(super) referrer: Option<&'a [u8]>,
    pub(super) agent: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, LineError> {
        let (address, rest) = address(line)?;
        let (time, rest) = bracketed_time(rest)?;
        let opening = memchr(b'"', rest).ok_or(LineError::NoRequest)?;
        // Behind the request stands the status, three digits or a hyphen.
        let closes = |rest: &[u8]| matches!(rest, [] | [b' ', b'0'..=b'9' | b'-', ..]);
        let (request, rest) =
            closing_quote(&rest[opening + 1..], closes).ok_or(LineError::UnclosedRequest)?;
        let (referrer, rest) = quoted(rest, |rest| rest.is_empty() || rest.starts_with(b" \""));
        let (agent, _) = quoted(rest, |rest| rest.is_empty() || rest.starts_with(b" "));
        Ok(Self { address, time, request, referrer, agent })
    }
}

/// The address, and what follows it. A virtual host before it is left out.
fn address(line: &[u8]) -> Result<(&[u8], &[u8]), LineError> {
    let (first, rest) = word(line);
    let is_vhost = || {
        let port = first.iter().rposition(|byte| *byte == b':').map(|at| &first[at + 1..]);
        port.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
            && !is_ip(first)
            && is_ip(word(rest).0)
    };
    let (address, rest) = if is_vhost() { word(rest) } else { (first, rest) };
    let named = |byte: &u8| byte.is_ascii_alphanumeric() || b".:-_%[]".contains(byte);
    match address {
        b"" | b"-" => Err(LineError::NoAddress),
        _ if address.len() <= 255 && address.iter().all(named) => Ok((address, rest)),
        _ => Err(LineError::BadAddress { found: super::excerpt(address) }),
    }
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr(b' ', text).unwrap_or(text.len());
    (&text[..end], text.get(end + 1..).unwrap_or_default())
}

fn is_ip(text: &[u8]) -> bool {
    super::ip(text).is_some()
}

/// The first bracket that holds a time; a user's name may hold brackets, too.
fn bracketed_time(text: &[u8]) -> Result<(EventTime, &[u8]), LineError> {
    let mut first = None;
    for open in memchr_iter(b'[', text) {
        let inner = &text[open + 1..];
        let Some(close) = memchr(b']', inner) else { break };
        if let Some(time) = time::parse(&inner[..close]) {
            return Ok((time, &inner[close + 1..]));
        }
        first = first.or(Some(&inner[..close]));
    }
    match first {
        Some(found) => Err(LineError::BadTime { found: super::excerpt(found) }),
        None => Err(LineError::NoTime),
    }
}

/// The next quoted field; one that the line's end cuts off goes to that end.
fn quoted(text: &[u8], closes: impl Fn(&[u8]) -> bool) -> (Option<&[u8]>, &[u8]) {
    let Some(opening) = memchr(b'"', text) else { return (None, &[]) };
    let inner = &text[opening + 1..];
    let (field, rest) = closing_quote(inner, closes).unwrap_or((inner, &[]));
    (Some(field), rest)
}
