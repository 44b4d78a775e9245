use super::*;

const NOW: EventTime = EventTime::from_millis(1_700_000_000_000);

const BODY: &str = r#"{
  "event": {"type": "page_view", "id": "not even looked at"}, "user": {"id": "user-\u0031"},
  "device": {"user_agent": "Mozilla/5.0 \"x\"", "screen_width": {}}, "context": {"session_id": "sess-1"},
  "metrics": {"load_time": "120.0", "interaction_time": null}, "timestamp": 1431857103007 }"#;

#[test]
fn all_fields_of_an_event_are_read() {
    let mut decoder = FastDecoder::new(Fields::ALL);
    let expected = FastEvent {
        event_type: "page_view",
        user_id: "user-1",
        session_id: "sess-1",
        user_agent: "Mozilla/5.0 \"x\"",
        load_time: Some(120),
        interaction_time: None,
        timestamp: EventTime::from_millis(1_431_857_103_007),
    };
    for _ in 0..2 {
        assert_eq!(decoder.decode(BODY.as_bytes(), NOW), Ok(expected));
    }
}

#[test]
fn fields_that_were_not_asked_for_are_empty_whatever_the_body_says() {
    let mut decoder = FastDecoder::new(Fields::USER_ID | Fields::INTERACTION_TIME);
    let expected = FastEvent {
        event_type: "",
        user_id: "u",
        session_id: "",
        user_agent: "",
        load_time: None,
        interaction_time: Some(-7),
        timestamp: NOW,
    };
    let body =
        br#"{"user":{"id":"u"},"event":[],"metrics":{"load_time":true,"interaction_time":-7},"timestamp":0}"#;
    assert_eq!(decoder.decode(body, NOW), Ok(expected));
}

/// What a decoder borrowed from must not be what the next event finds.
#[test]
fn nothing_is_carried_over_from_one_event_to_the_next() {
    let mut decoder = FastDecoder::new(Fields::ALL);
    assert!(decoder.decode(BODY.as_bytes(), NOW).is_ok());
    assert_eq!(decoder.decode(b"{}", NOW), Err(Rejected::Faulty));
    assert_eq!(decoder.decode(b"{", NOW), Err(Rejected::NotJson));
    assert!(decoder.decode(BODY.as_bytes(), NOW).is_ok());
}

#[test]
fn a_later_object_replaces_the_whole_of_an_earlier_one() {
    let mut decoder = FastDecoder::new(Fields::LOAD_TIME);
    let mut load_time = |body: &str| decoder.decode(body.as_bytes(), NOW).map(|event| event.load_time);
    assert_eq!(load_time(r#"{"metrics":{"load_time":5},"metrics":{}}"#), Ok(None));
    assert_eq!(load_time(r#"{"metrics":5,"metrics":{"load_time":5}}"#), Ok(Some(5)));
    assert_eq!(load_time(r#"{"metrics":{"load_time":5},"metrics":[]}"#), Err(Rejected::Faulty));
    assert_eq!(load_time(r#"{"metrics":{"load_time":{},"load_time":5}}"#), Ok(Some(5)));
}
