//! The limits of the embedded log, each with a name and a default.

use super::error::OpenError;
use super::frame::RECORD_BYTES_MAX;

/// The name of [`Options::queue_bytes_max`] in errors.
pub(super) const QUEUE_BYTES_MAX: &str = "queue_bytes_max";
/// The name of [`Options::append_bytes_max`] in errors.
pub(super) const APPEND_BYTES_MAX: &str = "append_bytes_max";
/// The name of [`Options::total_bytes_max`] in errors.
pub(super) const TOTAL_BYTES_MAX: &str = "total_bytes_max";

/// The limits of an embedded log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of partitions of events (6). Fixed when the directory is created; more may be added later,
    /// none taken away.
    pub partitions: u32,
    /// How many bytes of appends may wait for the writer (64 MiB).
    pub queue_bytes_max: usize,
    /// How many bytes of appends are written and synced at once (8 MiB); a larger append goes alone.
    pub batch_bytes_max: usize,
    /// How large one append may be (16 MiB, which is also the most that is allowed).
    pub append_bytes_max: usize,
    /// The size beyond which a segment file is followed by the next one (64 MiB). A segment is larger
    /// only when a single batch is.
    pub segment_bytes_max: u64,
    /// How large all segment files may be together (64 GiB). At the limit appends fail until retention
    /// has found something to remove. The journal is not counted.
    pub total_bytes_max: u64,
    /// How long events and rows are kept at least that nobody needs any more (`None`: until the space is
    /// wanted), in milliseconds.
    pub retention_ms: Option<i64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions: 6,
            queue_bytes_max: 64 << 20,
            batch_bytes_max: 8 << 20,
            append_bytes_max: RECORD_BYTES_MAX,
            segment_bytes_max: 64 << 20,
            total_bytes_max: 64 << 30,
            retention_ms: None,
        }
    }
}

impl Options {
    /// Refuses values with which the log could not work.
    pub(super) fn check(&self) -> Result<(), OpenError> {
        const PARTITIONS_MAX: u32 = 4096;
        const SEGMENT_BYTES_MIN: u64 = 4096;
        let refuse = |setting, value, allowed: String| Err(OpenError::Setting { setting, value, allowed });
        if self.partitions == 0 || self.partitions > PARTITIONS_MAX {
            return refuse("partitions", self.partitions.into(), format!("from 1 to {PARTITIONS_MAX}"));
        }
        if self.append_bytes_max > RECORD_BYTES_MAX {
            let allowed = format!("at most {RECORD_BYTES_MAX} bytes");
            return refuse(APPEND_BYTES_MAX, self.append_bytes_max as u64, allowed);
        }
        if self.queue_bytes_max < self.append_bytes_max {
            let allowed = format!("at least {APPEND_BYTES_MAX}, which is {}", self.append_bytes_max);
            return refuse(QUEUE_BYTES_MAX, self.queue_bytes_max as u64, allowed);
        }
        if self.segment_bytes_max < SEGMENT_BYTES_MIN {
            let allowed = format!("at least {SEGMENT_BYTES_MIN} bytes");
            return refuse("segment_bytes_max", self.segment_bytes_max, allowed);
        }
        Ok(())
    }
}
