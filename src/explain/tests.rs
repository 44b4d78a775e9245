//! Explanations, from facts that are made by hand.

mod begun;
mod dropped;

use std::collections::BTreeMap;

use serde_json::json;
use tidegate_dataflow::job::definitions;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::{Epoch, EventTime, JobStart, Offset, Op, PartitionId, PartitionState};

use super::bound::{Bindings, Bound, Follows, Picker, Place};
use super::explain;
use super::explanation::{Explanation, RowStory, State};
use super::facts::{Columns, DroppedRecord, Facts, Nearest, Question, Record, Said, Stored};
use super::print;
use super::subject::{Rules, Subject};

const P: PartitionId = PartitionId(0);
const Q: PartitionId = PartitionId(1);

fn at(ms: i64) -> EventTime {
    EventTime::from_millis(ms)
}

/// A binding: epoch, frontier, ends of both partitions. The largest time is ten above the frontier.
fn bound((epoch, close_to, p, q): (u64, i64, u64, u64)) -> Bound {
    let now = at(100_000 + i64::try_from(epoch).expect("small"));
    let state = |end| PartitionState { end: Offset(end), largest: at(close_to + 10), active_at: now };
    Bound {
        epoch: Epoch(epoch),
        now,
        close_to: at(close_to),
        partitions: [(P, state(p)), (Q, state(q))].into(),
    }
}

/// Windows of 100 ms from which nothing is pruned; late for 50 ms; a gap of 20 ms.
struct Story {
    facts: Facts,
}

const BINDINGS: [(u64, i64, u64, u64); 5] =
    [(1, 0, 0, 0), (2, 50, 3, 1), (3, 110, 4, 2), (4, 140, 6, 2), (5, 160, 7, 2)];

impl Story {
    fn of(subject: Subject, bindings: &[(u64, i64, u64, u64)], begins: bool) -> Self {
        let settings = JobSettings {
            event_window_ms: 100,
            session_window_ms: 100,
            session_gap_ms: 20,
            allowed_lateness_ms: 50,
            future_tolerance_ms: 1_000,
            ..JobSettings::default()
        };
        let rules = Rules::read(subject, &definitions(&settings)[subject.job()]).expect("they are ours");
        let facts = Facts {
            question: Question { subject, instant: at(30), key: None },
            rules,
            start: JobStart::ORIGIN,
            time: TimeSettings { bound_ms: 10, idle_timeout_ms: 5_000, ..TimeSettings::default() },
            clock: at(100_010),
            bindings: picked(bindings, begins),
            records: BTreeMap::new(),
            dropped: BTreeMap::new(),
            said: Vec::new(),
            stored: Vec::new(),
            sessions: Vec::new(),
            ends: [(P, Offset(7)), (Q, Offset(2))].into(),
            nearest: Nearest::default(),
            untold: Vec::new(),
        };
        Self { facts }
    }

    fn events() -> Self {
        Self::of(Subject::Events, &BINDINGS, true)
    }

    /// A record of a type or of a user.
    fn record(mut self, (partition, offset): (PartitionId, u64), time: i64, key: &str) -> Self {
        let record = Record { time: at(time), append_time: Some(at(time)), key: key.to_owned() };
        self.facts.records.insert((partition, Offset(offset)), record);
        self
    }

    fn said(mut self, epoch: u64, op: Op, row: serde_json::Value) -> Self {
        self.facts.said.push(Said { epoch: Epoch(epoch), op, row: columns(row) });
        self
    }

    fn stored(mut self, epoch: u64, row: serde_json::Value) -> Self {
        self.facts.stored.push(Stored { epoch: Epoch(epoch), row: columns(row) });
        self
    }

    fn begun(mut self, epoch: u64, after: i64) -> Self {
        self.facts.start = JobStart { epoch: Epoch(epoch), after: at(after) };
        self
    }

    fn explained(&self) -> Explanation {
        explain(&self.facts)
    }

    /// The one row that there is.
    fn row(&self) -> RowStory {
        let mut rows = self.explained().rows;
        assert_eq!(rows.len(), 1, "{rows:#?}");
        rows.remove(0)
    }
}

fn picked(bindings: &[(u64, i64, u64, u64)], begins: bool) -> Bindings {
    let mut picker = Picker::new(at(0), at(150));
    for (index, binding) in bindings.iter().enumerate() {
        let follows = if begins && index == 0 { Follows::Nothing } else { Follows::Binding };
        picker.add(bound(*binding), &follows);
    }
    picker.finish().expect("there are bindings")
}

