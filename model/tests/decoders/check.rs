//! What it means that the decoders agree about a body.

use tidegate_model::event::{DecodeError, Defaults, Event, FastDecoder, FastEvent, Fields, Rejected};
use tidegate_model::time::EventTime;
use uuid::Uuid;

pub(crate) const DEFAULTS: Defaults =
    Defaults { id: Uuid::nil(), now: EventTime::from_millis(1_700_000_000_000) };

/// Each field of the fast decoder, and the pointers of the faults that concern it.
const COVERED: [(Fields, [&str; 2]); 7] = [
    (Fields::EVENT_TYPE, ["/event", "/event/type"]),
    (Fields::USER_ID, ["/user", "/user/id"]),
    (Fields::SESSION_ID, ["/context", "/context/session_id"]),
    (Fields::USER_AGENT, ["/device", "/device/user_agent"]),
    (Fields::LOAD_TIME, ["/metrics", "/metrics/load_time"]),
    (Fields::INTERACTION_TIME, ["/metrics", "/metrics/interaction_time"]),
    (Fields::TIMESTAMP, ["/timestamp", "/timestamp"]),
];

/// All sets of fields.
pub(crate) fn every_set() -> impl Iterator<Item = Fields> {
    (0..1_u32 << COVERED.len()).map(|bits| {
        let chosen = COVERED.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
        chosen.fold(Fields::NONE, |set, (_, (field, _))| set | *field)
    })
}

/// No field, each field alone, and all of them.
pub(crate) fn few_sets() -> impl Iterator<Item = Fields> {
    let single = COVERED.iter().map(|(field, _)| *field);
    [Fields::NONE].into_iter().chain(single).chain([Fields::ALL])
}

/// What the fast decoder owes for an event.
fn part(event: &Event, fields: Fields) -> FastEvent<'_> {
    fn given<T: Default>(fields: Fields, field: Fields, value: T) -> T {
        if fields.contains(field) { value } else { T::default() }
    }
    FastEvent {
        event_type: given(fields, Fields::EVENT_TYPE, &event.event_type),
        user_id: given(fields, Fields::USER_ID, &event.user_id),
        session_id: given(fields, Fields::SESSION_ID, &event.session_id),
        user_agent: given(fields, Fields::USER_AGENT, &event.user_agent),
        load_time: given(fields, Fields::LOAD_TIME, event.load_time),
        interaction_time: given(fields, Fields::INTERACTION_TIME, event.interaction_time),
        timestamp: if fields.contains(Fields::TIMESTAMP) { event.timestamp } else { DEFAULTS.now },
    }
}

/// Whether a fault at `pointer` concerns one of `fields`.
fn concerns(pointer: &str, fields: Fields) -> bool {
    let covers =
        |(field, pointers): &(Fields, [&str; 2])| fields.contains(*field) && pointers.contains(&pointer);
    pointer.is_empty() || COVERED.iter().any(covers)
}

/// For every set of fields: both decoders find the same bodies to be no JSON, and so does `serde_json`
/// by itself; the fast one refuses any other body if and only if the strict one has a fault in one of
/// the fields; and where the strict one takes the body, both read the same values.
pub(crate) fn check(body: &[u8], sets: impl Iterator<Item = Fields>) {
    let strict = Event::decode(body, &DEFAULTS);
    let text = String::from_utf8_lossy(body);
    let is_json = serde_json::from_slice::<serde_json::Value>(body).is_ok();
    assert_eq!(!matches!(strict, Err(DecodeError::NotJson { .. })), is_json, "{text}");
    for fields in sets {
        let mut decoder = FastDecoder::new(fields);
        let fast = decoder.decode(body, DEFAULTS.now);
        match &strict {
            Ok(event) => assert_eq!(fast, Ok(part(event, fields)), "{fields:?} {text}"),
            Err(DecodeError::NotJson { .. }) => {
                assert_eq!(fast, Err(Rejected::NotJson), "{fields:?} {text}");
            }
            Err(DecodeError::Faults(faults)) => {
                if faults.iter().any(|fault| concerns(&fault.pointer, fields)) {
                    assert_eq!(fast, Err(Rejected::Faulty), "{fields:?} {text}");
                } else {
                    assert!(fast.is_ok(), "{fields:?} {faults:?} {text}");
                }
            }
        }
    }
}
