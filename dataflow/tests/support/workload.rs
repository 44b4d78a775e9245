//! Random workloads: what they are, how proptest makes them, and how a system is driven through one.
//!
//! Smooth data proves little. These have few keys with many near-misses of the gap, bursts from devices
//! that were offline for minutes, ties, clients of the future, partitions that fall silent, are paused or
//! cannot be looked at, clocks that are set back, and times that hit every boundary exactly, because
//! nearly all of those lie on a grid of half seconds.

mod drive;
mod strategy;

use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::{DeviceCategory, EventTime, PartitionId};

pub use drive::{Course, Drive, drive};
pub use strategy::{workloads, workloads_with};

/// When every workload begins; it is aligned to no window.
const START: EventTime = EventTime::from_millis(1_772_452_807_000);

/// Settings and what happens.
#[derive(Clone, Debug)]
pub struct Workload {
    pub jobs: JobSettings,
    pub time: TimeSettings,
    pub partitions: u32,
    pub steps: Vec<Step>,
}

/// What happens next. Partitions are counted modulo their number.
#[derive(Clone, Debug)]
pub enum Step {
    /// `count` records of one client, each `spacing_ms` after the other by its clock.
    Records {
        from: Client,
        kind: Kind,
        begin: Begin,
        spacing_ms: i64,
        count: u32,
    },
    /// The clock moves, back if negative, and the epoch ends.
    Tick {
        wait_ms: i64,
    },
    /// The clock moves.
    Wait {
        wait_ms: i64,
    },
    Pause {
        partition: u32,
        paused: bool,
    },
    FailLooks {
        partition: u32,
        failing: bool,
    },
    AddPartition,
}

/// When the first of some records happened.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// So long before the clock; after it, if negative.
    BehindClock { lag_ms: i64 },
    /// So long after the last event that was sent of this session, which may well be closed by now. The
    /// first event of a session counts from the clock.
    AfterOwn { after_ms: i64 },
}

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    pub partition: u32,
    pub user: u8,
    pub session: u8,
    pub device: DeviceCategory,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    PageView {
        load_time: Option<i64>,
    },
    Click,
    /// A type that is not in the list.
    Scroll,
    Garbage,
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

/// The partition that a step means.
fn partition(number: u32, partitions: u32) -> PartitionId {
    PartitionId(number % partitions)
}