fn columns(row: serde_json::Value) -> Columns {
    match row {
        serde_json::Value::Object(columns) => columns,
        other => panic!("{other} is no row"),
    }
}

fn clicks(count: u64) -> serde_json::Value {
    json!({ "window_start": at(0), "window_end": at(100), "event_type": "click", "event_count": count })
}

/// Epoch, whether it is late, and its ranges of offsets as partition, first and end.
fn epochs(row: &RowStory) -> Vec<(Option<u64>, bool, Vec<[u64; 3]>)> {
    let ranges = |epoch: &super::explanation::Contribution| {
        let shares = epoch.partitions.iter();
        let ranges = shares.flat_map(|share| {
            share.offsets.iter().map(|range| [share.partition.0.into(), range.from.0, range.to.0])
        });
        ranges.collect()
    };
    let of = |epoch: &super::explanation::Contribution| (epoch.epoch.map(|e| e.0), epoch.late, ranges(epoch));
    row.epochs.iter().map(of).collect()
}

#[test]
fn a_final_row_has_the_epochs_and_offsets_that_made_it() {
    let story = Story::events()
        .record((P, 0), 10, "click")
        .record((P, 1), 20, "click")
        .record((P, 3), 30, "click")
        .record((Q, 0), 40, "click")
        .said(3, Op::Final, clicks(4));
    let row = story.row();
    assert_eq!((row.state, row.records, row.final_epoch), (State::Final, 4, Some(Epoch(3))));
    assert_eq!(
        epochs(&row),
        [(Some(2), false, vec![[0, 0, 2], [1, 0, 1]]), (Some(3), false, vec![[0, 3, 4]])]
    );
    assert_eq!(row.said[0].columns, columns(json!({ "event_count": 4 })));
    let explained = story.explained();
    assert_eq!((explained.waiting, explained.nearest, explained.untold.len()), (None, None, 0));
}

#[test]
fn what_came_after_the_row_was_final_is_late_and_what_came_later_still_is_left_out() {
    let story = Story::events()
        .record((P, 0), 10, "click")
        .record((P, 4), 90, "click")
        .record((P, 6), 95, "click")
        .said(3, Op::Final, clicks(1))
        .said(4, Op::Correct, clicks(2));
    let row = story.row();
    assert_eq!(row.state, State::Corrected);
    // Offset 6 is of epoch 5, before which the frontier stood at 140: within the lateness of 50.
    assert_eq!(
        epochs(&row),
        [
            (Some(2), false, vec![[0, 0, 1]]),
            (Some(4), true, vec![[0, 4, 5]]),
            (Some(5), true, vec![[0, 6, 7]])
        ]
    );
    assert_eq!((row.left_out.len(), row.unbound.len()), (0, 0));

    let mut story = story;
    let dropped = DroppedRecord { epoch: Epoch(5), reason: "expired".to_owned() };
    story.facts.dropped.insert((P, Offset(6)), dropped);
    let row = story.row();
    assert_eq!((row.records, row.left_out.len(), row.unbound.len()), (2, 1, 0));
    let left_out = &row.left_out[0];
    assert_eq!((left_out.reason.as_str(), left_out.epoch), ("expired", Some(Epoch(5))));
}

#[test]
fn the_rules_say_what_is_left_out_where_nobody_remembers() {
    let bindings = [(1, 0, 0, 0), (2, 149, 1, 0), (3, 149, 2, 0), (4, 200, 3, 0)];
    for (offset, time, append_time, reason) in
        [(0, 10, 10, None), (1, 10, 10, None), (1, 99, -2_000, Some("future")), (2, 10, 10, None)]
    {
        let mut story = Story::of(Subject::Events, &bindings, true);
        let record = Record { time: at(time), append_time: Some(at(append_time)), key: "click".to_owned() };
        story.facts.records.insert((P, Offset(offset)), record);
        let found: Vec<String> = story.row().left_out.into_iter().map(|left_out| left_out.reason).collect();
        assert_eq!(found, reason.into_iter().collect::<Vec<_>>(), "{offset} {time}");
    }
    // Before epoch 2 the frontier stood where nothing counts any more.
    let mut story = Story::of(Subject::Events, &[(1, 150, 0, 0)], true).record((P, 0), 10, "click");
    story.facts.bindings = {
        let mut picker = Picker::new(at(0), at(400));
        [(1, 150, 0, 0), (2, 160, 1, 0)]
            .map(bound)
            .into_iter()
            .for_each(|bound| picker.add(bound, &Follows::Nothing));
        picker.finish().expect("there are bindings")
    };
    let row = story.row();
    assert_eq!((row.state, row.left_out[0].reason.as_str()), (State::Nothing, "expired"));
}

