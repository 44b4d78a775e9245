//! The embedded log: appending events until they are durable, and reading them back.

mod append;
mod read;

use crate::workload::{JsonLines, Workload};
use crate::{Scale, Table};

const EVENTS: usize = 100_000;
/// Bytes that are read at once, as a source does it.
pub(crate) const READ_BYTES: usize = 256 << 10;

/// Measures appends and reads.
///
/// # Errors
/// When the disk fails.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let events = Events::new(scale.of(EVENTS));
    Ok(vec![append::run(&events, scale)?, read::run(&events, scale)?])
}

/// The events of the suite, each with its user.
pub(crate) struct Events {
    pub(crate) lines: JsonLines,
    pub(crate) users: Vec<String>,
}

impl Events {
    pub(crate) fn new(count: usize) -> Self {
        let lines = JsonLines::new(Workload::new(3), count);
        Self { lines, users: Workload::new(3).take(count).map(|one| one.act.user_id()).collect() }
    }

    pub(crate) fn count(&self) -> usize {
        self.users.len()
    }

    /// Without the ends of lines, which a log does not hold.
    pub(crate) fn bytes(&self) -> usize {
        self.lines.bytes.len() - self.lines.count()
    }
}
