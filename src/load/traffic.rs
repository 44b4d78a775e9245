//! What a run sends, one event after the other, and how late each is reported.
//!
//! A function of its configuration: equal ones give equal traffic, at any rate and on any machine. It knows no
//! clock: an event's time is the time at which it is due minus its lag.

#[cfg(test)]
mod tests;

use super::random::Random;
use super::{Act, Visitors};

/// What decides the traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficConfig {
    /// How many users there are, from 1 to [`USERS_MAX`].
    pub users: u32,
    /// Decides everything that looks random.
    pub seed: u64,
    /// How far events are out of order: each happened up to so long before it is sent.
    pub disorder_ms: u32,
    /// The share of events that come from devices that were offline, from 0 to 1.
    pub late: f64,
    /// How long such a device was offline at most.
    pub late_ms_max: u32,
}

/// How many users there may be: each takes four bytes.
pub const USERS_MAX: u32 = 10_000_000;
/// Events that a device has gathered while it was offline: from here…
const BURST_MIN: u32 = 5;
/// …to here.
const BURST_MAX: u32 = 24;

impl Default for TrafficConfig {
    fn default() -> Self {
        Self { users: 10_000, seed: 1, disorder_ms: 0, late: 0.0, late_ms_max: 300_000 }
    }
}

/// An event to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What happened.
    pub act: Act,
    /// How long before it is due it happened.
    pub lag_ms: u32,
    /// Whether the device was offline.
    pub is_late: bool,
}

/// Traffic without end.
#[derive(Clone, Debug)]
pub struct Traffic {
    config: TrafficConfig,
    visitors: Visitors,
    random: Random,
    planned: u64,
    late: u64,
    burst: Option<Burst>,
}

/// What a device has gathered and sends at once, oldest first.
#[derive(Clone, Copy, Debug)]
struct Burst {
    user: u32,
    lag_ms: u32,
    step_ms: u32,
    left: u32,
}

impl Traffic {
    /// Traffic from its beginning.
    pub fn new(config: TrafficConfig) -> Self {
        let users = config.users.clamp(1, USERS_MAX);
        let visitors = Visitors::new(users, config.seed);
        let random = Random::new(!config.seed);
        Self { config, visitors, random, planned: 0, late: 0, burst: None }
    }

    /// Begins a burst whenever its first half is owed: so the share is kept however short the run is.
    fn is_burst_owed(&self) -> bool {
        let ahead = f64::from(BURST_MIN + BURST_MAX) / 4.0;
        self.late as f64 + ahead <= self.config.late * (self.planned as f64 + ahead)
    }

    /// A device was offline for half of the limit at least, and its events spread over four fifths of that time.
    fn begin_burst(&mut self) -> Burst {
        let longest = self.config.late_ms_max;
        let offline_ms = longest / 2 + self.random.below(longest - longest / 2 + 1);
        let left = BURST_MIN + self.random.below(BURST_MAX - BURST_MIN + 1);
        let step_ms = (offline_ms - offline_ms / 5) / left;
        let user = self.random.below(self.visitors.users());
        Burst { user, lag_ms: offline_ms, step_ms, left }
    }

    fn plan(&mut self) -> Planned {
        let owed = self.burst.is_none() && self.config.late > 0.0 && self.is_burst_owed();
        let burst = if owed { Some(self.begin_burst()) } else { self.burst.take() };
        let Some(burst) = burst else {
            let act = self.visitors.act();
            let lag_ms = self.random.below(self.config.disorder_ms.saturating_add(1));
            return Planned { act, lag_ms, is_late: false };
        };
        let act = self.visitors.act_of(burst.user);
        let (lag_ms, left) = (burst.lag_ms - burst.step_ms, burst.left - 1);
        self.burst = (left > 0).then_some(Burst { lag_ms, left, ..burst });
        self.late += 1;
        Planned { act, lag_ms: burst.lag_ms, is_late: true }
    }
}

impl Iterator for Traffic {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let planned = self.plan();
        self.planned += 1;
        Some(planned)
    }
}
