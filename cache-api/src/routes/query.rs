//! The parameters of a route, checked: what is not understood is refused, not ignored.

use axum::http::StatusCode;
use tidegate_server::{Problem, ProblemFault};

/// The one parameter that there is.
const LIMIT: &str = "limit";

/// Longer values are not repeated in full to whoever sent them.
const SHOWN_CHARS_MAX: usize = 40;

/// Reads `limit`, from 1 to `limit_max`, where it is given.
pub(super) fn limit(query: Option<&str>, limit_max: usize) -> Result<Option<usize>, Problem> {
    let mut limit = None;
    let mut faults = Vec::new();
    for (name, value) in pairs(query) {
        if name != LIMIT {
            faults.push(unknown(name, "the only parameter is limit"));
        } else if limit.is_some() {
            faults.push(fault(LIMIT, "it is there twice; give it once".to_owned()));
        } else {
            let number = value.parse().ok().filter(|number| (1..=limit_max).contains(number));
            if number.is_none() {
                let detail = format!("{:?} is no whole number from 1 to {limit_max}", shorten(value));
                faults.push(fault(LIMIT, detail));
            }
            // What does not fit is there all the same.
            limit = Some(number.unwrap_or_default());
        }
    }
    refuse(faults).map(|()| limit)
}

/// Refuses every parameter.
pub(crate) fn no_parameters(query: Option<&str>) -> Result<(), Problem> {
    refuse(pairs(query).map(|(name, _)| unknown(name, "there are no parameters here")).collect())
}

/// Numbers and known names need no decoding; whatever is encoded is not understood anyway.
fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn unknown(name: &str, known: &str) -> ProblemFault {
    fault(&shorten(name), format!("there is no such parameter; {known}"))
}

fn fault(pointer: &str, detail: String) -> ProblemFault {
    ProblemFault { pointer: pointer.to_owned(), detail }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn refuse(faults: Vec<ProblemFault>) -> Result<(), Problem> {
    let Some(first) = faults.first() else { return Ok(()) };
    let detail = match faults.len() {
        1 => format!("parameter {}: {}", first.pointer, first.detail),
        count => format!("{count} parameters do not fit; the first is {}: {}", first.pointer, first.detail),
    };
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Parameters Do Not Fit", detail).with_faults(faults))
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
            ("limit=1&limit=2", "parameter limit: it is there twice; give it once"),
            ("page=2", "parameter page: there is no such parameter; the only parameter is limit"),
            (
                "limit=x&page=2",
                r#"2 parameters do not fit; the first is limit: "x" is no whole number from 1 to 120"#,
            ),
        ] {
            assert_eq!(limit(Some(query), 120).expect_err(query).detail(), expected, "{query}");
        }
        let long = format!("limit={}", "9".repeat(500));
        assert!(limit(Some(&long), 120).expect_err("too large").detail().len() < 120);
    }

    #[test]
    fn a_route_without_parameters_refuses_each() {
        no_parameters(None).expect("there is none");
        no_parameters(Some("")).expect("there is none");
        let problem = no_parameters(Some("limit=3")).expect_err("there is one");
        assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let expected = "parameter limit: there is no such parameter; there are no parameters here";
        assert_eq!(problem.detail(), expected);
    }
}
