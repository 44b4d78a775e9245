//! What is kept of the records that a job dropped.

use super::super::dropped::Sieve;
use super::*;

/// From 2026-01-01T00:00:00Z on; events before 1973 are not decoded.
const T: i64 = 1_767_225_600_000;

fn event(kind: &str, time: Option<i64>) -> String {
    let time = time.map_or(String::new(), |time| format!(",\"timestamp\":{time}"));
    format!(
        "{{\"event\":{{\"type\":\"{kind}\"}},\"user\":{{\"id\":\"u\"}},\"device\":{{\"user_agent\":\"a\",\
         \"screen_width\":1,\"screen_height\":1}},\"context\":{{\"url\":\"http://a.example/\",\
         \"session_id\":\"s\"}},\"metrics\":{{}}{time}}}"
    )
}

#[test]
fn of_dropped_records_only_those_are_kept_that_may_be_asked_for() {
    let mut story = Story::events();
    story.facts.question =
        Question { instant: at(T + 30), key: Some("click".to_owned()), ..story.facts.question };
    let mut picker = Picker::new(at(T), at(T + 100));
    for binding in [(1, T - 100, 2, 0), (2, T + 50, 4, 0), (3, T + 110, 6, 0), (4, T + 150, 9, 0)] {
        picker.add(bound(binding), &Follows::Nothing);
    }
    let bindings = picker.finish().expect("there are bindings");
    for (offset, value, is_kept, is_record) in [
        (3, event("click", Some(T + 10)), true, true),
        // A window of its time may be told of by what was dropped, wherever that lies.
        (99, event("click", Some(T + 99)), true, true),
        (3, event("click", Some(T + 100)), false, false),
        (3, event("click", Some(T - 1)), false, false),
        (3, event("page_view", Some(T + 10)), false, false),
        (3, "no event".to_owned(), false, false),
        // Only the log of events knows when it was appended.
        (3, event("click", None), true, false),
        (1, event("click", None), false, false),
        (7, event("click", None), false, false),
    ] {
        let mut sieve = Sieve::new(&story.facts.question, &story.facts.rules, &bindings);
        sieve.add((P, Offset(offset)), Epoch(2), "expired", value.as_bytes());
        assert_eq!((sieve.dropped.len(), sieve.records.len()), (is_kept.into(), is_record.into()), "{value}");
    }
}

#[test]
fn dropped_records_are_read_from_the_oldest_binding_on() {
    for (bindings, from, begins, first) in [
        (&BINDINGS[..], 0, true, 1),
        // What the window asked for lost may have been dropped before the oldest binding kept.
        (&BINDINGS[1..], 0, false, 0),
        (&BINDINGS[1..], 100, false, 2),
        // A record from the future was dropped before any that may count.
        (&BINDINGS[1..], 9_000, false, 2),
    ] {
        let mut picker = Picker::new(at(from), at(from + 150));
        for (index, binding) in bindings.iter().enumerate() {
            let follows = if begins && index == 0 { Follows::Nothing } else { Follows::Binding };
            picker.add(bound(*binding), &follows);
        }
        let found = picker.finish().expect("there are bindings").dropped_from();
        assert_eq!(found, Epoch(first), "{from} {begins}");
    }
}
