//! The system under test: one deployment that is driven by hand.
//!
//! To test another implementation, implement the two traits and list the factory in `systems.rs`.

use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::binding::Binding;
use tidegate_model::{Epoch, EventTime, Ledger, PartitionId};

use super::record::{Dropped, OutRow, TestRecord};

/// One deployment. Partitions are numbered from 0. Nothing is read, looked at or decided between ticks.
pub trait System {
    /// Appends to the log; `record.offset` is the next offset of its partition.
    fn append(&mut self, record: TestRecord);

    /// The log has one more partition from now on, empty.
    fn add_partition(&mut self, partition: PartitionId);

    /// While `failing`, looking up the end of the partition fails; reading works.
    fn fail_looks(&mut self, partition: PartitionId, failing: bool);

    /// While `paused`, the source does not get to reading the partition; looking up its end works.
    fn pause(&mut self, partition: PartitionId, paused: bool);

    /// The input ends here: the next tick closes everything that is open.
    fn finish(&mut self);

    /// From now on the records of an epoch are fed to the jobs in another order, derived from `seed`;
    /// their offsets stay. A system that cannot do it leaves this out.
    fn permute_within_epoch(&mut self, _seed: u64) {}

    /// Reads everything that is appended and readable, looks at the ends, ends the epoch at the
    /// clock's `now`, decides, and waits for all results.
    fn tick(&mut self, now: EventTime) -> EpochOutcome;

    /// The bindings of the journaled epochs so far, in order.
    fn bindings(&self) -> Vec<Binding>;
}

/// What one tick brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochOutcome {
    pub epoch: Epoch,
    /// Whether the epoch is bound. If not, it changed nothing and the rest is as after the one before.
    pub journaled: bool,
    /// `F` after the epoch.
    pub frontier: EventTime,
    /// The committed rows, in the order of the system.
    pub rows: Vec<OutRow>,
    /// Rows for `live_metrics`; their `op` means nothing.
    pub provisional: Vec<OutRow>,
    pub dropped: Vec<Dropped>,
    /// Totals since the deployment began.
    pub ledger: Ledger,
}

/// Starts deployments.
pub trait SystemFactory {
    /// For messages.
    fn name(&self) -> &str;

    /// A new deployment over empty partitions `0..partitions`.
    fn start(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
    ) -> Box<dyn System>;

    /// A deployment that recovers: `records` is the log (per partition in the order of offsets; it may
    /// go on beyond what is bound), `partitions` the number of its partitions now. The bound epochs
    /// are replayed before this returns, and their rows are not seen again.
    fn replay(
        &self,
        jobs: &JobSettings,
        time: &TimeSettings,
        workers: usize,
        partitions: u32,
        records: &[TestRecord],
        bindings: &[Binding],
    ) -> Box<dyn System>;
}
