//! The one parameter of a route, checked. As in the old service, others mean nothing: a client may add one
//! to get past a cache.

use axum::http::StatusCode;
use tidegate_server::{Problem, ProblemFault};

/// The one parameter that there is.
const LIMIT: &str = "limit";

/// Longer values are not repeated in full to whoever sent them.
const SHOWN_CHARS_MAX: usize = 40;

/// Reads `limit`, from 1 to `limit_max`, where it is given; of several the last one counts.
pub(super) fn limit(query: Option<&str>, limit_max: usize) -> Result<Option<usize>, Problem> {
    // A number needs no decoding; whatever is encoded is not understood anyway.
    let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let Some((_, value)) = pairs.rev().find(|(name, _)| *name == LIMIT) else { return Ok(None) };
    match value.parse().ok().filter(|number| (1..=limit_max).contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(misfit(format!("{:?} is no whole number from 1 to {limit_max}", shorten(value)))),
    }
}

fn misfit(detail: String) -> Problem {
    let summary = format!("parameter {LIMIT}: {detail}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Parameters Do Not Fit", summary)
        .with_faults(vec![ProblemFault { pointer: LIMIT.to_owned(), detail }])
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_number_from_1_to_the_largest() {
        for (query, expected) in [
            (None, None),
            (Some(""), None),
            (Some("limit=1"), Some(1)),
            (Some("limit=120"), Some(120)),
            (Some("&limit=007&"), Some(7)),
            (Some("_=1700000000000&limit=3"), Some(3)),
            (Some("limit=1&limit=2"), Some(2)),
            (Some("page=2"), None),
        ] {
            assert_eq!(limit(query, 120).expect("it fits"), expected, "{query:?}");
        }
        for (query, expected) in [
            ("limit=0", r#"parameter limit: "0" is no whole number from 1 to 120"#),
            ("limit=121", r#"parameter limit: "121" is no whole number from 1 to 120"#),
            ("limit=-1", r#"parameter limit: "-1" is no whole number from 1 to 120"#),
            ("limit=1.5", r#"parameter limit: "1.5" is no whole number from 1 to 120"#),
            ("limit=", r#"parameter limit: "" is no whole number from 1 to 120"#),
            ("limit", r#"parameter limit: "" is no whole number from 1 to 120"#),
            ("limit=%31", r#"parameter limit: "%31" is no whole number from 1 to 120"#),
            ("limit=1&limit=x", r#"parameter limit: "x" is no whole number from 1 to 120"#),
            ("limit=x&page=2", r#"parameter limit: "x" is no whole number from 1 to 120"#),
        ] {
            assert_eq!(limit(Some(query), 120).expect_err(query).detail(), expected, "{query}");
        }
        let long = format!("limit={}", "9".repeat(500));
        assert!(limit(Some(&long), 120).expect_err("too large").detail().len() < 120);
    }
}
