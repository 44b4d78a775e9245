//! The numbers that name things: epochs, partitions, offsets, generations.
//!
//! Each is a type of its own, so that an offset can never be handed over as an epoch. They order and
//! hash as the numbers they hold.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A cut of the log. Epochs of a deployment only increase; the first one is the unix time in
    /// milliseconds at which the deployment began, so that a restart on an emptied journal can never
    /// produce epochs below rows that already left the system.
    Epoch(u64)
}

number! {
    /// A partition of the topic of events.
    PartitionId(u32)
}

number! {
    /// The position of a record in its partition, counted from 0. An *end* offset is exclusive.
    Offset(u64)
}

number! {
    /// The incarnation of the process that commits, for fencing. Never an epoch.
    Generation(u64)
}

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);

    /// The offset `records` further on.
    #[must_use]
    pub fn plus(self, records: u64) -> Self {
        Self(self.0 + records)
    }

    /// How many records lie between `earlier` and this offset; 0 when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
