//! Appends on their way to the writer, limited in bytes, and the handle that puts them there.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tidegate_model::PartitionId;

use super::oneshot::{Receiver, oneshot};
use super::options::{APPEND_BYTES_MAX, Options, QUEUE_BYTES_MAX};
use super::writer::{Answer, Pending};
use crate::event::{AppendError, Appended, EventAppender, NewEvent};
use crate::partitioner::partition_of;

/// The queue between appenders and the writer.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to take, or nothing will come any more.
    filled: Condvar,
    /// There is room again, or nothing is taken any more.
    drained: Condvar,
    partitions: u32,
    bytes_max: usize,
    append_bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Pending>,
    bytes: usize,
    closed: bool,
}

/// What the writer gets when it asks.
#[derive(Debug)]
pub(super) enum Taken {
    /// Appends to write at once.
    Group(Vec<Pending>),
    /// Nothing for now.
    Nothing,
    /// Nothing, for ever.
    Closed,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenFull {
    Refuse,
    Wait,
}

impl Queue {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            state: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
            partitions: options.partitions,
            bytes_max: options.queue_bytes_max,
            append_bytes_max: options.append_bytes_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so what a poisoned one guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, events: Vec<NewEvent>, when_full: WhenFull) -> Result<Receiver<Answer>, AppendError> {
        let unknown = events.iter().find(|event| event.partition.0 >= self.partitions);
        if let Some(event) = unknown {
            let (partition, partitions) = (event.partition, self.partitions);
            return Err(AppendError::UnknownPartition { partition, partitions });
        }
        let bytes = events.iter().map(|event| event.value.len()).sum::<usize>();
        if bytes > self.append_bytes_max {
            let (limit_bytes, setting) = (self.append_bytes_max, APPEND_BYTES_MAX);
            return Err(AppendError::TooLarge { bytes, limit_bytes, setting });
        }
        let full = |state: &State| state.bytes + bytes > self.bytes_max;
        let mut state = self.lock();
        if when_full == WhenFull::Wait {
            let wait = |state: &mut State| full(state) && !state.closed;
            state = self.drained.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(AppendError::Closed);
        }
        if full(&state) {
            return Err(AppendError::QueueFull {
                queued_bytes: state.bytes,
                limit_bytes: self.bytes_max,
                setting: QUEUE_BYTES_MAX,
            });
        }
        let (answer, receiver) = oneshot();
        state.bytes += bytes;
        state.pending.push_back(Pending { events, bytes, answer });
        drop(state);
        self.filled.notify_one();
        Ok(receiver)
    }

    /// Takes appends of up to `bytes_max` bytes, or a single larger one.
    pub(super) fn take(&self, bytes_max: usize) -> Taken {
        let mut state = self.lock();
        let (mut group, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.pending.front() {
            if !group.is_empty() && bytes + next.bytes > bytes_max {
                break;
            }
            bytes += next.bytes;
            group.extend(state.pending.pop_front());
        }
        state.bytes -= bytes;
        let closed = state.closed;
        drop(state);
        if !group.is_empty() {
            self.drained.notify_all();
            return Taken::Group(group);
        }
        if closed { Taken::Closed } else { Taken::Nothing }
    }

    /// Waits until there is something to take or nothing will come; at most for `at_most`.
    pub(super) fn wait(&self, at_most: Option<Duration>) {
        let empty = |state: &mut State| state.pending.is_empty() && !state.closed;
        let state = self.lock();
        match at_most {
            None => drop(self.filled.wait_while(state, empty)),
            Some(duration) => drop(self.filled.wait_timeout_while(state, duration, empty)),
        }
    }

    /// Bytes that wait, and the limit.
    pub(super) fn fill(&self) -> (usize, usize) {
        (self.lock().bytes, self.bytes_max)
    }

    /// Refuses whatever comes from now on. What waits is still written.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.drained.notify_all();
    }
}

/// Appends to an embedded log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EmbeddedAppender {
    pub(super) queue: Arc<Queue>,
}

/// The promise of an answer to an append: a future, or something to [`Receipt::wait`] for. The append
/// takes place whether or not anybody waits.
#[derive(Debug)]
#[must_use = "an append is durable only when its answer says so"]
pub struct Receipt {
    answer: Receiver<Answer>,
}

impl EmbeddedAppender {
    /// Puts an append into the queue; fails at once when the queue is full.
    ///
    /// # Errors
    /// When the append is refused before it is written.
    pub fn submit(&self, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        Ok(Receipt { answer: self.queue.push(events, WhenFull::Refuse)? })
    }

    /// Puts an append into the queue; waits for room when it is full. Bulk loaders keep several
    /// receipts open, so that the disk never waits for them.
    ///
    /// # Errors
    /// When the append is refused before it is written.
    pub fn submit_blocking(&self, events: Vec<NewEvent>) -> Result<Receipt, AppendError> {
        Ok(Receipt { answer: self.queue.push(events, WhenFull::Wait)? })
    }

    /// Appends all of `events` or none, and blocks until they are durable. Waits for room in the queue.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn append_blocking(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        self.submit_blocking(events)?.wait()
    }
}

impl EventAppender for EmbeddedAppender {
    fn partition_of(&self, user_id: &str) -> PartitionId {
        partition_of(user_id.as_bytes(), self.queue.partitions)
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Appended>, AppendError> {
        self.submit(events)?.await
    }
}

/// An append whose writer went away without an answer: it may have been half-way.
fn unanswered() -> AppendError {
    let reason = "the writer stopped before it answered".to_owned();
    AppendError::Indefinite { path: "the log".to_owned(), reason }
}

impl Receipt {
    /// Blocks until the append is durable, or has failed.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn wait(self) -> Result<Vec<Appended>, AppendError> {
        self.answer.wait().unwrap_or_else(|| Err(unanswered()))
    }
}

impl Future for Receipt {
    type Output = Result<Vec<Appended>, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        Poll::Ready(answer.unwrap_or_else(|| Err(unanswered())))
    }
}
