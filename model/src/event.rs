//! The event: what the tracking endpoint takes and the topic of events holds (contract section 1).
//!
//! There are two ways to read one. [`Event::decode`] is strict and thorough: it names every fault of a
//! body at once and yields an event that cannot be wrong. [`FastDecoder`] is for the hot path: it
//! borrows the few fields that jobs ask for and allocates nothing. Both take their leniency from one
//! module, and they never disagree: see `docs/event-format.md`.

mod encode;
mod fast;
mod fault;
mod http_url;
mod lenient;
mod raw;
mod strict;

use std::collections::BTreeMap;
use std::net::IpAddr;

use uuid::Uuid;

pub use fast::{FastDecoder, FastEvent, Fields, Rejected};
pub use fault::{DecodeError, Fault};
pub use http_url::{HttpUrl, HttpUrlError, URL_BYTES_MAX};

use crate::time::EventTime;

/// How deep arrays and objects of a body may nest, the body itself included. Deeper ones are no JSON to
/// either decoder. It is the limit that `serde_json` has built in.
pub const DEPTH_MAX: u32 = 127;

/// An event, complete: what the client left out has its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `event.id`; by default a new UUID v7.
    pub id: Uuid,
    /// `event.type`, such as `page_view`.
    pub event_type: String,
    /// `user.id`.
    pub user_id: String,
    /// `device.user_agent`.
    pub user_agent: String,
    /// `device.screen_width`, in pixels.
    pub screen_width: i64,
    /// `device.screen_height`, in pixels.
    pub screen_height: i64,
    /// `context.url`.
    pub url: HttpUrl,
    /// `context.referrer`.
    pub referrer: Option<HttpUrl>,
    /// `context.ip_address`.
    pub ip_address: Option<IpAddr>,
    /// `context.session_id`.
    pub session_id: String,
    /// `properties`, by name.
    pub properties: BTreeMap<String, Property>,
    /// `metrics.load_time`, in milliseconds.
    pub load_time: Option<i64>,
    /// `metrics.interaction_time`, in milliseconds.
    pub interaction_time: Option<i64>,
    /// `timestamp`: when the event occurred; by default the server's clock.
    pub timestamp: EventTime,
}

/// The value of a property. `5` and `5.0` are different values, and so is `"5"`.
#[derive(Clone, Debug, PartialEq)]
pub enum Property {
    /// A string.
    Text(String),
    /// A number written without fraction and exponent.
    Int(i64),
    /// Any other number; finite.
    Float(f64),
}

/// What an event gets where the client says nothing. This crate has neither clock nor randomness, so
/// the caller brings both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// For `event.id`.
    pub id: Uuid,
    /// For `timestamp`.
    pub now: EventTime,
}
