//! Decoding: JSON into the few fields that jobs ask for, on one thread.

use std::hint::black_box;

use serde::Deserialize;
use tidegate_dataflow::job;
use tidegate_dataflow::settings::JobSettings;
use tidegate_model::event::{Defaults, Event, FastDecoder, Fields};
use tidegate_model::{DeviceCategory, EventTime};
use uuid::Uuid;

use crate::measure::{By, Done, Group};
use crate::workload::{JsonLines, Workload};
use crate::{Scale, Table};

const EVENTS: usize = 200_000;

/// What jobs ask for of an event, as `serde_json` reads it without a copy. It does without the rules of
/// leniency, and would fail on a string with an escape.
#[derive(Deserialize)]
struct Borrowed<'a> {
    #[serde(borrow)]
    event: BorrowedType<'a>,
    #[serde(borrow)]
    user: BorrowedId<'a>,
    #[serde(borrow)]
    device: BorrowedDevice<'a>,
    #[serde(borrow)]
    context: BorrowedContext<'a>,
    metrics: BorrowedMetrics,
    timestamp: i64,
}

#[derive(Deserialize)]
struct BorrowedType<'a> {
    r#type: &'a str,
}

#[derive(Deserialize)]
struct BorrowedId<'a> {
    id: &'a str,
}

#[derive(Deserialize)]
struct BorrowedDevice<'a> {
    user_agent: &'a str,
}

#[derive(Deserialize)]
struct BorrowedContext<'a> {
    session_id: &'a str,
}

#[derive(Deserialize)]
struct BorrowedMetrics {
    load_time: Option<i64>,
}

/// Measures the decoders.
///
/// # Errors
/// None.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let lines = JsonLines::new(Workload::new(1), scale.of(EVENTS));
    let sum = sum_of_workload(lines.count());
    let needed = job::fields(&JobSettings::default());
    let (bytes, count) = (&lines.bytes, lines.count());
    let fast = |fields: Fields, exact: bool| {
        let lines = &lines;
        move || Ok(Done::by(|| fast(lines, fields), |found| assert!(!exact || found == sum)))
    };
    let table = Group::new("Decoding, one thread", By::Cpu, "events", count, bytes.len())
        .ceiling("newline scan", || {
            let scan = || memchr::memchr_iter(b'\n', black_box(bytes)).count();
            Ok(Done::by(scan, |found| assert_eq!(found, count)))
        })
        .ceiling("UTF-8 check", || {
            let check = || std::str::from_utf8(black_box(bytes)).is_ok();
            Ok(Done::by(check, |sound| assert!(sound)))
        })
        .ceiling("serde_json, borrowed", || Ok(Done::by(|| borrowed(&lines), |found| assert_eq!(found, sum))))
        .case("`FastDecoder`, fields of all jobs", fast(needed, true))
        .case("`FastDecoder`, every field", fast(Fields::ALL, true))
        .case("`FastDecoder`, no field", fast(Fields::NONE, false))
        .case("`Event::decode`", || Ok(Done::by(|| strict(&lines), |found| assert_eq!(found, sum))))
        .case("`Event::decode` and `encode_into`", || {
            Ok(Done::by(|| there_and_back(&lines), |encoded| assert_eq!(encoded, bytes.len() - count)))
        })
        .measure(scale)?;
    Ok(vec![table])
}

/// Something that every decoded field has a part in, so that none is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum(i64);

impl Sum {
    fn add(&mut self, texts: [&str; 4], load_time: Option<i64>, timestamp: i64) {
        let lengths = texts.iter().map(|text| text.len()).sum::<usize>();
        self.0 += i64::try_from(lengths).expect("short texts");
        self.0 += load_time.unwrap_or(-1) + timestamp % 1_000_000;
    }
}

/// The same sum without any decoder.
fn sum_of_workload(count: usize) -> Sum {
    let mut sum = Sum::default();
    for one in Workload::new(1).take(count) {
        let act = one.act;
        let texts = [act.event_type(), &act.user_id(), &act.session_id(), act.agent().0];
        sum.add(texts, act.load_time_ms().map(i64::from), one.time.as_millis());
    }
    sum
}

fn fast(lines: &JsonLines, fields: Fields) -> Sum {
    let mut decoder = FastDecoder::new(fields);
    let mut sum = Sum::default();
    for line in lines.lines() {
        let event = decoder.decode(black_box(line), EventTime::MIN).expect("it is an event");
        // A source asks for this of every event.
        black_box(DeviceCategory::from_user_agent(event.user_agent));
        let texts = [event.event_type, event.user_id, event.session_id, event.user_agent];
        sum.add(texts, event.load_time, event.timestamp.as_millis());
    }
    sum
}

fn borrowed(lines: &JsonLines) -> Sum {
    let mut sum = Sum::default();
    for line in lines.lines() {
        let event: Borrowed<'_> = serde_json::from_slice(black_box(line)).expect("it is an event");
        let texts = [event.event.r#type, event.user.id, event.context.session_id, event.device.user_agent];
        black_box(DeviceCategory::from_user_agent(event.device.user_agent));
        sum.add(texts, event.metrics.load_time, event.timestamp);
    }
    sum
}

const DEFAULTS: Defaults = Defaults { id: Uuid::nil(), now: EventTime::MIN };

fn strict(lines: &JsonLines) -> Sum {
    let mut sum = Sum::default();
    for line in lines.lines() {
        let event = Event::decode(black_box(line), &DEFAULTS).expect("it is an event");
        let texts = [&*event.event_type, &*event.user_id, &*event.session_id, &*event.user_agent];
        sum.add(texts, event.load_time, event.timestamp.as_millis());
    }
    sum
}

/// What an import of JSON Lines does with each of them. Returns the bytes written.
fn there_and_back(lines: &JsonLines) -> usize {
    let (mut out, mut bytes) = (Vec::new(), 0);
    for line in lines.lines() {
        out.clear();
        Event::decode(black_box(line), &DEFAULTS).expect("it is an event").encode_into(&mut out);
        bytes += black_box(&out).len();
    }
    bytes
}
