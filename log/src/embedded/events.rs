//! The segments of all partitions, opened together: everything of the log but journal and thread.

use std::path::Path;
use std::sync::Arc;

use super::directory::{read_format, write_format};
use super::error::OpenError;
use super::files::Files;
use super::options::Options;
use super::partition::Shared;
use super::queue::{Queue, Taken};
use super::recover::open_partition;
use super::watch::Group;
use super::writer::{Clock, SegmentWriter};
use tidegate_model::PartitionId;

/// The log of events, driven step by step.
pub(super) struct Events {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) driver: Driver,
}

/// What the writing thread runs: takes from the queue, writes.
pub(super) struct Driver {
    queue: Arc<Queue>,
    writer: SegmentWriter,
    batch_bytes_max: usize,
    last_group: Group,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It answered appends.
    Wrote,
    /// There was nothing to do. A failed write may still have to be taken back, or the storage may have
    /// to be asked whether it takes writes again; later.
    Idle { needs_repair: bool },
    /// There is nothing to do and never will be.
    Closed,
}

impl Events {
    /// Opens the segments under `dir`, which exists; creates what is missing.
    pub(super) fn open(
        files: Arc<dyn Files>,
        clock: Clock,
        dir: &Path,
        options: &Options,
    ) -> Result<Self, OpenError> {
        options.check()?;
        let found = read_format(files.as_ref(), dir)?;
        if let Some(found) = found.filter(|found| *found > options.partitions) {
            let (dir, asked) = (dir.display().to_string(), options.partitions);
            return Err(OpenError::FewerPartitions { dir, asked, found });
        }
        let events = dir.join("events");
        let storage = |error: std::io::Error| OpenError::storage(&events, &error);
        let dirs: Vec<_> = (0..options.partitions).map(|id| events.join(id.to_string())).collect();
        for partition in &dirs {
            files.create_dir(partition).map_err(storage)?;
        }
        files.sync_dir(&events).map_err(storage)?;
        files.sync_dir(dir).map_err(storage)?;
        if found != Some(options.partitions) {
            write_format(files.as_ref(), dir, options.partitions)?;
        }
        let (mut partitions, mut writers) = (Vec::new(), Vec::new());
        for (id, dir) in (0..).zip(dirs) {
            let opened = open_partition(&files, PartitionId(id), dir)?;
            partitions.push(opened.partition);
            writers.push(opened.writer);
        }
        let shared = Arc::new(Shared::new(files, partitions));
        let writer = SegmentWriter::new(Arc::clone(&shared), dir, writers, clock, options);
        let queue = Arc::new(Queue::new(options));
        let driver = Driver {
            queue: Arc::clone(&queue),
            writer,
            batch_bytes_max: options.batch_bytes_max,
            last_group: Group::default(),
        };
        Ok(Self { shared, queue, driver })
    }
}

impl Driver {
    /// Writes what waits, up to a batch.
    pub(super) fn step(&mut self) -> Step {
        match self.queue.take(self.batch_bytes_max) {
            Taken::Group(group) => {
                self.last_group = Group {
                    appends: group.len(),
                    events: group.iter().map(|pending| pending.events.len()).sum(),
                    bytes: group.iter().map(|pending| pending.bytes).sum(),
                };
                self.writer.step(group);
                Step::Wrote
            }
            Taken::Nothing => {
                self.writer.repair();
                self.writer.probe();
                Step::Idle { needs_repair: self.writer.needs_repair() }
            }
            Taken::Closed => Step::Closed,
        }
    }

    /// What the last step that wrote was about.
    pub(super) fn last_group(&self) -> Group {
        self.last_group
    }
}
