//! Reading one partition in batches, through the part of librdkafka's interface that `rdkafka` does not wrap:
//! taking messages off a partition's own queue many at a time costs half of taking each.
//!
//! Why it is sound:
//! - Every pointer is made by librdkafka and checked against null. The client, which all of them belong to, is
//!   held for as long as a [`Stream`], and by every [`Message`]'s stream, which owns it.
//! - A [`Message`] is destroyed once, when it is dropped. Its slices borrow it, and librdkafka does not change a
//!   message that it has handed out.
//! - What is called when a queue is no longer empty is boxed, and taken off the queue before it is freed; the
//!   queue calls it under the lock under which it is taken off.
//! - A queue is read by one thread: the methods that do take `&mut self`.

#![expect(unsafe_code, reason = "the proof is above")]

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString, c_void};
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as raw;
use rdkafka::consumer::Consumer as _;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use tidegate_model::{EventTime, Offset};

use super::client::{Consumer, milliseconds, offset};
use crate::event::Wake;

/// Messages that are taken off a queue at once, at most.
const BATCH: usize = 1_000;

/// A message.
pub(super) struct Message(NonNull<raw::rd_kafka_message_t>);

// SAFETY: librdkafka's messages belong to no thread.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &raw::rd_kafka_message_t {
        // SAFETY: it lives until this is dropped.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn offset(&self) -> Offset {
        offset(self.raw().offset)
    }

    pub(super) fn value(&self) -> &[u8] {
        slice(self.raw().payload, self.raw().len)
    }

    pub(super) fn key(&self) -> &[u8] {
        slice(self.raw().key, self.raw().key_len)
    }

    /// When the broker appended it; when its producer says that it was made, where the topic is set so.
    pub(super) fn time(&self) -> EventTime {
        let mut kind = raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, and so does what is written to.
        EventTime::from_millis(unsafe { raw::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) })
    }

    /// Shows its headers, in their order.
    pub(super) fn headers<'a>(&'a self, visit: &mut dyn FnMut(&'a str, &'a [u8])) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives, and owns its headers.
        let found = unsafe { raw::rd_kafka_message_headers(self.0.as_ptr(), &raw mut headers) };
        if found != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers live as long as the message, and beyond the last one this is an error.
            let found = unsafe {
                raw::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut length)
            };
            if found != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return;
            }
            // SAFETY: a name is text that ends with zero; it lives as long as the message.
            if let Ok(name) = unsafe { CStr::from_ptr(name) }.to_str() {
                visit(name, slice(value, length));
            }
        }
    }

    fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.raw().err;
        (error != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }
}

