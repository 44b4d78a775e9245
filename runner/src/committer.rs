//! Makes commits out of complete epochs: bindings, rows, and the records that were dropped, as they came.
//!
//! Step-driven: whoever runs it calls [`Committer::step`] until nothing waits. A commit that surely did
//! not take place is kept and sent again, unchanged; one whose outcome is unknown ends the run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tidegate_dataflow::batch::Position;
use tidegate_dataflow::job;
use tidegate_dataflow::report::{Dropped, EpochResult, OutRow};
use tidegate_dataflow::settings::JobSettings;
use tidegate_log::{Commit, CommitError, EventReader, Journal, ReadError, RowRecord, read_first};
use tidegate_model::binding::{BINDING_VERSION, Definition, LastRecord, Manifest, Origin};
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Binding, Epoch, Generation, JobStart, Ledger, Op, PartitionId};

use crate::config::Topics;
use crate::observer::EpochFacts;
use crate::recovery::{Accepted, Recovery};

/// Rows that one commit gathers, at most (a single epoch may exceed it).
const COMMIT_ROWS_MAX: usize = 100_000;

/// Bytes of rows that one commit gathers, at most (a single epoch may exceed it).
const COMMIT_BYTES_MAX: usize = 64 << 20;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Nothing was committed; the next step tries the same again.
    #[error("the epochs up to {epoch} wait for their commit")]
    Retry {
        /// The last epoch of the commit.
        epoch: Epoch,
        /// What the log said.
        #[source]
        error: CommitError,
    },
    /// The outcome is unknown, or somebody else has taken over: the process must end.
    #[error("the commit of the epochs up to {epoch} failed for good")]
    Fatal {
        /// The last epoch of the commit.
        epoch: Epoch,
        /// What the log said.
        #[source]
        error: CommitError,
    },
    /// A dropped record cannot be read back. [`ReadError::Storage`] may pass: the next step tries again.
    #[error("a dropped record cannot be read back from the log")]
    Read(#[from] ReadError),
}

/// What a step committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The binding of the last epoch.
    pub binding: Binding,
    /// The snapshot that counts from now on, if one of the bindings named one.
    pub snapshot: Option<Manifest>,
    /// Its epochs, oldest first.
    pub epochs: Vec<EpochFacts>,
    /// Rows, provisional ones and dropped records included.
    pub rows: usize,
}

/// Commits epochs.
pub struct Committer<J, R> {
    journal: J,
    reader: R,
    topics: Topics,
    jobs_by_table: BTreeMap<&'static str, &'static str>,
    generation: Generation,
    definitions: BTreeMap<String, Definition>,
    starts: BTreeMap<String, JobStart>,
    origin: Option<Origin>,
    ledger: Ledger,
    last_records: BTreeMap<PartitionId, LastRecord>,
    /// What the next binding says of a gap, and the snapshot of nothing that it names.
    accepted: Option<Accepted>,
    /// A snapshot that waits for a binding.
    written: Option<Manifest>,
    /// An epoch that is not to be committed yet.
    held: Option<Epoch>,
    waiting: VecDeque<EpochResult>,
    /// Epochs prepared for their commit since the start.
    committed: u64,
    /// A commit that surely did not take place, and its epochs.
    pending: Option<(Commit, Vec<EpochFacts>)>,
}

impl<J: Journal, R: EventReader> Committer<J, R> {
    /// Goes on after `recovery`.
    pub fn new(journal: J, reader: R, topics: Topics, jobs: &JobSettings, recovery: &Recovery) -> Self {
        Self {
            journal,
            reader,
            topics,
            jobs_by_table: job::all(jobs).iter().map(|job| (job.schema().table, job.name())).collect(),
            generation: recovery.generation,
            definitions: recovery.definitions.clone(),
            starts: recovery.starts.clone(),
            origin: recovery.origin,
            ledger: recovery.ledger.clone(),
            last_records: recovery.last_records.clone(),
            accepted: recovery.accepted.clone(),
            written: None,
            held: None,
            waiting: VecDeque::new(),
            committed: 0,
            pending: None,
        }
    }

    /// Adds a complete epoch; epochs come in order.
    pub fn push(&mut self, epoch: EpochResult) {
        self.waiting.push_back(epoch);
    }

    /// The next binding names this snapshot, if its epoch is that of the snapshot or a later one: a snapshot
    /// of epochs that are not bound is none.
    pub fn attach(&mut self, written: Manifest) {
        self.written = Some(written);
    }

    /// Removes some of the bindings that no start reads any more; says whether there are more.
    ///
    /// # Errors
    /// See [`Journal::prune`]; the run goes on.
    pub fn prune(&mut self, before: Epoch) -> Result<bool, CommitError> {
        self.journal.prune(before)
    }

    /// This epoch, and what comes after it, waits until it is no longer held.
    pub fn hold(&mut self, epoch: Option<Epoch>) {
        self.held = epoch;
    }

    /// Whether the epoch that is held is the next one.
    pub fn holds(&self) -> bool {
        let next = self.waiting.front().map(|result| result.epoch);
        self.pending.is_none() && next.is_some() && next == self.held
    }

    /// Whether everything that was pushed is committed.
    pub fn idle(&self) -> bool {
        self.waiting.is_empty() && self.pending.is_none()
    }

