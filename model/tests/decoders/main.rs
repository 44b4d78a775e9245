//! The two decoders never disagree. What that means is [`check`]; the rest finds it bodies.

mod check;
mod generate;

use proptest::collection::vec;
use proptest::prelude::*;
use tidegate_model::event::{DEPTH_MAX, DecodeError, Event};

use crate::check::{DEFAULTS, check, every_set, few_sets};
use crate::generate::{bodies, damage, events};

/// Has escapes, an exponent, nested values and characters of several bytes in it.
const BODY: &str = concat!(
    r#"{"event":{"type":"page_\u0076iew"},"user":{"id":"ü-\ud83d\ude00"},"device":{"user_agent":"M\"o\\z","#,
    r#""screen_width":1920,"screen_height":-10.0e1},"context":{"url":"https://example.com/ä","referrer":null,"#,
    r#""ip_address":"::1","session_id":"sess-1"},"properties":{"a":"b","c":2.5},"more":[1,{"d":true}],"#,
    r#""metrics":{"load_time":"120.0","interaction_time":null}, "timestamp" : 1431857103007 }"#,
);

#[test]
fn on_every_body_of_the_table_of_pydantic() {
    let table: serde_json::Value =
        serde_json::from_str(include_str!("../pydantic_verdicts.json")).expect("a table");
    for row in table["verdicts"].as_array().expect("rows") {
        check(row["body"].as_str().expect("a body").as_bytes(), every_set());
    }
}

#[test]
fn on_every_beginning_and_end_of_a_body() {
    assert!(Event::decode(BODY.as_bytes(), &DEFAULTS).is_ok());
    for at in 0..=BODY.len() {
        check(&BODY.as_bytes()[..at], few_sets());
        check(&BODY.as_bytes()[at..], few_sets());
    }
}

#[test]
fn on_a_body_with_any_bit_flipped() {
    for at in 0..BODY.len() * 8 {
        let mut body = BODY.as_bytes().to_vec();
        body[at / 8] ^= 1 << (at % 8);
        check(&body, few_sets());
    }
}

#[test]
fn on_a_body_with_any_byte_removed_or_inserted() {
    for at in 0..BODY.len() {
        let (before, after) = BODY.as_bytes().split_at(at);
        check(&[before, &after[1..]].concat(), few_sets());
        for inserted in b"\"\\{}[]:,0-.eE+ \n\x00\x1f\x7f\x80\xff" {
            check(&[before, &[*inserted], after].concat(), few_sets());
        }
    }
}

/// As many levels as both take, and one more, wherever a value can be.
#[test]
fn on_deep_bodies() {
    let limit = DEPTH_MAX as usize;
    let places = [
        ("$", 0),
        (r#"{"a":$}"#, 1),
        (r#"{"user":$}"#, 1),
        (r#"{"timestamp":$}"#, 1),
        (r#"{"event":{"type":$}}"#, 2),
        (r#"{"event":{"a":$}}"#, 2),
        (r#"{"a":[[],{"b":{}},$]}"#, 2),
    ];
    for (place, outside) in places {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            for inside in [1, 2, 64, limit - outside, limit - outside + 1, 1_000] {
                for (innermost, own) in [("1", 0), ("[]", 1), ("{}", 1)] {
                    let levels = inside - own;
                    let deep = format!("{}{innermost}{}", open.repeat(levels), close.repeat(levels));
                    let body = place.replace('$', &deep);
                    check(body.as_bytes(), few_sets());
                    let decoded = Event::decode(body.as_bytes(), &DEFAULTS);
                    let refused = matches!(decoded, Err(DecodeError::NotJson { .. }));
                    assert_eq!(refused, outside + inside > limit, "{body}");
                }
            }
        }
    }
}

/// Numbers at the border of what a double can hold, in the fields and beside them.
#[test]
fn on_large_numbers() {
    let nines = |digits: usize| "9".repeat(digits);
    let short = [
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "179769313486231580793e288",
        "179769313486231580793e289",
        "1e309",
        "-1E+400",
        "0e99999999999999999999",
        "0.0e400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "5e-324",
    ];
    let long = [
        nines(308),
        nines(309),
        nines(310),
        format!("1{}", "0".repeat(308)),
        format!("1{}", "0".repeat(309)),
        format!("-{}.5", nines(308)),
        format!("{}.5", nines(309)),
        format!("{}e-10", nines(315)),
        format!("0.{}1e320", "0".repeat(20)),
        format!("0.{}1e320", "0".repeat(10)),
        format!("0.{}", nines(400)),
    ];
    for number in short.map(str::to_owned).into_iter().chain(long) {
        for body in ["$", r#"{"a":[$]}"#, r#"{"metrics":{"load_time":$}}"#, r#"{"timestamp":$}"#] {
            check(body.replace('$', &number).as_bytes(), every_set());
        }
    }
}

proptest! {
    #[test]
    fn on_the_canonical_form_which_reads_back_as_the_same_event(event in events()) {
        let mut json = Vec::new();
        event.encode_into(&mut json);
        check(&json, every_set());
        prop_assert_eq!(Event::decode(&json, &DEFAULTS), Ok(event));
    }

    #[test]
    fn on_bodies_with_repeated_names_and_odd_values(body in bodies()) {
        check(body.as_bytes(), every_set());
    }

    #[test]
    fn on_damaged_bodies(body in bodies(), damages in vec(damage(), 1..4)) {
        let mut body = body.into_bytes();
        for damage in damages {
            damage.apply(&mut body);
        }
        check(&body, few_sets());
    }

    #[test]
    fn on_any_bytes(body in vec(any::<u8>(), 0..40)) {
        check(&body, few_sets());
    }
}
