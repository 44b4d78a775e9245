//! The end in order: what the log holds is read and committed first, within a deadline.

use std::time::Duration;

use super::Running;
use crate::error::RunError;
use crate::status::Progress;

/// How long an end in order may take. What is not read or committed by then stays in the log, and the
/// next start goes on with it: nothing is lost, it is only seen later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainLimits {
    /// So long may reading take what the log holds (20 s).
    pub reading: Duration,
    /// So long after that may the commits take that are left (5 s).
    pub committing: Duration,
}

impl Default for DrainLimits {
    fn default() -> Self {
        Self { reading: Duration::from_secs(20), committing: Duration::from_secs(5) }
    }
}

/// How an end in order went.
#[derive(Clone, Debug)]
pub struct Drained {
    /// How far the run came.
    pub progress: Progress,
    /// Whether everything was read that the log held.
    pub read_all: bool,
    /// Whether everything that was read is committed.
    pub committed_all: bool,
}

impl Running {
    /// See [`Handle::begin_drain`](super::Handle::begin_drain).
    pub fn begin_drain(&self) {
        self.handle.begin_drain();
    }

    /// Ends it in order: reads what the log holds, commits, and waits for that, but no longer than
    /// `limits` say. The intake must have been stopped.
    ///
    /// A run that still replays ends at once, and has not read everything.
    ///
    /// # Errors
    /// What ended the run before that.
    pub fn drain(self, limits: DrainLimits) -> Result<Drained, RunError> {
        self.begin_drain();
        let read_all = self.wait(limits.reading);
        if !read_all {
            tracing::warn!(
                waited_ms = limits.reading.as_millis(),
                "not everything in the log could be read in time: the next start reads the rest"
            );
            self.stop();
        }
        let committed_all = self.wait(limits.committing);
        if !committed_all {
            tracing::warn!(
                waited_ms = limits.committing.as_millis(),
                "not everything that was read could be committed in time: the next start reads it again"
            );
            self.handle.abort();
        }
        let progress = self.join()?;
        let read_all = read_all && progress.recovered;
        Ok(Drained { progress, read_all, committed_all })
    }
}