#[test]
fn the_state_of_a_row() {
    let counted = || Story::events().record((P, 0), 10, "click");
    let cases = [
        (Story::of(Subject::Events, &BINDINGS[..2], true).record((P, 0), 10, "click"), State::Open),
        (counted().said(3, Op::Final, clicks(1)), State::Final),
        (counted().stored(3, clicks(1)), State::Final),
        (counted().stored(4, clicks(1)), State::Corrected),
        (counted(), State::Removed),
        (counted().said(3, Op::Final, clicks(1)).said(4, Op::Retract, clicks(1)), State::Retracted),
    ];
    for (story, state) in cases {
        assert_eq!(story.row().state, state, "{:#?}", story.facts);
    }
}

#[test]
fn an_open_row_names_who_holds_the_frontier() {
    let mut story = Story::of(Subject::Events, &BINDINGS[..2], true).record((P, 0), 10, "click").record(
        (P, 3),
        20,
        "click",
    );
    let behind = &mut story.facts.bindings.newest.partitions;
    behind.get_mut(&Q).expect("it is there").largest = at(55);
    story.facts.ends = [(P, Offset(4)), (Q, Offset(1))].into();
    let explained = story.explained();
    let waiting = explained.waiting.as_ref().expect("it is open");
    assert_eq!((waiting.frontier, waiting.must_reach, waiting.short_ms), (Some(at(50)), at(100), Some(50)));
    assert_eq!(waiting.held_by, "partitions");
    assert_eq!(waiting.holding, [(Q, "lowest_watermark")].into());
    assert_eq!((waiting.unmoved_since.epoch, waiting.unmoved_since.or_longer), (Epoch(2), false));
    assert!(!waiting.stands_still);
    assert_eq!(explained.rows[0].unbound[0].offsets[0].from, Offset(3));

    let text = print::text(&explained);
    for part in [
        "click: open, its row is not final yet\n",
        "  final      when the frontier comes to 1970-01-01T00:00:00.100Z\n",
        "  made of    1 record in 1 epoch\n",
        "partition 0 offsets 0 (1 record)\n",
        "  not read   partition 0 offsets 3 (1 record): in the log, but in no epoch yet\n",
        "the frontier is 1970-01-01T00:00:00.050Z and must come to 1970-01-01T00:00:00.100Z, 50ms further\n",
        "  held by    partition 1 (lowest_watermark)\n",
        "partition 1: watermark 1970-01-01T00:00:00.045Z (its newest event minus 10ms)",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }

    // A minute later, by the machine's clock, everything is idle; but nobody has journaled that.
    story.facts.clock = at(160_000);
    let explained = story.explained();
    let waiting = explained.waiting.as_ref().expect("it is open");
    assert_eq!((waiting.held_by, waiting.stands_still), ("partitions", true));
    assert_eq!(waiting.holding, [(P, "backlog")].into(), "what is not read yet keeps it from being idle");
    assert!(print::text(&explained).contains("unless a process writes this directory"));
}

#[test]
fn a_log_whose_end_cannot_be_seen_is_not_idle() {
    let mut story = Story::of(Subject::Events, &BINDINGS[..2], true).record((P, 0), 10, "click");
    story.facts.clock = at(900_000);
    story.facts.ends = [(P, Offset(3))].into();
    let waiting = story.explained().waiting.expect("it is open");
    assert_eq!(waiting.holding, [(Q, "look_failed")].into());
    story.facts.ends.insert(Q, Offset(1));
    assert_eq!(story.explained().waiting.expect("it is open").held_by, "clock");
}

#[test]
fn nothing_at_all_says_where_there_is_something() {
    let mut story = Story::events();
    story.facts.question.key = Some("click".to_owned());
    story.facts.nearest = Nearest { before: None, after: Some(at(300)) };
    let explained = story.explained();
    assert!(explained.rows.is_empty() && explained.waiting.is_none());
    let text = print::text(&explained);
    assert!(text.contains("no event of click counts in this window, as far as the log goes"), "{text}");
    assert!(text.contains("the closest one of click after it begins at 1970-01-01T00:00:00.300Z"), "{text}");
    assert!(!text.contains("before it"), "{text}");

    // While the window may still get some, it says so.
    let story = Story::of(Subject::Events, &BINDINGS[..2], true);
    let explained = story.explained();
    assert_eq!(explained.waiting.map(|waiting| waiting.must_reach), Some(at(100)));
    assert!(explained.nearest.is_some());
}