    /// Commits what waits, as much as one commit holds; `None` when nothing waits.
    ///
    /// # Errors
    /// See [`StepError`]; nothing is lost in any case.
    pub fn step(&mut self) -> Result<Option<Committed>, StepError> {
        if self.pending.is_none() {
            self.pending = self.prepare()?;
        }
        let Some((commit, epochs)) = &mut self.pending else { return Ok(None) };
        let last = commit.bindings.last().expect("a commit has a binding");
        let epoch = last.epoch;
        match self.journal.commit(commit) {
            Ok(()) => {
                let snapshot = commit.bindings.iter().rev().find_map(|binding| binding.snapshot.clone());
                let committed = Committed {
                    binding: last.clone(),
                    snapshot,
                    epochs: std::mem::take(epochs),
                    rows: commit.rows.len(),
                };
                self.pending = None;
                Ok(Some(committed))
            }
            Err(error) if error.is_definite() => Err(StepError::Retry { epoch, error }),
            Err(error) => Err(StepError::Fatal { epoch, error }),
        }
    }

    fn prepare(&mut self) -> Result<Option<(Commit, Vec<EpochFacts>)>, StepError> {
        let mut commit = Commit::default();
        let mut epochs = Vec::new();
        let mut bytes = 0;
        while let Some(result) = self.waiting.front() {
            let rows = result.rows.len() + result.provisional.len() + result.dropped.len();
            let full = commit.rows.len() + rows > COMMIT_ROWS_MAX || bytes > COMMIT_BYTES_MAX;
            if self.held == Some(result.epoch) || (!commit.bindings.is_empty() && full) {
                break;
            }
            // The records are read before anything is taken off the queue: a failure changes nothing.
            let originals = match read_originals(&mut self.reader, &result.dropped) {
                Ok(originals) => originals,
                // What was prepared so far can go; the failed epoch is tried again next.
                Err(_) if !commit.bindings.is_empty() => break,
                Err(error) => return Err(error.into()),
            };
            let result = self.waiting.pop_front().expect("looked at above");
            let before = commit.rows.len();
            epochs.push(EpochFacts::from(&result));
            self.add(&mut commit, result, &originals);
            bytes += commit.rows[before..].iter().map(|row| row.value.len()).sum::<usize>();
        }
        Ok((!commit.bindings.is_empty()).then_some((commit, epochs)))
    }

    fn add(&mut self, commit: &mut Commit, result: EpochResult, originals: &BTreeMap<Position, Vec<u8>>) {
        let since_start = Epoch(self.committed + 1);
        let epoch = if is_planted(Bug::EpochsRestartAtOne) { since_start } else { result.epoch };
        self.committed += 1;
        for row in result.rows {
            let topic = self.topics.rows.get(&*row.table).expect("every table has a topic");
            commit.rows.push(record(topic, row, epoch, Vec::new()));
        }
        for row in result.provisional {
            let job = self.jobs_by_table[&*row.table];
            commit.rows.push(record(&self.topics.live, row, epoch, vec![("job", job.to_owned())]));
        }
        for dropped in result.dropped {
            let Position { partition, offset } = dropped.at;
            commit.rows.push(RowRecord {
                topic: Arc::clone(&self.topics.dropped),
                key: format!("{partition}/{offset}").into_bytes(),
                value: originals[&dropped.at].clone(),
                epoch,
                op: Op::Final,
                headers: vec![
                    ("reason", dropped.reason.as_str().to_owned()),
                    ("job", dropped.job),
                    ("partition", partition.to_string()),
                    ("offset", offset.to_string()),
                ],
            });
        }
        let (gap, nothing) = self.accepted.take().map(|accepted| (accepted.gap(), accepted.manifest)).unzip();
        let written = || self.written.take_if(|written| written.epoch <= epoch);
        let snapshot = nothing.or_else(written);
        self.ledger.merge(&result.ledger);
        self.last_records.extend(result.last_records);
        debug_assert!(self.ledger.adds_up(), "every event is accounted for: {:?}", self.ledger);
        commit.bindings.push(Binding {
            version: BINDING_VERSION,
            epoch,
            generation: self.generation,
            definitions: self.definitions.clone(),
            now: result.now,
            close_to: result.close_to,
            partitions: result.partitions,
            ledger: self.ledger.clone(),
            starts: self.starts.clone(),
            origin: self.origin.take(),
            snapshot,
            last_records: self.last_records.clone(),
            gap: gap.flatten(),
        });
    }
}

fn record(topic: &Arc<str>, row: OutRow, epoch: Epoch, headers: Vec<(&'static str, String)>) -> RowRecord {
    RowRecord {
        topic: Arc::clone(topic),
        key: row.key.into_bytes(),
        value: row.value.into_bytes(),
        epoch,
        op: row.op,
        headers,
    }
}

/// Reads dropped records back, each once however many jobs dropped it. `dropped` is sorted by position.
fn read_originals(
    reader: &mut impl EventReader,
    dropped: &[Dropped],
) -> Result<BTreeMap<Position, Vec<u8>>, ReadError> {
    let mut originals = BTreeMap::new();
    for dropped in dropped {
        let Position { partition, offset } = dropped.at;
        if originals.contains_key(&dropped.at) {
            continue;
        }
        let mut original = None;
        read_first(reader, partition, offset, offset.plus(1), &mut |record| {
            original = Some(record.value.to_vec());
        })?;
        let original =
            original.ok_or(ReadError::OutOfRange { partition, asked: offset, available: offset..offset })?;
        originals.insert(dropped.at, original);
    }
    Ok(originals)
}

#[cfg(test)]
mod tests;
