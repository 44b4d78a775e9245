//! Counts of what the lines of an input were.

use tidegate_model::EventTime;

use crate::import::{Item, Malformed, SkipReason};

/// What the lines were. Every line is counted once under `lines` and once under one of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All lines.
    pub lines: u64,
    /// Those that are events.
    pub events: u64,
    /// Those that are not what they should be.
    pub malformed: u64,
    /// Those left out because only pages were asked for.
    pub static_files: u64,
    /// Those with nothing on them.
    pub blank: u64,
    /// The first malformed ones, no more than were asked for.
    pub first_malformed: Vec<Malformed>,
    /// The earliest and the latest time of an event.
    pub range: Option<(EventTime, EventTime)>,
    malformed_shown_max: usize,
}

impl Tally {
    /// Counts nothing yet; keeps `malformed_shown_max` malformed lines.
    pub fn new(malformed_shown_max: usize) -> Self {
        Self { malformed_shown_max, ..Self::default() }
    }

    /// Counts a line.
    pub fn observe(&mut self, item: &Item<'_>) {
        self.lines += 1;
        match item {
            Item::Event(event) => {
                self.events += 1;
                let (from, to) = self.range.unwrap_or((event.time, event.time));
                self.range = Some((from.min(event.time), to.max(event.time)));
            }
            Item::Malformed(malformed) => {
                self.malformed += 1;
                if self.first_malformed.len() < self.malformed_shown_max {
                    self.first_malformed.push(malformed.clone());
                }
            }
            Item::Skipped(SkipReason::StaticFile) => self.static_files += 1,
            Item::Skipped(SkipReason::Blank) => self.blank += 1,
        }
    }
}
