//! Which fields a job needs.

use std::ops::BitOr;

/// A set of the fields that the fast decoder can read. Join sets with `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fields(u8);

impl Fields {
    /// No field.
    pub const NONE: Self = Self(0);
    /// `event.type`.
    pub const EVENT_TYPE: Self = Self(1);
    /// `user.id`.
    pub const USER_ID: Self = Self(1 << 1);
    /// `context.session_id`.
    pub const SESSION_ID: Self = Self(1 << 2);
    /// `device.user_agent`.
    pub const USER_AGENT: Self = Self(1 << 3);
    /// `metrics.load_time`.
    pub const LOAD_TIME: Self = Self(1 << 4);
    /// `metrics.interaction_time`.
    pub const INTERACTION_TIME: Self = Self(1 << 5);
    /// `timestamp`.
    pub const TIMESTAMP: Self = Self(1 << 6);
    /// Every field.
    pub const ALL: Self = Self((1 << 7) - 1);

    /// Whether every field of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Fields {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
