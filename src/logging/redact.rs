//! Which fields are never written, and how the others are written for people.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// What stands in the place of a value.
pub(super) const REDACTED: &str = "[redacted]";

/// Parts of names: a field whose name contains one of them is redacted. The first six are what the old
/// stack redacted, the others tell who somebody is.
const SENSITIVE: [&str; 11] = [
    "password",
    "token",
    "secret",
    "authorization",
    "cookie",
    "api_key",
    "user_id",
    "ip_address",
    "session_id",
    "user_agent",
    "referrer",
];

/// Whether a field of that name is redacted.
pub(super) fn is_sensitive(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    SENSITIVE.iter().any(|part| lower.contains(part))
}

/// The fields of an event for people: the message, then `name=value`.
pub(super) struct HumanFields;

impl<'w> FormatFields<'w> for HumanFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, separator: "", outcome: Ok(()) };
        fields.record(&mut line);
        line.outcome
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    separator: &'static str,
    outcome: fmt::Result,
}

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = std::mem::replace(&mut self.separator, " ");
        let written = match field.name() {
            "message" => write!(self.writer, "{separator}{value:?}"),
            name if is_sensitive(name) => write!(self.writer, "{separator}{name}={REDACTED}"),
            name => write!(self.writer, "{separator}{name}={value:?}"),
        };
        self.outcome = self.outcome.and(written);
    }
}
