//! Random events and random bodies, most of them nearly valid.

use std::net::IpAddr;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tidegate_model::event::{Event, HttpUrl, Property};
use tidegate_model::time::EventTime;
use uuid::Uuid;

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z]{0,20}", "[\"\\\\/\u{0}-\u{1f}a\u{7f}ü😀]{0,20}"]
}

fn urls() -> impl Strategy<Value = HttpUrl> {
    const URLS: [&str; 3] =
        ["https://example.com", "http://[::1]:8000/?q=\"\\", " HTTP://bücher.example/a b#c "];
    select(&URLS[..]).prop_map(|text| HttpUrl::parse(text).expect("a URL"))
}

fn property() -> impl Strategy<Value = Property> {
    prop_oneof![
        texts().prop_map(Property::Text),
        any::<i64>().prop_map(Property::Int),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Property::Float),
        (-1e6..1e6).prop_map(|float: f64| Property::Float(float.round())),
    ]
}

prop_compose! {
    pub(crate) fn events()(
        (id, event_type, user_id, user_agent) in (any::<u128>(), texts(), texts(), texts()),
        (screen_width, screen_height) in any::<(i64, i64)>(),
        (url, referrer) in (urls(), proptest::option::of(urls())),
        (ip_address, session_id) in (any::<Option<IpAddr>>(), texts()),
        properties in btree_map(texts(), property(), 0..5),
        (load_time, interaction_time) in any::<(Option<i64>, Option<i64>)>(),
        timestamp in 94_694_400_000_i64..7_289_654_400_000,
    ) -> Event {
        Event {
            id: Uuid::from_u128(id), event_type, user_id, user_agent, screen_width, screen_height, url,
            referrer, ip_address, session_id, properties, load_time, interaction_time,
            timestamp: EventTime::from_millis(timestamp),
        }
    }
}

/// JSON texts of values, those that some field takes among them, and some that are no JSON.
fn values() -> impl Strategy<Value = String> {
    const SCALARS: [&str; 27] = [
        "120",
        "120.0",
        "\"120\"",
        "\" -1_2.0 \"",
        "\"\\u0031\"",
        "120.5",
        "-0",
        "1e2",
        "1E400",
        "01",
        "1431857103007",
        "\"1431857103007\"",
        "1431857103",
        "9223372036854775808",
        "null",
        "true",
        "\"\"",
        "\"text\"",
        "\"\\ud83d\"",
        "\"\\n\\ud83d\\ude00\"",
        "\"é\\\"\"",
        "{}",
        "[]",
        "\"https://example.com\"",
        "nul",
        "\"\t\"",
        "",
    ];
    const NAMES: [&str; 8] = ["a", "type", "id", "load_time", "\\u0069d", "event", "\\ud83d", ""];
    select(&SCALARS[..]).prop_map(str::to_owned).prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(", "))),
            vec((select(&NAMES[..]), inner), 0..4).prop_map(object),
        ]
    })
}

fn object(members: Vec<(&str, String)>) -> String {
    let members: Vec<_> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// The members of a valid event, among them more of the same names and of others, in any order.
pub(crate) fn bodies() -> impl Strategy<Value = String> {
    const VALID: [(&str, &str); 5] = [
        ("event", r#"{"type":"page_view"}"#),
        ("user", r#"{"id":"u\n"}"#),
        ("device", r#"{"user_agent":"M","screen_width":1,"screen_height":1}"#),
        ("context", r#"{"url":"http://a","session_id":"s"}"#),
        ("metrics", r#"{"load_time":5}"#),
    ];
    const SECTIONS: [&str; 10] = [
        "event",
        "user",
        "device",
        "context",
        "metrics",
        "timestamp",
        "properties",
        "us\\u0065r",
        "other",
        "id",
    ];
    const FIELDS: [&str; 11] = [
        "type",
        "id",
        "user_agent",
        "session_id",
        "load_time",
        "interaction_time",
        "l\\u006fad_time",
        "i\\u0064",
        "other",
        "screen_width",
        "url",
    ];
    let section = prop_oneof![vec((select(&FIELDS[..]), values()), 0..3).prop_map(object), values()];
    vec((select(&SECTIONS[..]), section), 0..4).prop_flat_map(|mut members| {
        members.extend(VALID.map(|(name, value)| (name, value.to_owned())));
        Just(members).prop_shuffle().prop_map(object)
    })
}

/// Something that can happen to bytes.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Cut(Index),
    Flip(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Repeat(Index, Index),
}

impl Damage {
    pub(crate) fn apply(&self, body: &mut Vec<u8>) {
        let len = body.len();
        if len == 0 {
            return;
        }
        match self {
            Self::Cut(at) => body.truncate(at.index(len)),
            Self::Flip(at, bit) => body[at.index(len)] ^= 1 << (bit % 8),
            Self::Remove(at) => {
                body.remove(at.index(len));
            }
            Self::Insert(at, byte) => body.insert(at.index(len), *byte),
            Self::Repeat(one, other) => {
                let (one, other) = (one.index(len), other.index(len));
                body.extend_from_within(one.min(other)..one.max(other));
            }
        }
    }
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![select(&b"\"\\{}[]:,0-.eE+ \n"[..]), any::<u8>()];
    prop_oneof![
        any::<Index>().prop_map(Damage::Cut),
        any::<(Index, u8)>().prop_map(|(at, bit)| Damage::Flip(at, bit)),
        any::<Index>().prop_map(Damage::Remove),
        (any::<Index>(), byte).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<(Index, Index)>().prop_map(|(one, other)| Damage::Repeat(one, other)),
    ]
}
