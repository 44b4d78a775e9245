//! Compact rows: what is left of an event after the decoder. No event has a `String` of its own from
//! here on; the two names that a session's row will show lie in the batch's byte arena.

mod wire;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidegate_codec::bytemuck::{Pod, Zeroable};
use tidegate_codec::plain;
use tidegate_model::{DeviceCategory, EventTime, Offset, PartitionId};

use crate::hash::{HashKey, worker_of};

/// Events per batch.
pub const BATCH_ROWS_MAX: usize = 1024;

/// Bytes of names after which a batch is sent, however few rows it has.
const BATCH_NAMES_BYTES_MAX: usize = 1 << 20;

/// [`Row::event_type`] of an event whose type is not in the allowed list.
pub const TYPE_NOT_LISTED: u8 = u8::MAX;

/// An event, as the source's decoder hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    /// Event time.
    pub time: EventTime,
    /// The event's type.
    pub event_type: &'a str,
    /// The user.
    pub user_id: &'a str,
    /// The session's name.
    pub session_id: &'a str,
    /// The device category.
    pub device: DeviceCategory,
    /// Load time in milliseconds, as it came.
    pub load_time: Option<i64>,
}

/// Where a record lies in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The partition.
    pub partition: PartitionId,
    /// The offset.
    pub offset: Offset,
}

/// The load time of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadTime {
    /// The event has none.
    Missing,
    /// Milliseconds.
    Millis(u32),
    /// Negative, or too large to be a load time in any configuration.
    OutOfRange,
}

const LOAD_TIME_MISSING: u32 = u32::MAX;
const LOAD_TIME_OUT_OF_RANGE: u32 = u32::MAX - 1;

/// One event, without pointers or padding: its bytes are the row.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
pub struct Row {
    /// Event time.
    time_ms: i64,
    /// Hash of the user's id.
    pub user: u64,
    /// Hash of the session's id.
    pub session: u64,
    offset: u64,
    partition: u32,
    load_time: u32,
    names: u32,
    session_len: u32,
    user_len: u32,
    /// Index into the allowed list, or [`TYPE_NOT_LISTED`].
    pub event_type: u8,
    device: u8,
    page_view: u8,
    /// Zero; it keeps the compiler from putting something here that nobody wrote.
    reserved: u8,
}

plain!(Row, 0x0001_0001);

impl Row {
    /// Event time.
    pub fn time(&self) -> EventTime {
        EventTime::from_millis(self.time_ms)
    }

    /// Where the record lies.
    pub fn position(&self) -> Position {
        Position { partition: PartitionId(self.partition), offset: Offset(self.offset) }
    }

    /// Whether the event is a page view.
    pub fn is_page_view(&self) -> bool {
        self.page_view != 0
    }

    /// The device category.
    pub fn device(&self) -> DeviceCategory {
        DeviceCategory::ALL[usize::from(self.device)]
    }

    /// The load time.
    pub fn load_time(&self) -> LoadTime {
        match self.load_time {
            LOAD_TIME_MISSING => LoadTime::Missing,
            LOAD_TIME_OUT_OF_RANGE => LoadTime::OutOfRange,
            millis => LoadTime::Millis(millis),
        }
    }
}

/// Rows of one epoch, for one worker. Workers that do not share memory exchange it as two frames of
/// [`tidegate_codec`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    rows: Vec<Row>,
    names: String,
}

impl Batch {
    fn with_capacity() -> Self {
        Self { rows: Vec::with_capacity(BATCH_ROWS_MAX), names: String::with_capacity(BATCH_ROWS_MAX * 32) }
    }

    /// The rows, in no order that means anything.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Session id and user id of a page view of this batch; both empty for other events.
    pub fn names(&self, row: &Row) -> (&str, &str) {
        let session = row.names as usize;
        let user = session + row.session_len as usize;
        (&self.names[session..user], &self.names[user..user + row.user_len as usize])
    }

    fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.names.len()
    }
}

/// What decides how a decoded event becomes a row.
#[derive(Clone, Debug)]
pub struct RowRules {
    /// The deployment's hash key.
    pub hash_key: HashKey,
    /// The allowed list; at most 255 types.
    pub event_types: Arc<[String]>,
}

/// Turns decoded events into batches, one open batch for each worker.
#[derive(Debug)]
pub struct Router {
    rules: RowRules,
    open: Vec<Batch>,
    full: Vec<(u64, Arc<Batch>)>,
    bytes: usize,
}

impl Router {
    /// A router to `workers` workers.
    pub fn new(rules: RowRules, workers: usize) -> Self {
        assert!(rules.event_types.len() <= usize::from(TYPE_NOT_LISTED), "a type's index fits a byte");
        Self { rules, open: (0..workers).map(|_| Batch::default()).collect(), full: Vec::new(), bytes: 0 }
    }

    /// Adds an event.
    pub fn push(&mut self, event: &Decoded<'_>, at: Position) {
        let user = self.rules.hash_key.hash(event.user_id);
        let target = worker_of(user, self.open.len());
        let batch = &mut self.open[target];
        if batch.rows.capacity() == 0 {
            *batch = Batch::with_capacity();
        }
        let page_view = event.event_type == tidegate_model::names::PAGE_VIEW;
        let names = length(batch.names.len());
        let (mut session, mut session_len, mut user_len) = (0, 0, 0);
        if page_view {
            session = self.rules.hash_key.hash(event.session_id);
            (session_len, user_len) = (length(event.session_id.len()), length(event.user_id.len()));
            batch.names.push_str(event.session_id);
            batch.names.push_str(event.user_id);
        }
        let listed = self.rules.event_types.iter().position(|listed| listed == event.event_type);
        batch.rows.push(Row {
            time_ms: event.time.as_millis(),
            user,
            session,
            offset: at.offset.0,
            partition: at.partition.0,
            load_time: match event.load_time {
                None => LOAD_TIME_MISSING,
                Some(millis) => u32::try_from(millis)
                    .ok()
                    .filter(|millis| *millis < LOAD_TIME_OUT_OF_RANGE)
                    .unwrap_or(LOAD_TIME_OUT_OF_RANGE),
            },
            names,
            session_len,
            user_len,
            event_type: listed.and_then(|index| u8::try_from(index).ok()).unwrap_or(TYPE_NOT_LISTED),
            device: event.device as u8,
            page_view: u8::from(page_view),
            reserved: 0,
        });
        if batch.rows.len() == BATCH_ROWS_MAX || batch.names.len() >= BATCH_NAMES_BYTES_MAX {
            self.close(target);
        }
    }

    /// The batches that are full, each with the worker it goes to.
    pub fn full(&mut self) -> &mut Vec<(u64, Arc<Batch>)> {
        &mut self.full
    }

    /// Every row that is left, full batch or not.
    pub fn flush(&mut self) -> &mut Vec<(u64, Arc<Batch>)> {
        for target in 0..self.open.len() {
            if !self.open[target].rows.is_empty() {
                // It waits for its epoch's end; the room that it does not use should not wait with it.
                self.open[target].rows.shrink_to_fit();
                self.open[target].names.shrink_to_fit();
                self.close(target);
            }
        }
        &mut self.full
    }

    /// Bytes of all batches closed since the last call.
    pub fn take_bytes(&mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }

    fn close(&mut self, target: usize) {
        let batch = std::mem::take(&mut self.open[target]);
        self.bytes += batch.bytes();
        self.full.push((target as u64, Arc::new(batch)));
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a batch is sent at a megabyte of names, and no record is near 4 GiB")
}
