//! What a source needs from the outside: records, decoded, and a look at a partition's end.

use tidegate_model::{EventTime, Offset, PartitionId};

use crate::batch::Decoded;

/// Receives the records that a [`Feed`] reads, each once, in order of offsets.
pub trait Intake {
    /// A record that decodes.
    fn event(&mut self, offset: Offset, append_time: EventTime, event: &Decoded<'_>);

    /// A record that does not.
    fn undecodable(&mut self, offset: Offset, append_time: EventTime);
}

/// The reading side of the log, as one worker's source sees it. Its failures are its own business: it
/// tells whoever assembled it, and shows no progress meanwhile.
pub trait Feed: 'static {
    /// Every partition there is now, of all workers.
    fn partitions(&mut self) -> Vec<PartitionId>;

    /// Reads records of `partition` from `from` on, none at or after `until`, about `bytes` bytes of them
    /// as they lie in the log. Returns the offset after the last one handed to `intake`.
    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        until: Option<Offset>,
        bytes: usize,
        intake: &mut dyn Intake,
    ) -> Offset;

    /// The partition's end, when a look at it succeeds now.
    fn look(&mut self, partition: PartitionId) -> Option<Offset>;
}
