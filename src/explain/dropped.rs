//! The records that a job dropped, as they are read: only those are kept that may be of what is asked for, however
//! many there are.

use std::collections::BTreeMap;
use std::ops::Range;

use tidegate_model::{Epoch, EventTime, Offset, PartitionId};

use super::bound::Bindings;
use super::facts::{At, DroppedRecord, Question, Record};
use super::record::Reader;
use super::subject::Rules;

/// Keeps what matters.
pub(crate) struct Sieve<'a> {
    question: &'a Question,
    rules: &'a Rules,
    bindings: &'a Bindings,
    reader: Reader<'a>,
    /// The offsets of each partition at which records may be told of.
    offsets: BTreeMap<PartitionId, Range<Offset>>,
    pub(crate) dropped: BTreeMap<At, DroppedRecord>,
    /// Those that can be told of by what the job dropped alone.
    pub(crate) records: BTreeMap<At, Record>,
}

impl<'a> Sieve<'a> {
    pub(crate) fn new(question: &'a Question, rules: &'a Rules, bindings: &'a Bindings) -> Self {
        let reader = Reader::new(question, rules);
        let (offsets, dropped, records) = Default::default();
        Self { question, rules, bindings, reader, offsets, dropped, records }
    }

    /// Takes the next record, `value`, that the job dropped.
    pub(crate) fn add(&mut self, at: At, epoch: Epoch, reason: &str, value: &[u8]) {
        let Some(record) = self.reader.read(value, None) else { return };
        // Its time may be that of its append, which only the log of events knows.
        let is_timed = record.time > EventTime::MIN;
        let matters = if is_timed {
            record.time >= self.bindings.from && self.rules.is_near(self.question.instant, record.time)
        } else {
            self.is_told(at)
        };
        if matters {
            self.dropped.insert(at, DroppedRecord { epoch, reason: reason.to_owned() });
            if is_timed {
                self.records.insert(at, record);
            }
        }
    }

    /// Whether the record at `at` may be told of.
    fn is_told(&mut self, (partition, offset): At) -> bool {
        let offsets = self.offsets.entry(partition).or_insert_with(|| self.bindings.offsets(partition));
        offsets.contains(&offset)
    }
}
