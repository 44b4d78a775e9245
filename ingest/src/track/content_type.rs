//! What a body may say that it is.
//!
//! JSON is what the old service took for JSON: `application/json`, `application/…+json`, and a body that
//! does not say. `text/plain` is what `navigator.sendBeacon` sends without asking first; there the old
//! service answered 422. A `charset` is not looked at: JSON is UTF-8.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::refusal::Refusal;

/// How many characters of a header an answer repeats.
const EXCERPT_CHARS_MAX: usize = 60;

/// Refuses a body that says that it is something else than JSON, or that it is encoded.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && !encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")
    {
        return Err(Refusal::ContentEncoding(excerpt(encoding)));
    }
    match headers.get(header::CONTENT_TYPE) {
        Some(found) if !is_json(found.as_bytes()) => Err(Refusal::ContentType(excerpt(found))),
        _ => Ok(()),
    }
}

fn is_json(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if media_type.is_empty() {
        return content_type.is_empty();
    }
    let is = |name: &str| media_type.eq_ignore_ascii_case(name.as_bytes());
    is("application/json") || is("text/plain") || is_json_by_suffix(media_type)
}

fn is_json_by_suffix(media_type: &[u8]) -> bool {
    let (application, json) = (b"application/", b"+json");
    media_type.len() > application.len() + json.len()
        && media_type[..application.len()].eq_ignore_ascii_case(application)
        && media_type[media_type.len() - json.len()..].eq_ignore_ascii_case(json)
}

fn excerpt(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut chars = text.chars();
    let mut excerpt: String = chars.by_ref().take(EXCERPT_CHARS_MAX).collect();
    if chars.next().is_some() {
        excerpt.push('…');
    }
    format!("{excerpt:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_by_any_of_its_names_is_taken() {
        for taken in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;",
            "application/cloudevents+json",
            "application/vnd.api+JSON; v=1",
            "text/plain;charset=UTF-8",
            "text/plain",
            "",
        ] {
            assert!(is_json(taken.as_bytes()), "{taken:?}");
        }
        for refused in [
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=application/json",
            "text/json",
            "application/+json",
            "application/jsonx",
            "json",
            ";",
            "*/*",
        ] {
            assert!(!is_json(refused.as_bytes()), "{refused:?}");
        }
    }

    #[test]
    fn an_encoded_body_is_refused_and_a_long_header_is_cut() {
        let mut headers = HeaderMap::new();
        assert!(check(&headers).is_ok());
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(" Identity"));
        assert!(check(&headers).is_ok());
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(matches!(check(&headers), Err(Refusal::ContentEncoding(found)) if found == "\"gzip\""));
        let long = HeaderValue::from_bytes(&[b'\xff'; 100]).expect("a header may hold such bytes");
        assert_eq!(excerpt(&long).chars().count(), EXCERPT_CHARS_MAX + 3);
    }
}
