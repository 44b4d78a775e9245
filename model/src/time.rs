//! Instants in milliseconds since the unix epoch.
//!
//! [`EventTime::MIN`] stands for "before everything" and stays there under arithmetic; that is what an
//! empty frontier is.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An instant, in milliseconds since 1970-01-01T00:00:00Z.
///
/// In JSON a row's instant is an RFC 3339 string in UTC with milliseconds and a `Z`
/// ([`EventTime::to_rfc3339`]); use `#[serde(with = "millis")]` where a number is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(i64);

impl EventTime {
    /// Before every instant.
    pub const MIN: Self = Self(i64::MIN);
    /// After every instant.
    pub const MAX: Self = Self(i64::MAX);

    /// The instant `ms` milliseconds after the unix epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant moved by `ms` milliseconds. `MIN` and `MAX` stay where they are.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        if self.0 == i64::MIN || self.0 == i64::MAX {
            return self;
        }
        Self(self.0.saturating_add(ms))
    }

    /// This instant moved back by `ms` milliseconds. `MIN` and `MAX` stay where they are.
    #[must_use]
    pub const fn minus_ms(self, ms: i64) -> Self {
        self.plus_ms(-ms)
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is the later one.
    pub const fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `2015-05-17T10:05:03.000Z`, the form of contract section 2; `-infinity` and `infinity` for the
    /// two ends, and the plain number of milliseconds beyond the years that RFC 3339 can write.
    pub fn to_rfc3339(self) -> String {
        // Rows are full of instants, and the printer is several times as fast as `strftime`.
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        self.print(|instant| PRINTER.timestamp_to_string(&instant))
    }

    /// `2015-05-17 10:05:03.000`, as ClickHouse prints a `DateTime64(3)` and as the tables hold it.
    pub fn to_table_text(self) -> String {
        self.print(|instant| instant.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
    }

    fn print(self, print: impl Fn(Timestamp) -> String) -> String {
        match self {
            Self::MIN => return "-infinity".to_owned(),
            Self::MAX => return "infinity".to_owned(),
            _ => {}
        }
        match Timestamp::from_millisecond(self.0) {
            Ok(instant) => print(instant),
            Err(_) => self.0.to_string(),
        }
    }

    /// Reads an RFC 3339 instant, in any offset, to the millisecond (further digits are cut off). A
    /// space may stand for the `T` and the offset may be missing (then UTC), as in Flink's JSON.
    ///
    /// # Errors
    /// When the text is no instant.
    pub fn parse(text: &str) -> Result<Self, ParseInstantError> {
        let direct = text.parse::<Timestamp>();
        let instant = direct.or_else(|_| format!("{text}Z").parse::<Timestamp>());
        match instant {
            Ok(instant) => Ok(Self(instant.as_millisecond())),
            Err(_) => Err(ParseInstantError { text: text.to_owned() }),
        }
    }
}

/// The text is no instant.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no RFC 3339 instant such as 2015-05-17T10:05:03.000Z")]
pub struct ParseInstantError {
    text: String,
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_rfc3339())
    }
}

impl Serialize for EventTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// An instant as a plain number of milliseconds, for journals and for exchange between workers; the
/// ends survive.
pub mod millis {
    use super::EventTime;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes the number.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(instant: &EventTime, serializer: S) -> Result<S::Ok, S::Error> {
        instant.as_millis().serialize(serializer)
    }

    /// Reads the number.
    ///
    /// # Errors
    /// When there is no number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventTime, D::Error> {
        i64::deserialize(deserializer).map(EventTime::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_with_milliseconds_and_a_z() {
        let instant = EventTime::from_millis(1_431_857_103_007);
        assert_eq!(instant.to_rfc3339(), "2015-05-17T10:05:03.007Z");
        assert_eq!(instant.to_table_text(), "2015-05-17 10:05:03.007");
    }

    #[test]
    fn instants_are_read_in_every_form_that_the_old_services_wrote() {
        for text in [
            "2015-05-17T10:05:03.007Z",
            "2015-05-17T12:05:03.007+02:00",
            "2015-05-17 10:05:03.007Z",
            "2015-05-17 10:05:03.007",
            "2015-05-17T10:05:03.007999",
        ] {
            let read = EventTime::parse(text).expect(text);
            assert_eq!(read.to_rfc3339(), "2015-05-17T10:05:03.007Z", "{text}");
        }
        assert!(EventTime::parse("yesterday").is_err());
    }

    #[test]
    fn the_ends_do_not_move() {
        assert_eq!(EventTime::MIN.plus_ms(5), EventTime::MIN);
        assert_eq!(EventTime::MAX.minus_ms(5), EventTime::MAX);
    }
}
