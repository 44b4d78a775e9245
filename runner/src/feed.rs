//! The source's view of the log: records are read and decoded here.

use tidegate_dataflow::batch::Decoded;
use tidegate_dataflow::feed::{Feed, Intake};
use tidegate_log::{EventReader, ReadError};
use tidegate_model::event::{FastDecoder, Fields};
use tidegate_model::{DeviceCategory, Offset, PartitionId};

use crate::error::RunError;

/// About how large a record is.
const RECORD_BYTES_GUESS: usize = 512;

/// Reads a log for a source.
pub struct LogFeed<R, F> {
    reader: R,
    decoder: FastDecoder,
    /// Told of errors that a later attempt cannot mend.
    fail: F,
    /// Whether storage that fails is asked again.
    asks_again: bool,
}

impl<R: EventReader, F: Fn(RunError)> LogFeed<R, F> {
    /// A feed of `reader`, decoding `fields`. A read that can never succeed is told to `fail`.
    pub fn new(reader: R, fields: Fields, fail: F) -> Self {
        Self { reader, decoder: FastDecoder::new(fields), fail, asks_again: true }
    }

    /// Has it tell `fail` of storage that fails, too.
    #[must_use]
    pub fn giving_up(self) -> Self {
        Self { asks_again: false, ..self }
    }

    fn report(&self, error: ReadError) {
        if let ReadError::Storage { .. } = error
            && self.asks_again
        {
            // The next tick tries again; until then the partition counts as one that cannot be reached.
            tracing::warn!(%error, "the log cannot be read");
        } else {
            (self.fail)(error.into());
        }
    }
}

impl<R: EventReader + 'static, F: Fn(RunError) + 'static> Feed for LogFeed<R, F> {
    fn partitions(&mut self) -> Vec<PartitionId> {
        self.reader.partitions().unwrap_or_else(|error| {
            self.report(error);
            Vec::new()
        })
    }

    fn read(
        &mut self,
        partition: PartitionId,
        from: Offset,
        until: Option<Offset>,
        bytes: usize,
        intake: &mut dyn Intake,
    ) -> Offset {
        let mut position = from;
        // Bound epochs may hold a few records of a long partition: do not read far past their end.
        let bytes = until.map_or(bytes, |until| {
            bytes.min(usize::try_from(until.since(from)).unwrap_or(bytes).saturating_mul(RECORD_BYTES_GUESS))
        });
        let decoder = &mut self.decoder;
        let read = self.reader.read(partition, from, bytes, &mut |record| {
            if until.is_some_and(|until| record.offset >= until) {
                return;
            }
            position = record.offset.plus(1);
            match decoder.decode(record.value, record.append_time) {
                Ok(event) => {
                    let row = Decoded {
                        time: event.timestamp,
                        event_type: event.event_type,
                        user_id: event.user_id,
                        session_id: event.session_id,
                        device: DeviceCategory::from_user_agent(event.user_agent),
                        load_time: event.load_time,
                    };
                    intake.event(record.offset, record.append_time, &row);
                }
                Err(_) => intake.undecodable(record.offset, record.append_time),
            }
        });
        match read {
            // Between records there may be offsets that hold none.
            Ok(next) => position.max(until.map_or(next, |until| next.min(until))),
            Err(error) => {
                self.report(error);
                position
            }
        }
    }

    fn look(&mut self, partition: PartitionId) -> Option<Offset> {
        match self.reader.bounds(partition) {
            Ok(bounds) => Some(bounds.end),
            Err(error) => {
                self.report(error);
                None
            }
        }
    }
}