/// Bytes that live as long as whom they belong to; none where there is nothing.
fn slice<'a>(bytes: *const c_void, length: usize) -> &'a [u8] {
    if bytes.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: librdkafka says that so many bytes are there; the callers bind them to the message.
    unsafe { std::slice::from_raw_parts(bytes.cast(), length) }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: it was handed to us, and is destroyed here only.
        unsafe { raw::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// A partition that is read from some offset on.
pub(super) struct Stream {
    /// Taken off the queue. They go before their client does.
    taken: VecDeque<Message>,
    /// So many of them were shown, and stay for whoever goes back.
    shown: usize,
    /// Those from this offset on are still there.
    kept_from: Offset,
    /// The end that was told last; it is told once.
    ended_at: Offset,
    queue: Queue,
    position: Offset,
}

/// Why a stream has no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// None has arrived.
    Yet,
    /// The end was reached, as of some moment; the position says where.
    End,
    /// Kafka refused to read on.
    Refused(RDKafkaErrorCode),
}

impl Stream {
    /// Begins to read `partition` of `topic` at `from`.
    pub(super) fn start(
        client: &Arc<Client>,
        topic: &str,
        partition: i32,
        from: Offset,
        wake: Option<Wake>,
    ) -> Result<Self, RDKafkaErrorCode> {
        let queue = Queue::start(Arc::clone(client), topic, partition, from, wake)?;
        Ok(Self { taken: VecDeque::new(), shown: 0, kept_from: from, ended_at: from, queue, position: from })
    }

    /// The offset to go on from: all before it was shown, or is none of ours.
    pub(super) fn position(&self) -> Offset {
        self.position
    }

    /// Goes on from `from`, if that needs no new start: it must not be before the place gone to last.
    pub(super) fn go_to(&mut self, from: Offset) -> bool {
        if from < self.kept_from || from > self.position {
            return false;
        }
        while self.shown > 0 && self.taken.front().is_some_and(|message| message.offset() < from) {
            self.taken.pop_front();
            self.shown -= 1;
        }
        (self.shown, self.kept_from, self.position) = (0, from, from);
        true
    }

    /// Goes on from `from`, which lies ahead, by passing what has arrived before it. Where that is not all of it, the next call
    /// goes on.
    pub(super) fn skip_to(&mut self, from: Offset) -> Result<(), RDKafkaErrorCode> {
        while self.position < from {
            match self.next(Duration::ZERO) {
                Ok(message) if message.offset() < from => self.pass(),
                // Between messages there may be offsets that hold none.
                Ok(_) => self.position = from,
                Err(Nothing::Refused(error)) => return Err(error),
                Err(Nothing::Yet | Nothing::End) => break,
            }
        }
        self.go_to(self.position);
        Ok(())
    }

    /// The next message, if one arrives within `wait`. It stays the next one until it is [passed](Self::pass).
    pub(super) fn next(&mut self, wait: Duration) -> Result<&Message, Nothing> {
        let (mut has_ended, mut has_asked) = (false, false);
        loop {
            match self.taken.get(self.shown).map(Message::error) {
                Some(None) => return Ok(&self.taken[self.shown]),
                Some(Some(error)) => {
                    let told = self.taken.remove(self.shown).expect("just seen");
                    if error != RDKafkaErrorCode::PartitionEOF {
                        return Err(Nothing::Refused(error));
                    }
                    self.ended_at = self.ended_at.max(told.offset());
                    has_ended = true;
                }
                // All messages before it were taken then. What marks the ends of transactions lies between the
                // last one and there.
                None if has_asked && self.position < self.ended_at => {
                    self.position = self.ended_at;
                    return Err(Nothing::End);
                }
                None if has_ended => return Err(Nothing::End),
                None if has_asked => return Err(Nothing::Yet),
                None => {
                    self.queue.take(wait, &mut self.taken);
                    has_asked = true;
                }
            }
        }
    }

    /// The next message was shown.
    pub(super) fn pass(&mut self) {
        if let Some(message) = self.taken.get(self.shown) {
            self.position = message.offset().plus(1);
            self.shown += 1;
        }
    }

    /// Calls `wake` whenever something arrives where nothing was.
    pub(super) fn on_arrival(&mut self, wake: Wake) {
        self.queue.on_arrival(wake);
    }
}

/// A consumer, and the topics that were read by it: librdkafka forgets where the partitions of a topic lie when
/// nobody has it any more.
pub(super) struct Client {
    consumer: Consumer,
    topics: Mutex<BTreeMap<String, Topic>>,
}

/// A topic of a client.
#[derive(Clone, Copy)]
struct Topic(NonNull<raw::rd_kafka_topic_t>);

// SAFETY: librdkafka's topics may be used from any thread.
unsafe impl Send for Topic {}

impl Client {
    pub(super) fn new(consumer: Consumer) -> Self {
        Self { consumer, topics: Mutex::default() }
    }

    fn topic(&self, name: &str) -> Result<Topic, RDKafkaErrorCode> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Ok(*topic);
        }
        let text = CString::new(name).map_err(|_| RDKafkaErrorCode::UnknownTopic)?;
        let native = self.consumer.client().native_ptr();
        // SAFETY: the client lives, the name ends with zero, and no configuration means that of the client.
        let topic = unsafe { raw::rd_kafka_topic_new(native, text.as_ptr(), ptr::null_mut()) };
        let topic = Topic(NonNull::new(topic).ok_or_else(last_error)?);
        topics.insert(name.to_owned(), topic);
        Ok(topic)
    }
}

impl Deref for Client {
    type Target = Consumer;

    fn deref(&self) -> &Consumer {
        &self.consumer
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let topics = self.topics.get_mut().unwrap_or_else(PoisonError::into_inner);
        for Topic(topic) in topics.values() {
            // SAFETY: each was made by `topic`, and every queue that used it is gone, for it held this client.
            unsafe { raw::rd_kafka_topic_destroy(topic.as_ptr()) }
        }
    }
}

