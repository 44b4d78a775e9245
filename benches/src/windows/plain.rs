//! The same windows by plain hash maps, over all events at once and without time: what is left of the work when
//! nothing comes late, nothing is committed and nothing has to be freed on the way.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;

use tidegate_dataflow::batch::Decoded;
use tidegate_dataflow::report::OutRow;
use tidegate_dataflow::settings::JobSettings;
use tidegate_model::names::PAGE_VIEW;
use tidegate_model::row::SessionMetrics;
use tidegate_model::{DeviceCategory, EventTime, Op};

use super::drive::{HASH_KEY, Outcome};
use crate::workload::MemoryLog;

/// Hands a hash that already is one on to a hash table.
#[derive(Clone, Copy, Debug, Default)]
struct Prehashed(u64);

impl Hasher for Prehashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only whole numbers are hashed; this keeps the trait's contract for anything else.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = self.0.rotate_left(32) ^ hash;
    }
}

type HashedMap<K, V> = HashMap<K, V, BuildHasherDefault<Prehashed>>;
type HashedSet = HashSet<u64, BuildHasherDefault<Prehashed>>;

/// Looks at every event.
pub(super) fn scan(log: &MemoryLog) -> u64 {
    let mut sum = 0_u64;
    for event in black_box(log).events() {
        let bytes = event.user_id.len() + event.session_id.len() + event.event_type.len();
        sum = sum.wrapping_add(event.time.as_millis().cast_unsigned()).wrapping_add(bytes as u64);
        sum = sum.wrapping_add(event.load_time.unwrap_or_default().cast_unsigned());
    }
    sum
}

/// A key of small numbers, for a map that takes its hash to be good already.
fn spread(window: i64, kind: usize) -> u64 {
    tidegate::load::random::mix(window.cast_unsigned() << 8 | kind as u64)
}

/// The page views of one user and session id.
struct Session<'a> {
    name: &'a str,
    user: &'a str,
    device: DeviceCategory,
    times: Vec<i64>,
}

impl Session<'_> {
    /// The row of a part of them that is a session, as it goes into the log.
    fn row(&self, times: &[i64]) -> OutRow {
        let (first, last) = (times[0], times[times.len() - 1]);
        let row = SessionMetrics {
            session_id: self.name.to_owned(),
            user_id: self.user.to_owned(),
            start_time: EventTime::from_millis(first),
            end_time: EventTime::from_millis(last),
            duration: (last - first).unsigned_abs(),
            page_count: times.len() as u64,
            device_category: self.device.as_str().to_owned(),
        };
        OutRow::new(&row, Op::Final)
    }
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sessions {
    /// It is counted.
    Counted,
    /// It is a row as well. The other tables have few rows, so that theirs make no difference.
    Written,
}

/// Counts everything, and makes of each window the numbers that its row would hold.
pub(super) fn count(log: &MemoryLog, mode: Sessions) -> Outcome {
    let settings = JobSettings::default();
    let mut windows: HashedMap<u64, (u64, HashedSet)> = HashedMap::default();
    let mut sessions: HashedMap<(u64, u64), Session<'_>> = HashedMap::default();
    let mut loads: HashedMap<u64, Vec<i64>> = HashedMap::default();
    for event in log.events() {
        let user = HASH_KEY.hash(event.user_id);
        let time = event.time.as_millis();
        let types = &settings.allowed_event_types;
        if let Some(kind) = types.iter().position(|own| own == event.event_type) {
            let window = windows.entry(spread(time.div_euclid(settings.event_window_ms), kind)).or_default();
            window.0 += 1;
            window.1.insert(user);
        }
        if event.event_type == PAGE_VIEW {
            let session = HASH_KEY.hash(event.session_id);
            let Decoded { session_id, user_id, device, .. } = event;
            let new = || Session { name: session_id, user: user_id, device, times: Vec::new() };
            sessions.entry((user, session)).or_insert_with(new).times.push(time);
            if let Some(load) = event.load_time {
                let window = time.div_euclid(settings.performance_window_ms);
                loads.entry(spread(window, device as usize)).or_default().push(load);
            }
        }
    }
    let mut outcome = Outcome::default();
    for (events, users) in windows.values() {
        let (rows, all_events, all_users) = outcome.windows;
        outcome.windows = (rows + 1, all_events + events, all_users + users.len() as u64);
    }
    let mut overview = HashedSet::default();
    for own in sessions.values_mut() {
        own.times.sort_unstable();
        for session in own.times.chunk_by(|one, next| next - one <= settings.session_gap_ms) {
            outcome.sessions = (outcome.sessions.0 + 1, outcome.sessions.1 + session.len() as u64);
            let end = session.last().expect("a chunk is not empty");
            overview.insert(spread(end.div_euclid(settings.session_window_ms), own.device as usize));
            if mode == Sessions::Written {
                black_box(own.row(session));
            }
        }
    }
    for times in loads.values_mut() {
        times.sort_unstable();
        let (sum, last) = (times.iter().sum::<i64>(), times.len() - 1);
        black_box((sum as f64 / times.len() as f64, times[last * 95 / 100]));
    }
    outcome.performance = loads.len() as u64;
    outcome.overview = overview.len() as u64;
    outcome
}
