//! Tumbling windows. All windows are half-open: `start` belongs to the window, `end` does not.

use serde::{Deserialize, Serialize};

use crate::time::{EventTime, millis};

/// The half-open interval of event time `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first instant inside.
    #[serde(with = "millis")]
    pub start: EventTime,
    /// The first instant after it.
    #[serde(with = "millis")]
    pub end: EventTime,
}

/// Windows of one size that follow each other without a gap, aligned to the unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tumbling {
    size_ms: i64,
}

impl Tumbling {
    /// Windows of `size_ms` milliseconds, which must be positive.
    pub fn new(size_ms: i64) -> Self {
        assert!(size_ms > 0, "a window lasts at least a millisecond");
        Self { size_ms }
    }

    /// The size of each window in milliseconds.
    pub fn size_ms(self) -> i64 {
        self.size_ms
    }

    /// The window that `instant` falls into.
    pub fn window_of(self, instant: EventTime) -> Window {
        let start = instant.as_millis().div_euclid(self.size_ms) * self.size_ms;
        self.starting_at(EventTime::from_millis(start))
    }

    /// The window that starts at `start`, which must be aligned.
    pub fn starting_at(self, start: EventTime) -> Window {
        debug_assert_eq!(start.as_millis().rem_euclid(self.size_ms), 0, "aligned to the epoch");
        Window { start, end: start.plus_ms(self.size_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_on_the_boundary_belongs_to_the_later_window() {
        let minutes = Tumbling::new(60_000);
        let boundary = EventTime::from_millis(120_000);
        assert_eq!(minutes.window_of(boundary).start, boundary);
        assert_eq!(minutes.window_of(boundary.minus_ms(1)).end, boundary);
    }

    #[test]
    fn windows_before_1970_are_aligned_as_well() {
        let window = Tumbling::new(60_000).window_of(EventTime::from_millis(-1));
        assert_eq!((window.start.as_millis(), window.end.as_millis()), (-60_000, 0));
    }
}
