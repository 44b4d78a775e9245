use std::fmt::Write as _;

use super::*;
use crate::time::EventTime;

const DEFAULTS: Defaults = Defaults { id: Uuid::nil(), now: EventTime::from_millis(1_700_000_000_000) };

fn decode(body: &str) -> Result<Event, DecodeError> {
    Event::decode(body.as_bytes(), &DEFAULTS)
}

fn faults(body: &str) -> Vec<String> {
    match decode(body).expect_err("a fault") {
        DecodeError::Faults(faults) => faults.iter().map(Fault::to_string).collect(),
        not_json @ DecodeError::NotJson { .. } => vec![not_json.to_string()],
    }
}

/// The example of contract section 1.
const CURL: &str = r#"{
  "event": {"type": "page_view"}, "user": {"id": "user-1"},
  "device": {"user_agent": "Mozilla/5.0", "screen_width": 1920, "screen_height": 1080},
  "context": {"url": "https://example.com", "session_id": "sess-1"},
  "metrics": {"load_time": 120, "interaction_time": 400}, "properties": {} }"#;

#[test]
fn the_example_of_the_contract_is_an_event() {
    let event = decode(CURL).expect("an event");
    let expected = Event {
        id: DEFAULTS.id,
        event_type: "page_view".to_owned(),
        user_id: "user-1".to_owned(),
        user_agent: "Mozilla/5.0".to_owned(),
        screen_width: 1920,
        screen_height: 1080,
        url: HttpUrl::parse("https://example.com").expect("a URL"),
        referrer: None,
        ip_address: None,
        session_id: "sess-1".to_owned(),
        properties: BTreeMap::new(),
        load_time: Some(120),
        interaction_time: Some(400),
        timestamp: DEFAULTS.now,
    };
    assert_eq!(event, expected);
}

#[test]
fn the_canonical_form_fills_in_every_default() {
    let mut json = Vec::new();
    decode(CURL).expect("an event").encode_into(&mut json);
    assert_eq!(
        String::from_utf8_lossy(&json),
        concat!(
            r#"{"event":{"id":"00000000-0000-0000-0000-000000000000","type":"page_view"},"#,
            r#""user":{"id":"user-1"},"#,
            r#""device":{"user_agent":"Mozilla/5.0","screen_width":1920,"screen_height":1080},"#,
            r#""context":{"url":"https://example.com","referrer":null,"ip_address":null,"session_id":"sess-1"},"#,
            r#""properties":{},"metrics":{"load_time":120,"interaction_time":400},"timestamp":1700000000000}"#,
        )
    );
}

#[test]
fn every_fault_is_told_at_once() {
    let body = r#"{"event": {"id": "evt-1", "type": 5}, "user": "me",
        "device": {"user_agent": null, "screen_width": 120.5, "screen_height": true},
        "context": {"url": "/path", "referrer": "ftp://example.com", "ip_address": "1.2.3.4:80"},
        "properties": {"a/b": null, "good": 1, "big": 9223372036854775808, "list": [1, 2]},
        "metrics": {"load_time": "soon", "interaction_time": {}}, "timestamp": 1431857103}"#;
    let expected = [
        "/user: expected an object with id, found \"me\"",
        "/event/id: expected a UUID, found \"evt-1\"",
        "/event/type: expected a string, found 5",
        "/device/user_agent: expected a string, found null",
        "/device/screen_width: expected an integer of 64 bits, found 120.5",
        "/device/screen_height: expected an integer of 64 bits, found true",
        "/context/url: expected an http or https URL (relative URL without a base), found \"/path\"",
        "/context/referrer: expected null or an http or https URL (neither http nor https), \
         found \"ftp://example.com\"",
        "/context/ip_address: expected null or an IPv4 or IPv6 address without port, prefix and zone, \
         found \"1.2.3.4:80\"",
        "/context/session_id: expected a string, found nothing",
        "/metrics/load_time: expected an integer of 64 bits or null, found \"soon\"",
        "/metrics/interaction_time: expected an integer of 64 bits or null, found {}",
        "/timestamp: expected milliseconds of the years 1973 to 2200 (this looks like seconds), \
         found 1431857103",
        "/properties/a~1b: expected a string or a number, found null",
        "/properties/big: expected a string or a number, integers of 64 bits, found 9223372036854775808",
        "/properties/list: expected a string or a number, found [1, 2]",
    ];
    assert_eq!(faults(body), expected);
}

#[test]
fn a_missing_object_is_one_fault() {
    let expected = [
        "/event: expected an object with type, found nothing",
        "/user: expected an object with id, found nothing",
        "/device: expected an object with user_agent, screen_width and screen_height, found nothing",
        "/context: expected an object with url and session_id, found nothing",
        "/metrics: expected an object, {} at least, found nothing",
    ];
    assert_eq!(faults("{}"), expected);
    assert_eq!(faults("[{}]"), ["body: expected an object, found [{}]"]);
}

#[test]
fn faults_of_properties_are_counted_beyond_the_first_ones() {
    let mut properties = String::new();
    for index in 0..PROPERTY_FAULTS_MAX + 5 {
        write!(properties, r#""{index:03}": [], "#).expect("a string takes every byte");
    }
    let body = CURL.replace(r#""properties": {}"#, &format!(r#""properties": {{{properties} "ok": 1}}"#));
    let told = faults(&body);
    assert_eq!(told.len(), PROPERTY_FAULTS_MAX + 1);
    assert_eq!(told[0], "/properties/000: expected a string or a number, found []");
    let rest = "/properties: expected strings and numbers, found 5 more values that are none";
    assert_eq!(told[PROPERTY_FAULTS_MAX], rest);
}

#[test]
fn text_that_is_not_json_is_told_with_its_place() {
    for (body, expected) in [
        (&b""[..], "not JSON at line 1, column 0: EOF while parsing a value"),
        (b"{\n \"a\": tru }", "not JSON at line 2, column 10: expected ident"),
        (b"{}\n x", "not JSON at line 2, column 2: trailing characters"),
        (b"{\n\"\xff\"}", "not JSON at line 2, column 2: a byte that is not UTF-8"),
        (b"{\"a\": 1e400}", "not JSON at line 1, column 11: number out of range"),
    ] {
        let error = Event::decode(body, &DEFAULTS).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
}
