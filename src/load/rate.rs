//! How often a request is due.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A rate of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many thousandths of an event in a second; at least 1.
    PerSecond {
        /// Thousandths of an event.
        millis: u64,
    },
    /// As fast as the answers come: the next request of a connection is due when the one before is answered.
    Max,
}

/// What a rate may be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number of events a second from 0.001 to {RATE_MAX}, or max; found {found:?}")]
pub struct RateError {
    found: String,
}

/// The largest rate, in events a second.
const RATE_MAX: u32 = 1_000_000;

impl Rate {
    /// So many events in a second, to three decimals.
    ///
    /// # Errors
    /// When it is out of range.
    pub fn per_second(events: f64) -> Result<Self, RateError> {
        if !(0.001..=f64::from(RATE_MAX)).contains(&events) {
            return Err(RateError { found: events.to_string() });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked")]
        let millis = (events * 1e3).round() as u64;
        Ok(Self::PerSecond { millis })
    }

    /// When request `index`, counted from 0, is due after the start; `None` where that is not known before.
    pub fn due(self, index: u64) -> Option<Duration> {
        let Self::PerSecond { millis } = self else { return None };
        let nanos = u128::from(index) * 1_000_000_000_000 / u128::from(millis);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// How many requests are due before `elapsed` has passed.
    pub fn due_before(self, elapsed: Duration) -> Option<u64> {
        let Self::PerSecond { millis } = self else { return None };
        let events = (elapsed.as_nanos() * u128::from(millis)).div_ceil(1_000_000_000_000);
        Some(u64::try_from(events).unwrap_or(u64::MAX))
    }

    /// Events a second.
    pub fn events_per_second(self) -> Option<f64> {
        match self {
            Self::PerSecond { millis } => Some(millis as f64 / 1e3),
            Self::Max => None,
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let number: f64 = text.parse().map_err(|_| RateError { found: text.to_owned() })?;
        Self::per_second(number)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.events_per_second() {
            Some(number) => write!(f, "{number}"),
            None => f.write_str("max"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_says_when_each_request_is_due() {
        for (text, index, micros) in
            [("1000", 0, 0), ("1000", 7, 7_000), ("3", 1, 333_333), ("0.5", 3, 6_000_000), ("1000000", 5, 5)]
        {
            let rate: Rate = text.parse().expect(text);
            let due = rate.due(index).expect("it is no maximum");
            assert_eq!(due.as_micros(), micros, "{text}");
            assert_eq!(rate.due_before(due), Some(index), "{text}: it is due at that time, not before");
            assert_eq!(rate.due_before(due + Duration::from_nanos(1)), Some(index + 1), "{text}");
            assert_eq!(rate.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_no_rates() {
        for text in ["", "0", "-1", "1e9", "NaN", "inf", "fast", "Max"] {
            let error = text.parse::<Rate>().expect_err(text).to_string();
            assert!(error.contains("or max; found"), "{error}");
        }
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!((Rate::Max.due(1), Rate::Max.due_before(Duration::MAX)), (None, None));
    }
}
