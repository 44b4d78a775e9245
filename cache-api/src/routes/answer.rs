//! An answer as a response: what it is as of, and whether whoever asks has it already.

use std::hash::{DefaultHasher, Hasher as _};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tidegate_model::{AsOf, EventTime};

/// How far event time had come, RFC 3339: every window that ends by then is final.
pub(crate) const FRONTIER: HeaderName = HeaderName::from_static("tidegate-frontier");

/// The epoch up to which every row is in the answer.
pub(crate) const EPOCH: HeaderName = HeaderName::from_static("tidegate-epoch");

/// Answers with `body`, or with 304 when `headers` say that it is known already.
pub(super) fn answer(headers: &HeaderMap, as_of: Option<AsOf>, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("windows can be said in JSON");
    let tag = tag(&body);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| is_known(known, &tag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
    };
    let answered = response.headers_mut();
    // It may be kept, but must be asked for again each time.
    answered.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answered.insert(header::ETAG, HeaderValue::from_str(&tag).expect("digits and quotes"));
    if let Some(AsOf { epoch, frontier }) = as_of {
        answered.insert(EPOCH, epoch.0.into());
        if let Some(frontier) = instant(frontier) {
            answered.insert(FRONTIER, HeaderValue::from_str(&frontier).expect("digits and letters"));
        }
    }
    response
}

/// The instant in RFC 3339; `None` when the frontier has not moved yet, or is beyond every instant.
pub(crate) fn instant(frontier: EventTime) -> Option<String> {
    let text = frontier.to_rfc3339();
    (text.ends_with('Z')).then_some(text)
}

/// Weak, because the same body may be compressed or not. The hash tells bodies apart, it protects nothing.
fn tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// Whether `If-None-Match` names the tag; strong or weak makes no difference there.
fn is_known(header: &HeaderValue, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let Ok(text) = header.to_str() else { return false };
    text.split(',').any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_weak_or_strong_and_among_others() {
        let tag = tag(b"{}");
        assert!(tag.starts_with("W/\"") && tag.len() == 20, "{tag}");
        let strong = &tag[2..];
        for known in [&tag, strong, "*", &format!("\"x\", {tag}"), &format!("{strong},\"y\"")] {
            assert!(is_known(&HeaderValue::from_str(known).expect("a header"), &tag), "{known}");
        }
        for other in ["", "\"x\"", "W/\"0\"", &tag[3..]] {
            assert!(!is_known(&HeaderValue::from_str(other).expect("a header"), &tag), "{other}");
        }
    }

    #[test]
    fn a_frontier_that_is_no_instant_is_left_out() {
        assert_eq!(instant(EventTime::MIN), None);
        assert_eq!(instant(EventTime::MAX), None);
        assert_eq!(instant(EventTime::from_millis(0)).as_deref(), Some("1970-01-01T00:00:00.000Z"));
    }
}
