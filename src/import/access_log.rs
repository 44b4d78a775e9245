//! Web-server access logs: a line of Common or Combined Log Format into the JSON of a page view.
//!
//! Each line with a parseable time, address and request is one event: `page_view`; `user.id` is the
//! remote address as the log spells it; `session_id` is the address, a hyphen and [`agent_hash`]; the
//! screen is 0 × 0; the URL is the base URL and the path; the referrer is kept when it is an http(s) URL;
//! the timestamp is the line's time. A user agent that is missing or empty is `-`. Bytes that are no
//! UTF-8 become U+FFFD.

mod line;
mod request;
mod text;
mod time;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher24;
use tidegate_model::EventTime;
use tidegate_model::event::{HttpUrl, URL_BYTES_MAX};
use uuid::Uuid;

use super::event_json::PageView;
use line::Fields;
pub use request::STATIC_SUFFIXES;

/// Characters of a faulty field that an error repeats.
const EXCERPT_CHARS_MAX: usize = 60;

/// Why a line is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line begins with a blank or a hyphen.
    #[error("no remote address at the beginning of the line")]
    NoAddress,
    /// What stands first is neither an address nor a host name.
    #[error("{found} is neither an IP address nor a host name")]
    BadAddress {
        /// What stands there.
        found: String,
    },
    /// No brackets.
    #[error("no time in brackets, such as [17/May/2015:10:05:03 +0000]")]
    NoTime,
    /// The brackets hold something else.
    #[error("{found} is no time of the years 1973 to 2199 such as 17/May/2015:10:05:03 +0000")]
    BadTime {
        /// What stands there.
        found: String,
    },
    /// Nothing is quoted behind the time.
    #[error("no request in quotes behind the time")]
    NoRequest,
    /// The line ends within the request.
    #[error("the line ends within the request: its closing quote is missing")]
    UnclosedRequest,
    /// What is quoted is no request.
    #[error("{found} is no request such as GET /path HTTP/1.1")]
    BadRequest {
        /// What stands there.
        found: String,
    },
    /// No event may hold a URL of that length.
    #[error("the URL would be {bytes} bytes long; an event holds {URL_BYTES_MAX}")]
    LongUrl {
        /// Its length.
        bytes: usize,
    },
}

/// What a line became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Converted<'a> {
    /// An event.
    Event {
        /// Its canonical JSON.
        json: &'a [u8],
        /// Its `user.id`.
        user_id: &'a str,
        /// Its timestamp.
        time: EventTime,
    },
    /// A static file, which was asked to be left out.
    StaticFile,
}

/// Turns lines into events; its buffers serve every line.
#[derive(Debug)]
pub struct Converter {
    base_url: String,
    pages_only: bool,
    url: String,
    user_id: String,
    session_id: String,
    ip_address: String,
    json: Vec<u8>,
}

impl Converter {
    /// `base_url` is an http(s) URL without a slash at its end.
    pub fn new(base_url: &str, pages_only: bool) -> Self {
        Self {
            base_url: base_url.to_owned(),
            pages_only,
            url: String::new(),
            user_id: String::new(),
            session_id: String::new(),
            ip_address: String::new(),
            json: Vec::new(),
        }
    }

    /// The event of one line, with the id `id`.
    ///
    /// # Errors
    /// When the line has no time, address or request.
    pub fn convert(&mut self, line: &[u8], id: Uuid) -> Result<Converted<'_>, LineError> {
        let fields = Fields::parse(line)?;
        let request = text::unescape(fields.request);
        let target = request::target(&request)
            .ok_or_else(|| LineError::BadRequest { found: excerpt(fields.request) })?;
        let (slash, path) = request::path(target);
        if self.pages_only && request::is_static(path) {
            return Ok(Converted::StaticFile);
        }
        self.url.clear();
        self.url.push_str(&self.base_url);
        self.url.push_str(slash);
        request::push_encoded(&mut self.url, path);
        if self.url.len() > URL_BYTES_MAX {
            return Err(LineError::LongUrl { bytes: self.url.len() });
        }
        let agent = fields.agent.filter(|agent| !agent.is_empty()).unwrap_or(b"-");
        let agent = text::readable(text::unescape(agent));
        let referrer = fields.referrer.map(|referrer| text::readable(text::unescape(referrer)));
        self.user_id.clear();
        self.user_id.push_str(std::str::from_utf8(fields.address).expect("addresses are ASCII"));
        push_session_id(&mut self.session_id, &self.user_id, &agent);
        self.json.clear();
        let event = PageView {
            id,
            user_id: &self.user_id,
            user_agent: &agent,
            url: &self.url,
            referrer: referrer.as_deref().filter(|referrer| is_http_url(referrer)),
            ip_address: match ip(fields.address) {
                // An address that is accepted at all has only this one spelling.
                Some(IpAddr::V4(_)) => Some(&self.user_id),
                Some(IpAddr::V6(address)) => {
                    self.ip_address = address.to_string();
                    Some(&self.ip_address)
                }
                None => None,
            },
            session_id: &self.session_id,
            timestamp: fields.time,
        };
        event.write(&mut self.json);
        Ok(Converted::Event { json: &self.json, user_id: &self.user_id, time: fields.time })
    }
}

/// The SipHash-2-4 of a user agent (as the event holds it) under the key zero. Sessions are named after
/// it, so it never changes.
pub fn agent_hash(user_agent: &str) -> u64 {
    SipHasher24::new().hash(user_agent.as_bytes())
}

fn push_session_id(session_id: &mut String, user_id: &str, agent: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    session_id.clear();
    session_id.push_str(user_id);
    session_id.push('-');
    for byte in agent_hash(agent).to_be_bytes() {
        session_id.push(char::from(HEX[usize::from(byte >> 4)]));
        session_id.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// The address, when it is one and no host name.
fn ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    match text.as_bytes().first()? {
        b'0'..=b'9' if !text.contains(':') => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        _ if text.contains(':') => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    }
}

/// Whether an event may hold `text` as a URL. Most referrers are so plain that a look at the host
/// decides; the rest is left to the model.
fn is_http_url(text: &str) -> bool {
    text.len() <= URL_BYTES_MAX && (is_plain_http_url(text) || HttpUrl::parse(text).is_ok())
}

/// An http(s) URL whose host is made of letters, digits, hyphens and dots, is no number and no encoded
/// international name, and is followed by a slash. Behind that slash everything is a valid path.
fn is_plain_http_url(text: &str) -> bool {
    let behind = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some((host, _)) = behind.and_then(|behind| behind.split_once('/')) else { return false };
    let last_label = host.rsplit('.').next().unwrap_or_default();
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && last_label.starts_with(|c: char| c.is_ascii_alphabetic())
        && !host.split('.').any(|label| label.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("xn--")))
}

/// The beginning of a faulty field, quoted, on one line.
fn excerpt(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let mut chars = text.chars();
    let cut: String = chars.by_ref().take(EXCERPT_CHARS_MAX).collect();
    if chars.next().is_some() { format!("{cut:?}…") } else { format!("{cut:?}") }
}