#[test]
fn what_was_pruned_is_said_and_not_guessed() {
    let story = Story::of(Subject::Events, &BINDINGS[1..], false)
        .record((P, 0), 10, "click")
        .record((P, 3), 30, "click")
        .said(3, Op::Final, clicks(2));
    let explained = story.explained();
    assert_eq!(
        epochs(&explained.rows[0]),
        [(None, false, vec![[0, 0, 1]]), (Some(3), false, vec![[0, 3, 4]])]
    );
    assert!(explained.untold[0].contains("bindings before epoch 2 were pruned"), "{:?}", explained.untold);
    let text = print::text(&explained);
    assert!(text.contains("cannot be told any more\n  bindings before epoch 2"), "{text}");
    assert!(text.contains("an epoch whose binding was pruned: partition 0 offsets 0 (1 record)"), "{text}");
}

fn session(start: i64, end: i64, pages: u64) -> serde_json::Value {
    json!({ "session_id": "s", "user_id": "u", "start_time": at(start), "end_time": at(end), "page_count": pages })
}

#[test]
fn a_session_is_what_chains_together_around_the_instant() {
    let mut story = Story::of(Subject::Sessions, &BINDINGS, true)
        .record((P, 0), 25, "u")
        .record((P, 1), 40, "u")
        .record((P, 2), 70, "u")
        .record((Q, 0), 30, "other")
        .said(3, Op::Final, session(25, 40, 2));
    story.facts.question.key = Some("s".to_owned());
    let explained = story.explained();
    let keys: Vec<&str> = explained.rows.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(keys, ["s|other", "s|u"]);
    let row = &explained.rows[1];
    assert_eq!((row.state, row.records, row.final_at), (State::Final, 2, at(60)));
    assert_eq!((row.span.start, row.span.end), (at(25), at(40)));

    // A late record bridges the two: both rows go, and one comes.
    let merged = story.record((P, 5), 55, "u").said(4, Op::Retract, session(25, 40, 2)).said(
        4,
        Op::Correct,
        session(25, 70, 4),
    );
    let row = &merged.explained().rows[1];
    assert_eq!((row.state, row.records, row.span.end), (State::Corrected, 4, at(70)));
    assert!(row.epochs.last().expect("there are epochs").late);
}

#[test]
fn a_window_over_sessions_is_made_of_their_rows() {
    let mut story = Story::of(Subject::SessionWindows, &BINDINGS, true);
    let window =
        json!({ "window_start": at(0), "window_end": at(100), "device_category": "Mobile", "sessions": 1 });
    let row = |epoch, op, device: &str| {
        let mut row = columns(session(25, 40, 2));
        row.insert("device_category".to_owned(), device.into());
        Said { epoch: Epoch(epoch), op, row }
    };
    story.facts.sessions = vec![row(3, Op::Final, "Mobile"), row(5, Op::Retract, "Mobile")];
    let story = story.said(4, Op::Final, window);
    let row = story.row();
    assert_eq!((row.key.as_str(), row.final_at, row.final_epoch), ("Mobile", at(120), Some(Epoch(4))));
    let brought: Vec<_> = row.epochs.iter().map(|epoch| (epoch.late, epoch.sessions[0].op)).collect();
    assert_eq!(brought, [(false, Op::Final), (true, Op::Retract)]);
}

#[test]
fn long_lists_are_cut_in_the_middle_and_names_cannot_steer_a_terminal() {
    let mut story = Story::events();
    for offset in 0..40 {
        story = story.record((P, offset), 10, "cl\u{1b}ick");
        let dropped = DroppedRecord { epoch: Epoch(9), reason: "expired".to_owned() };
        story.facts.dropped.insert((P, Offset(offset)), dropped);
    }
    let text = print::text(&story.explained());
    assert!(text.contains("… 20 more; --format json shows all"), "{text}");
    assert_eq!(text.matches("expired: partition 0").count(), 20, "{text}");
    assert!(text.contains("cl\\u{1b}ick: nothing") && !text.contains('\u{1b}'), "{text}");
}
