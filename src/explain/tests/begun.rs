//! Jobs that began anew, and gaps.

use tidegate_model::binding::{BINDING_VERSION, Gap, Manifest, Origin};
use tidegate_model::{Binding, Generation, Ledger};

use super::*;

const FILTERED: &str = "filtered: the job began anew in epoch ";
const GIVEN_UP: &str = "given up: the job began anew in epoch ";

#[test]
fn what_came_before_a_job_began_anew_or_since_for_then_does_not_count() {
    let events = || Story::events().record((P, 0), 10, "click").record((P, 4), 20, "click");
    let open = || Story::of(Subject::Events, &BINDINGS[..2], true).record((P, 0), 10, "click");
    let unread = || open().record((P, 5), 20, "click");
    let pruned = || Story::of(Subject::Events, &BINDINGS[2..], false).record((P, 0), 10, "click");
    for (story, state, records, left_out) in [
        // Epoch 3 makes the window final; offset 0 is of epoch 2, and offset 4 of epoch 4.
        (events().begun(3, 0), State::Never, 0, &[GIVEN_UP, FILTERED][..]),
        (events().begun(4, 0), State::Removed, 1, &[FILTERED]),
        (events().begun(4, 0).said(3, Op::Final, clicks(1)), State::Final, 1, &[FILTERED]),
        (events().begun(5, 0).said(3, Op::Final, clicks(1)), State::Final, 2, &[]),
        (events().begun(3, -1), State::Removed, 2, &[]),
        (unread().begun(1, 0), State::Never, 0, &[FILTERED, FILTERED]),
        (unread().begun(1, -1), State::Open, 1, &[]),
        (pruned().begun(3, 99), State::Never, 0, &["given up or filtered: "]),
        (pruned().begun(4, 99), State::Never, 0, &[GIVEN_UP]),
        (pruned().begun(3, 100), State::Removed, 1, &[]),
    ] {
        let row = story.row();
        assert_eq!((row.state, row.records), (state, records), "{:?} {row:#?}", story.facts.start);
        let reasons: Vec<&str> = row.left_out.iter().map(|left_out| left_out.reason.as_str()).collect();
        let are_told = reasons.iter().zip(left_out).all(|(reason, told)| reason.starts_with(told));
        assert!(reasons.len() == left_out.len() && are_told, "{:?} {reasons:?}", story.facts.start);
        assert_eq!(story.explained().waiting.is_some(), state == State::Open, "{row:#?}");
    }

    let text = print::text(&events().begun(3, 0).explained());
    for part in [
        "the job began anew in epoch 3, with windows that begin after 1970-01-01T00:00:00.000Z: of earlier ones, ",
        "click: never, its row does not come, because the job began anew before it was final\n",
        "filtered: the job began anew in epoch 3, with windows that begin after 1970-01-01T00:00:00.000Z: ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let untold = pruned().begun(3, 100).explained().untold;
    assert!(untold[0].contains("nor whether what has no row was given up"), "{untold:?}");
    // Where there is nothing, nothing is waited for either.
    let nothing = Story::of(Subject::Events, &BINDINGS[..2], true).begun(1, 0).explained();
    assert_eq!((nothing.rows.len(), nothing.waiting, nothing.begun.is_some()), (0, None, true));
}

/// Before epoch 3 the log was cut off, at offset 1 of P; of Q nothing is gone.
fn cut_off(bindings: &[(u64, i64, u64, u64)], from: i64) -> Bindings {
    let mut picker = Picker::new(at(from), at(from + 150));
    for binding in bindings {
        let follows = if binding.0 == 3 { Follows::of(&behind_the_gap()) } else { Follows::Nothing };
        picker.add(bound(*binding), &follows);
    }
    picker.finish().expect("there are bindings")
}

/// The binding of epoch 3, as far as it says what it goes on from. It names only P as jumped.
fn behind_the_gap() -> Binding {
    let Bound { now, close_to, mut partitions, .. } = bound((2, 50, 3, 1));
    partitions.get_mut(&P).expect("it is there").end = Offset(1);
    let origin = Origin { hash_key: (1, 2) };
    let nothing = Manifest { epoch: Epoch(2), now, close_to, partitions, origin, objects: Vec::new() };
    Binding {
        version: BINDING_VERSION,
        epoch: Epoch(3),
        generation: Generation(2),
        definitions: BTreeMap::new(),
        now,
        close_to,
        partitions: BTreeMap::new(),
        ledger: Ledger::default(),
        starts: BTreeMap::new(),
        origin: None,
        snapshot: Some(nothing),
        last_records: BTreeMap::new(),
        gap: Some([(P, Gap { bound: Offset(3), resumed: Offset(1) })].into()),
    }
}

/// Of a partition that did not jump every event from before the gap was taken for one of its epoch.
#[test]
fn a_partition_that_did_not_jump_begins_where_it_was_read_when_the_gap_is_the_oldest_binding() {
    let found = cut_off(&[(3, 60, 2, 2), (4, 110, 4, 3)], 0);
    assert_eq!([P, Q].map(|partition| found.offsets(partition).start), [Offset(1), Offset(1)]);
    assert_eq!(found.place(Q, Offset(0)), Place::Pruned);
    assert_eq!([found.place(P, Offset(1)), found.place(Q, Offset(1))], [Place::Epoch(0); 2]);
}

#[test]
fn what_came_before_a_gap_is_given_up_and_its_offsets_begin_anew() {
    let open = [(1, 0, 0, 0), (2, 50, 3, 1), (3, 60, 2, 2), (4, 110, 4, 3)];
    let found = cut_off(&open, 0);
    assert_eq!((found.gap, found.dropped_from(), found.first), (Some(Epoch(3)), Epoch(3), Some(Epoch(1))));
    assert_eq!((found.moved_at.0, found.reaches_pruned()), (Epoch(4), false));
    assert_eq!([P, Q].map(|partition| found.offsets(partition).start), [Offset(1), Offset(1)]);
    assert_eq!(cut_off(&open, 100).gap, None, "a window that begins later has nothing to do with it");

    let story = |bindings: &[(u64, i64, u64, u64)]| {
        let mut story = Story::events().begun(3, 0);
        story.facts.bindings = cut_off(bindings, 0);
        story
    };
    let row = story(&open).record((P, 1), 10, "click").record((Q, 2), 20, "click").row();
    let told: Vec<_> = row.left_out.iter().map(|record| (record.offset.0, record.epoch)).collect();
    assert_eq!((row.state, told), (State::Never, vec![(1, Some(Epoch(3))), (2, Some(Epoch(4)))]));

    // What was final before it stays, and is not said to have come with it.
    let closed = [(1, 0, 0, 0), (2, 100, 3, 1), (3, 110, 2, 2)];
    let told = story(&closed).said(2, Op::Final, clicks(1)).explained();
    let row = &told.rows[0];
    assert_eq!((row.state, row.records, row.final_epoch), (State::Final, 0, None));
    assert!(told.untold[0].contains("before epoch 3 was given up (--accept-gap)"), "{:?}", told.untold);
    // Where nothing is left from before it, nobody knows what was final.
    assert_eq!(story(&closed[2..]).said(2, Op::Final, clicks(1)).row().final_epoch, None);
    assert_eq!(cut_off(&closed[2..], 0).gap, Some(Epoch(3)));
}

#[test]
fn sessions_from_before_the_job_began_anew_end_there() {
    let story = |epoch| {
        let story = Story::of(Subject::Sessions, &BINDINGS, true);
        let mut story = story.record((P, 0), 25, "u").record((P, 3), 40, "u").record((P, 4), 56, "u");
        story.facts.question =
            Question { key: Some("s".to_owned()), instant: at(57), ..story.facts.question };
        story.begun(epoch, 45)
    };
    let rows = story(3).explained().rows;
    let told: Vec<_> =
        rows.iter().map(|row| (row.span.start, row.span.end, row.state, row.records)).collect();
    assert_eq!(told, [(at(25), at(40), State::Never, 0), (at(56), at(56), State::Removed, 1)]);
    let reasons: Vec<&str> = rows[0].left_out.iter().map(|left_out| left_out.reason.as_str()).collect();
    assert!(reasons[0].starts_with(GIVEN_UP) && reasons[1].starts_with(FILTERED), "{reasons:?}");
    assert!(reasons[0].contains("in epoch 3, with sessions of events after 1970"), "{reasons:?}");
    // A row that was said before stays, and ends where it did.
    let rows = story(4).said(3, Op::Final, session(25, 40, 2)).explained().rows;
    assert_eq!((rows[0].state, rows[0].span.end, rows[0].records), (State::Final, at(40), 2));

    let mut windows = Story::of(Subject::SessionWindows, &BINDINGS, true).begun(4, 0);
    let mut row = columns(session(25, 40, 2));
    row.insert("device_category".to_owned(), "Mobile".into());
    windows.facts.sessions = vec![Said { epoch: Epoch(5), op: Op::Final, row }];
    let row = windows.row();
    assert_eq!((row.state, row.epochs.len()), (State::Never, 0));
}
