//! The suite that every implementation of the log's traits passes.
//!
//! An implementation provides a [`Subject`], a fresh and empty deployment with at least two partitions
//! of events, and calls [`run_all`] in a test. The checks panic when something is not as it should be.
//! They wait for wake-up calls with a deadline, and never for time to pass.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::{Binding, Epoch, EventTime, Generation, Offset, PartitionId};

use crate::event::{EventAppender, EventReader, NewEvent, RecordRef, Wake};
use crate::journal::Journal;
use crate::rows::RowReader;

pub mod events;
pub mod journal;

/// How long a wake-up call may take; far longer than it does.
const DEADLINE: Duration = Duration::from_secs(30);

/// A fresh deployment of the implementation under test.
pub trait Subject {
    /// Its appender.
    type Appender: EventAppender;
    /// Its reader of events.
    type Reader: EventReader;
    /// Its journal.
    type Journal: Journal;
    /// Its reader of rows.
    type Rows: RowReader;

    /// Another handle.
    fn appender(&self) -> Self::Appender;
    /// Another reader.
    fn reader(&self) -> Self::Reader;
    /// Another journal, as the next process would open it.
    fn journal(&self) -> Self::Journal;
    /// Another reader of rows.
    fn rows(&self) -> Self::Rows;
}

/// Runs every check, each on a subject of its own.
pub fn run_all<S: Subject>(fresh: impl Fn() -> S) {
    events::appended_events_are_read_back(&fresh());
    events::reading_goes_on_from_any_offset(&fresh());
    events::single_records_are_read_wherever_they_lie(&fresh());
    events::a_read_is_limited_in_bytes_but_never_empty(&fresh());
    events::offsets_that_do_not_exist_are_errors(&fresh());
    events::a_refused_append_leaves_nothing_behind(&fresh());
    events::append_times_never_go_back(&fresh());
    events::readers_are_woken(&fresh());
    events::many_appenders_lose_and_double_nothing(&fresh());
    events::users_stay_in_their_partition(&fresh());
    journal::bindings_survive(&fresh());
    journal::old_bindings_can_be_pruned(&fresh());
    journal::rows_become_visible_with_their_binding(&fresh());
    journal::rows_can_be_read_again(&fresh());
    journal::rows_keep_everything(&fresh());
    journal::epochs_increase(&fresh());
    journal::rows_of_unbound_epochs_are_refused(&fresh());
    journal::an_older_generation_is_fenced(&fresh());
    journal::row_readers_are_woken(&fresh());
    journal::readers_know_the_last_binding(&fresh());
    journal::acknowledgements_are_accepted(&fresh());
}

/// Waits for a future on this thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    crate::block_on::block_on(future)
}

/// A binding that says no more than its epoch.
pub fn binding(epoch: u64, generation: Generation) -> Binding {
    Binding {
        version: BINDING_VERSION,
        epoch: Epoch(epoch),
        generation,
        definitions: [].into(),
        now: EventTime::from_millis(0),
        close_to: EventTime::MIN,
        partitions: [].into(),
        ledger: tidegate_model::Ledger::default(),
        starts: [].into(),
        origin: None,
        snapshot: None,
        gap: None,
        last_records: BTreeMap::new(),
    }
}

/// An event with that value.
pub fn event(partition: u32, value: &str) -> NewEvent {
    NewEvent { partition: PartitionId(partition), key: String::new(), value: value.as_bytes().to_vec() }
}

/// Everything that a partition holds from an offset on, read in pieces of `max_bytes`.
pub fn read_from<R: EventReader>(
    reader: &mut R,
    partition: PartitionId,
    mut from: Offset,
    max_bytes: usize,
) -> Vec<(Offset, String)> {
    let mut records = Vec::new();
    let end = reader.bounds(partition).expect("the partition has bounds").end;
    while from < end {
        from = read_some(reader, partition, from, max_bytes, &mut |record| {
            records.push((record.offset, String::from_utf8_lossy(record.value).into_owned()));
        });
    }
    records
}

/// Reads, and where nothing has arrived yet of what is there, again.
fn read_some<R: EventReader>(
    reader: &mut R,
    partition: PartitionId,
    from: Offset,
    max_bytes: usize,
    visit: &mut dyn FnMut(RecordRef<'_>),
) -> Offset {
    let began = Instant::now();
    loop {
        let next = reader.read(partition, from, max_bytes, visit).expect("the records can be read");
        if next > from {
            return next;
        }
        assert!(began.elapsed() < DEADLINE, "nothing arrives of partition {partition} from {from} on");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Waits until `look` says what it is to say.
fn eventually<T: PartialEq + std::fmt::Debug>(expected: &T, mut look: impl FnMut() -> T) {
    let began = Instant::now();
    loop {
        let seen = look();
        if seen == *expected {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "{seen:?} stays, and does not become {expected:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A wake-up call, and where it arrives.
fn bell() -> (Wake, Receiver<()>) {
    let (sender, receiver) = channel();
    let ring = move || {
        // Whoever listened may be gone.
        let _ = sender.send(());
    };
    (Arc::new(ring), receiver)
}

fn wait_for(bell: &Receiver<()>) {
    bell.recv_timeout(DEADLINE).expect("a wake-up call follows the change");
}
