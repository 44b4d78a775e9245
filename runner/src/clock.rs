//! Time and randomness, handed in from outside.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_model::EventTime;

/// A clock.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> EventTime;
}

/// A source of secrets.
pub trait Entropy {
    /// 128 bits that nobody can guess.
    fn secret(&mut self) -> (u64, u64);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the machine's clock comes in")]
    fn now(&self) -> EventTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EventTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX - 1))
    }
}