/// A partition's own queue of messages that were fetched.
struct Queue {
    /// What everything below belongs to.
    _client: Arc<Client>,
    topic: Topic,
    messages: NonNull<raw::rd_kafka_queue_t>,
    partition: i32,
    wake: Option<Box<Wake>>,
}

// SAFETY: librdkafka's topics and queues may be used from any thread, and `Wake` as well.
unsafe impl Send for Queue {}

impl Queue {
    fn start(
        client: Arc<Client>,
        topic: &str,
        partition: i32,
        from: Offset,
        wake: Option<Wake>,
    ) -> Result<Self, RDKafkaErrorCode> {
        let from = i64::try_from(from.0).map_err(|_| RDKafkaErrorCode::OffsetOutOfRange)?;
        let topic = client.topic(topic)?;
        // SAFETY: the client lives.
        let messages = unsafe { raw::rd_kafka_queue_new(client.client().native_ptr()) };
        let messages = NonNull::new(messages).ok_or_else(last_error)?;
        let mut started = Self { _client: client, topic, messages, partition, wake: None };
        if let Some(wake) = wake {
            started.on_arrival(wake);
        }
        // SAFETY: both live, and until the partition is stopped they are kept.
        let outcome = unsafe {
            raw::rd_kafka_consume_start_queue(topic.0.as_ptr(), partition, from, messages.as_ptr())
        };
        if outcome == 0 { Ok(started) } else { Err(last_error()) }
    }

    /// Takes messages off the queue: what is there, or what arrives first within `wait`.
    fn take(&mut self, wait: Duration, into: &mut VecDeque<Message>) {
        let mut messages = [ptr::null_mut(); BATCH];
        let mut take = |wait: Duration, most: usize| {
            // SAFETY: the queue lives, and there is room for as many as are asked for.
            let count = unsafe {
                raw::rd_kafka_consume_batch_queue(
                    self.messages.as_ptr(),
                    milliseconds(wait),
                    messages.as_mut_ptr(),
                    most,
                )
            };
            let count = usize::try_from(count).unwrap_or(0);
            into.extend(messages[..count].iter().copied().filter_map(NonNull::new).map(Message));
            count
        };
        // It would wait for all that are asked for.
        if take(Duration::ZERO, BATCH) == 0 && !wait.is_zero() && take(wait, 1) > 0 {
            take(Duration::ZERO, BATCH);
        }
    }

    fn on_arrival(&mut self, wake: Wake) {
        self.silence();
        let wake = Box::new(wake);
        let opaque = ptr::from_ref::<Wake>(&wake).cast_mut().cast();
        // SAFETY: the box does not move, and lives until the queue calls it no more.
        unsafe { raw::rd_kafka_queue_cb_event_enable(self.messages.as_ptr(), Some(arrived), opaque) };
        self.wake = Some(wake);
    }

    /// From now on nobody is called.
    fn silence(&mut self) {
        // SAFETY: the queue lives.
        unsafe { raw::rd_kafka_queue_cb_event_enable(self.messages.as_ptr(), None, ptr::null_mut()) };
        self.wake = None;
    }
}

/// Whether a message that could not be sent is surely not in the log.
pub(super) fn is_surely_not_stored(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is borrowed from its owner.
    let status = unsafe { raw::rd_kafka_message_status(message.ptr()) };
    status == raw::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

unsafe extern "C" fn arrived(_: *mut raw::rd_kafka_t, wake: *mut c_void) {
    // SAFETY: it is what was given to the queue, which calls nobody any more before it is freed.
    let wake = unsafe { &*wake.cast::<Wake>() };
    wake();
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.silence();
        // SAFETY: the client is still there, and the queue was made by `start` and is given back once.
        unsafe {
            raw::rd_kafka_consume_stop(self.topic.0.as_ptr(), self.partition);
            raw::rd_kafka_queue_destroy(self.messages.as_ptr());
        }
    }
}

/// Why the last call on this thread failed.
fn last_error() -> RDKafkaErrorCode {
    // SAFETY: it reads a variable of this thread.
    unsafe { raw::rd_kafka_last_error() }.into()
}
