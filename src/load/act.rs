//! What a visitor did. When, and when anybody hears of it, is decided elsewhere.

use std::net::{IpAddr, Ipv4Addr};

use tidegate_model::DeviceCategory;

use super::random::Random;

/// The browsers, with the category that each belongs to.
const AGENTS: [(&str, DeviceCategory); 6] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
        DeviceCategory::Desktop,
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3 Safari/605.1.15",
        DeviceCategory::Desktop,
    ),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:123.0) Gecko/20100101 Firefox/123.0", DeviceCategory::Desktop),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_3_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.3 Mobile/15E148 Safari/604.1",
        DeviceCategory::Mobile,
    ),
    (
        "Mozilla/5.0 (Linux; Android 14; SM-X910 Tablet) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36",
        DeviceCategory::Tablet,
    ),
    ("Mozilla/5.0 (compatible; ExampleBot/2.1; +http://bot.example.com/about.html)", DeviceCategory::Bot),
];

/// An act of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    pub(super) user: u32,
    pub(super) session: u64,
    pub(super) event_type: &'static str,
    pub(super) load_time_ms: Option<u32>,
    /// Decides everything else about it.
    pub(super) seed: u64,
}

impl Act {
    /// The user's number, counted from 0; small ones are busy.
    pub fn user(&self) -> u32 {
        self.user
    }

    /// The user's name.
    pub fn user_id(&self) -> String {
        format!("user-{:08}", self.user)
    }

    /// The session's name: one for each visit.
    pub fn session_id(&self) -> String {
        format!("sess-{:016x}", self.session)
    }

    /// The event's type.
    pub fn event_type(&self) -> &'static str {
        self.event_type
    }

    /// How long the page took to load, in milliseconds; of page views only, and not of all of them.
    pub fn load_time_ms(&self) -> Option<u32> {
        self.load_time_ms
    }

    /// The user agent and its category. A user has one device.
    pub fn agent(&self) -> (&'static str, DeviceCategory) {
        *Random::new(u64::from(self.user)).choose(&AGENTS)
    }

    /// The user's address.
    pub fn address(&self) -> IpAddr {
        let [_, high, middle, low] = self.user.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, high, middle, low))
    }

    /// Random numbers for the details of this act: the same ones each time.
    pub fn details(&self) -> Random {
        Random::new(self.seed)
    }
}
