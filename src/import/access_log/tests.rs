//! Lines of every kind of server and mishap, against events that are spelt out.

use proptest::prelude::*;
use tidegate_model::event::Defaults;
use tidegate_model::{Event, EventTime};
use uuid::Uuid;

use super::*;

const NOWHEN: EventTime = EventTime::MIN;

fn convert(line: impl AsRef<[u8]>) -> Result<Event, LineError> {
    let id = Uuid::from_u128(7);
    let mut converter = Converter::new("http://localhost", false);
    let Converted::Event { json, user_id, time } = converter.convert(line.as_ref(), id)? else {
        panic!("nothing is left out");
    };
    let event = Event::decode(json, &Defaults { id: Uuid::nil(), now: NOWHEN }).expect("an event");
    let mut again = Vec::new();
    event.encode_into(&mut again);
    assert_eq!(String::from_utf8_lossy(json), String::from_utf8_lossy(&again), "the canonical bytes");
    assert_eq!((event.id, event.user_id.as_str(), event.timestamp), (id, user_id, time));
    Ok(event)
}

fn event(line: impl AsRef<[u8]>) -> Event {
    let text = String::from_utf8_lossy(line.as_ref()).into_owned();
    convert(line).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn a_combined_line_is_a_page_view() {
    let event = event(
        r#"83.149.9.216 - frank [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 203023 "http://example.com/from" "Mozilla/5.0 (Macintosh)""#,
    );
    assert_eq!(event.event_type, "page_view");
    assert_eq!(event.user_id, "83.149.9.216");
    assert_eq!(event.session_id, format!("83.149.9.216-{:016x}", agent_hash("Mozilla/5.0 (Macintosh)")));
    assert_eq!(event.user_agent, "Mozilla/5.0 (Macintosh)");
    assert_eq!((event.screen_width, event.screen_height), (0, 0));
    assert_eq!(event.url.as_str(), "http://localhost/a?b=c");
    assert_eq!(event.referrer.expect("a referrer").as_str(), "http://example.com/from");
    assert_eq!(event.ip_address.expect("an address").to_string(), "83.149.9.216");
    assert_eq!(event.timestamp.to_rfc3339(), "2015-05-17T10:05:03.000Z");
    assert_eq!((event.load_time, event.interaction_time), (None, None));
    assert!(event.properties.is_empty());
}

#[test]
fn a_common_line_has_no_agent() {
    let event = event(r#"host-1.example.com - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.0" 304 -"#);
    assert_eq!((event.user_id.as_str(), event.user_agent.as_str()), ("host-1.example.com", "-"));
    assert_eq!((event.referrer, event.ip_address), (None, None));
    assert_eq!(event.session_id, format!("host-1.example.com-{:016x}", agent_hash("-")));
}

#[test]
fn the_hash_of_an_agent_never_changes() {
    assert_eq!(format!("{:016x}", agent_hash("-")), "5c61d1cc8617e887");
    assert_eq!(format!("{:016x}", agent_hash("Mozilla/5.0")), "e644aa6c8f209e82");
}

#[test]
fn addresses_are_kept_as_they_are_spelt() {
    for (prefix, user, ip) in [
        ("2001:DB8::0:1", "2001:DB8::0:1", Some("2001:db8::1")),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", Some("::ffff:192.0.2.1")),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("unix:", "unix:", None),
        ("010.0.0.1", "010.0.0.1", None),
        ("shop.example:443 192.0.2.7", "192.0.2.7", Some("192.0.2.7")),
        ("shop.example:443 2001:db8::7", "2001:db8::7", Some("2001:db8::7")),
        ("2001:db8::80 192.0.2.7", "2001:db8::80", Some("2001:db8::80")),
    ] {
        let event = event(format!(r#"{prefix} - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1"#));
        assert_eq!(event.user_id, user, "{prefix}");
        assert_eq!(event.ip_address.map(|ip| ip.to_string()).as_deref(), ip, "{prefix}");
    }
}

#[test]
fn quoted_fields_are_unescaped_and_may_be_odd() {
    for (tail, referrer, agent) in [
        (r#" 200 1 "-" "-""#, None, "-"),
        (r#" 200 1 "" """#, None, "-"),
        (r#" 200 "-" "curl/8""#, None, "curl/8"),
        (r#" - - "-" "curl/8""#, None, "curl/8"),
        ("", None, "-"),
        (
            r#" 200 1 "https://a.example/" "a \"b\" \\ \xc3\xa4 \t" "10.0.0.1" 0.002"#,
            Some("https://a.example/"),
            "a \"b\" \\ ä \t",
        ),
        (r#" 200 1 "android-app://com.example" "x""#, None, "x"),
        (r#" 200 1 "http://a.example:99999/" "x""#, None, "x"),
        (r#" 200 1 "/relative" "x""#, None, "x"),
        (r#" 200 1 "HTTP://A.Example" "x""#, Some("HTTP://A.Example"), "x"),
        (r#" 200 1 "http://a.example/?q="b"" "x""#, Some("http://a.example/?q=\"b\""), "x"),
        (r#" 200 1 "-" "cut off"#, None, "cut off"),
        (r#" 200 1 "http://cut.example/o"#, Some("http://cut.example/o"), "-"),
        (r#" 200 1 "-" "\xff""#, None, "\u{fffd}"),
    ] {
        let event = event(format!(r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1"{tail}"#));
        assert_eq!(event.referrer.as_ref().map(HttpUrl::as_str), referrer, "{tail}");
        assert_eq!(event.user_agent, agent, "{tail}");
    }
}

#[test]
fn bytes_that_are_no_utf8_are_no_reason_to_fail() {
    let line =
        b"192.0.2.1 - \xff [17/May/2015:10:05:03 +0000] \"GET /\xe4\x00 HTTP/1.1\" 200 1 \"\xff\" \"a\xffb\"";
    let event = event(line);
    assert_eq!(event.url.as_str(), "http://localhost/%E4%00");
    assert_eq!(event.user_agent, "a\u{fffd}b");
}

#[test]
fn requests_with_quotes_and_users_with_brackets_are_read() {
    let line = r#"192.0.2.1 - "joe [x]" [17/May/2015:10:05:03 +0000] "GET /?q="a" HTTP/1.1" 200 1 "-" "x""#;
    assert_eq!(event(line).url.as_str(), "http://localhost/?q=%22a%22");
    let line = r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /\"a\" HTTP/1.1" 200 1 "-" "x""#;
    assert_eq!(event(line).url.as_str(), "http://localhost/%22a%22");
}

#[test]
fn a_malformed_line_says_what_is_wrong() {
    let long = format!(r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /{}""#, "a".repeat(3000));
    for (line, reason) in [
        ("", "no remote address at the beginning of the line"),
        (" x", "no remote address at the beginning of the line"),
        (
            "- - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\"",
            "no remote address at the beginning of the line",
        ),
        ("#Fields: date", "\"#Fields:\" is neither an IP address nor a host name"),
        ("\0\0\0", r#""\0\0\0" is neither an IP address nor a host name"#),
        ("192.0.2.1 - - 17/May/2015", "no time in brackets, such as [17/May/2015:10:05:03 +0000]"),
        ("192.0.2.1 - - [17/May/2015:10", "no time in brackets, such as [17/May/2015:10:05:03 +0000]"),
        (
            "192.0.2.1 - - [yesterday] \"GET / HTTP/1.1\"",
            "\"yesterday\" is no time of the years 1973 to 2199 such as 17/May/2015:10:05:03 +0000",
        ),
        ("192.0.2.1 - - [17/May/2015:10:05:03 +0000] GET /", "no request in quotes behind the time"),
        (
            "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET /",
            "the line ends within the request: its closing quote is missing",
        ),
        (
            "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"-\" 408 -",
            "\"-\" is no request such as GET /path HTTP/1.1",
        ),
        (
            r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "\x16\x03\x01" 400 226"#,
            r#""\\x16\\x03\\x01" is no request such as GET /path HTTP/1.1"#,
        ),
        (long.as_str(), "the URL would be 3017 bytes long; an event holds 2083"),
    ] {
        assert_eq!(convert(line).expect_err(line).to_string(), reason);
    }
}

#[test]
fn pages_only_leaves_out_static_files() {
    let line =
        |path: &str| format!(r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET {path} HTTP/1.1" 200 1"#);
    let mut pages = Converter::new("http://localhost", true);
    for (path, left_out) in [("/a.css?x", true), ("/a", false), ("http://h.example/i.PNG", true)] {
        let converted = pages.convert(line(path).as_bytes(), Uuid::nil()).expect("a line");
        assert_eq!(converted == Converted::StaticFile, left_out, "{path}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_and_what_it_accepts_is_an_event(line in any::<Vec<u8>>()) {
        let _ = convert(line);
    }

    #[test]
    fn whatever_stands_in_the_fields_the_event_is_canonical(
        request in r"[ -~é\x00-\x1f]{0,40}", referrer in any::<String>(), agent in any::<String>()
    ) {
        let line = format!(
            r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /{request} HTTP/1.1" 200 1 "{referrer}" "{agent}""#
        );
        let _ = convert(line);
    }

    #[test]
    fn the_short_way_to_a_url_accepts_only_urls(
        text in r"(http|https|ftp)://[a-zA-Z0-9.:@%\[\]-]{0,12}/?[ -~é]{0,8}"
    ) {
        prop_assert!(!is_plain_http_url(&text) || HttpUrl::parse(text.as_str()).is_ok(), "{}", text);
    }
}
