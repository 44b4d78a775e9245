//! Events that somebody sends.
//!
//! Smooth data proves little. There are few keys with many near-misses of the gap, bursts from devices that
//! were offline for minutes, ties, clients of the future, and times on a grid of half seconds, which hits
//! every boundary exactly.

use rand::{Rng, RngExt as _};
use serde_json::json;
use tidegate_model::{DeviceCategory, EventTime, Offset, PartitionId};
use tidegate_oracle::record::TestRecord;

use super::setup::one;

/// `count` events of one client, each `spacing_ms` after the other by its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The partition that they go to.
    pub partition: u32,
    /// The user.
    pub user: u8,
    /// The session's name.
    pub session: u8,
    /// The device.
    pub device: DeviceCategory,
    /// What they say.
    pub kind: Kind,
    /// When the first of them happened.
    pub begin: Begin,
    /// From one to the next.
    pub spacing_ms: i64,
    /// How many there are.
    pub count: u32,
    /// Whether they are replicated, and so acknowledged, at once.
    pub acknowledged: bool,
}

/// What an event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A page was viewed.
    PageView {
        /// Load time in milliseconds.
        load_time: Option<i64>,
    },
    /// Something was clicked.
    Click,
    /// A type that is not in the list.
    Scroll,
    /// No event at all.
    Garbage,
}

/// When the first of some events happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// So long before the clock; after it, if negative.
    BehindClock(i64),
    /// So long after the last event of the session, which may well be closed by now.
    AfterOwn(i64),
}

pub(super) fn draw(rng: &mut impl Rng, gap_ms: i64) -> Send {
    let lag_ms = match rng.random_range(0..23) {
        0..10 => one(rng, &[0, 500, 1_000, 2_000]),
        10..20 => rng.random_range(1..60) * 500,
        20..22 => one(rng, &[gap_ms, gap_ms + 1, 2 * gap_ms, 60_000, 180_000]),
        _ => one(rng, &[-1_000, -60_000, -60_001, -120_000]),
    };
    let near_ms =
        one(rng, &[gap_ms, -gap_ms, gap_ms + 1, -gap_ms - 1, gap_ms / 2, -gap_ms / 2, 0, 2 * gap_ms]);
    let load_time = match rng.random_range(0..10) {
        0..3 => None,
        3..9 => Some(one(rng, &[100, 200, 0, 333])),
        _ => Some(one(rng, &[0, 3_600_000, -1, 3_600_001])),
    };
    Send {
        partition: rng.random_range(0..16),
        user: rng.random_range(0..5),
        session: u8::from(rng.random_ratio(1, 5)),
        device: one(rng, &DeviceCategory::ALL[..3]),
        kind: match rng.random_range(0..16) {
            0..12 => Kind::PageView { load_time },
            12..14 => Kind::Click,
            14 => Kind::Scroll,
            _ => Kind::Garbage,
        },
        begin: if rng.random_ratio(3, 5) { Begin::BehindClock(lag_ms) } else { Begin::AfterOwn(near_ms) },
        spacing_ms: one(rng, &[0, gap_ms, gap_ms / 2, gap_ms + 1, gap_ms - 1, 500, 2 * gap_ms]),
        count: one(rng, &[1, 1, 1, 2, 3, 5, 8, 20]),
        acknowledged: rng.random_ratio(4, 5),
    }
}

impl Kind {
    fn event_type(self) -> &'static str {
        match self {
            Self::PageView { .. } => "page_view",
            Self::Click => "click",
            Self::Scroll => "scroll",
            Self::Garbage => "",
        }
    }
}

impl Send {
    /// One of the events, as a record and as its bytes. Where it lies is for the log to say.
    pub fn event(&self, partition: PartitionId, time: EventTime) -> (TestRecord, Vec<u8>) {
        let load_time = if let Kind::PageView { load_time } = self.kind { load_time } else { None };
        let record = TestRecord {
            partition,
            offset: Offset::ZERO,
            append_time: EventTime::MIN,
            time,
            event_type: self.kind.event_type().to_owned(),
            user_id: format!("u{}", self.user),
            session_id: format!("s{}", self.session),
            device: self.device,
            load_time,
            undecodable: self.kind == Kind::Garbage,
        };
        let value = if record.undecodable {
            b"{\"event\":".to_vec()
        } else {
            json!({
                "event": { "id": "00000000-0000-4000-8000-000000000000", "type": record.event_type },
                "user": { "id": record.user_id },
                "device": { "user_agent": user_agent(self.device), "screen_width": 1, "screen_height": 1 },
                "context": { "url": "http://a.example/", "session_id": record.session_id },
                "properties": {},
                "metrics": { "load_time": load_time },
                "timestamp": time.as_millis(),
            })
            .to_string()
            .into_bytes()
        };
        (record, value)
    }
}

/// A user agent of that category.
fn user_agent(device: DeviceCategory) -> &'static str {
    let agents = ["Mobile", "Tablet", "Bot", "Mozilla/5.0 (X11)"];
    let is_of = |agent: &&&str| DeviceCategory::from_user_agent(agent) == device;
    agents.iter().find(is_of).expect("there is one for each category")
}
