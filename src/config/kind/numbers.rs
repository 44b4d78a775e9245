//! Kinds of settings that are numbers: durations, sizes, counts, ports.

use serde_json::{Value as Json, json};

use super::{Kind, Raw, Shown, quote, words};
use crate::config::quantity::{parse_size, parse_span, show_size, show_span};

/// A duration, in milliseconds.
#[derive(Debug)]
pub struct Span {
    /// The shortest one allowed.
    pub min_ms: i64,
    /// The longest one allowed.
    pub max_ms: i64,
}

impl Kind for Span {
    type Value = i64;

    fn parse(&self, raw: &Raw) -> Option<i64> {
        parse_span(raw.text()?).filter(|ms| (self.min_ms..=self.max_ms).contains(ms))
    }

    fn allowed(&self) -> String {
        let (min, max) = (show_span(self.min_ms), show_span(self.max_ms));
        format!("a duration with its unit (ms, s, m, h, d), from {min} to {max}")
    }

    fn unit(&self) -> &'static str {
        "ms"
    }

    fn show(&self, value: &i64) -> Shown {
        let text = show_span(*value);
        Shown { json: json!(value), toml: Some(quote(&text)), text }
    }
}

/// A number of bytes.
#[derive(Debug)]
pub struct Size {
    /// The smallest one allowed.
    pub min: u64,
    /// The largest one allowed.
    pub max: u64,
}

impl Kind for Size {
    type Value = u64;

    fn parse(&self, raw: &Raw) -> Option<u64> {
        let bytes = match raw {
            Raw::Text(text) => parse_size(text),
            other => other.number(),
        };
        bytes.filter(|bytes| (self.min..=self.max).contains(bytes))
    }

    fn allowed(&self) -> String {
        format!("a size such as 64MiB or 10GB, from {} to {}", show_size(self.min), show_size(self.max))
    }

    fn unit(&self) -> &'static str {
        "bytes"
    }

    fn show(&self, value: &u64) -> Shown {
        let text = show_size(*value);
        Shown { json: json!(value), toml: Some(quote(&text)), text }
    }
}

/// A whole number of something.
#[derive(Debug)]
pub struct Count {
    /// The smallest one allowed.
    pub min: u64,
    /// The largest one allowed.
    pub max: u64,
    /// What is counted.
    pub unit: &'static str,
}

impl Kind for Count {
    type Value = u64;

    fn parse(&self, raw: &Raw) -> Option<u64> {
        raw.number().filter(|number| (self.min..=self.max).contains(number))
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn unit(&self) -> &'static str {
        self.unit
    }

    fn show(&self, value: &u64) -> Shown {
        Shown { text: value.to_string(), json: json!(value), toml: Some(value.to_string()) }
    }
}

/// A TCP port.
#[derive(Debug)]
pub struct Port;

impl Kind for Port {
    type Value = u16;

    fn parse(&self, raw: &Raw) -> Option<u16> {
        u16::try_from(raw.number()?).ok().filter(|port| *port != 0)
    }

    fn allowed(&self) -> String {
        "a port from 1 to 65535".to_owned()
    }

    fn show(&self, value: &u16) -> Shown {
        Shown { text: value.to_string(), json: json!(value), toml: Some(value.to_string()) }
    }
}

/// A setting that need not have a value. `unset` says so where a lower layer set one.
#[derive(Debug)]
pub struct Maybe<K>(pub K);

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn parse(&self, raw: &Raw) -> Option<Option<K::Value>> {
        if raw.text() == Some("unset") { Some(None) } else { self.0.parse(raw).map(Some) }
    }

    fn allowed(&self) -> String {
        format!("{}, or \"unset\"", self.0.allowed())
    }

    fn unit(&self) -> &'static str {
        self.0.unit()
    }

    fn show(&self, value: &Option<K::Value>) -> Shown {
        value
            .as_ref()
            .map_or_else(|| Shown { json: Json::Null, ..words("unset") }, |value| self.0.show(value))
    }
}
