//! What an answer, or the lack of one, means for the event that was sent: a function.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

use crate::client::{Answer, Failure};
use crate::import::Reason;

/// How long is waited where nobody says for how long.
const PAUSE: Duration = Duration::from_secs(1);
/// Characters of an answer that are shown.
const EXCERPT_CHARS_MAX: usize = 300;

/// What it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The event is durable.
    Acknowledged,
    /// It will never be taken.
    Refused(Reason),
    /// It was not taken, and may be later.
    Again { after: Duration, why: String },
    /// It was not taken, and no other will be: this is no tracking endpoint.
    Wrong(String),
    /// It may have been taken.
    Unknown(String),
}

/// Judges. Only 503 and 429 that say when to come again, and failures before anything was sent, are taken as proof
/// that the same event may be sent again.
pub(super) fn judge(result: &Result<Answer, Failure>) -> Verdict {
    let answer = match result {
        Ok(answer) => answer,
        Err(failure) if failure.is_definite() => {
            return Verdict::Again { after: PAUSE, why: failure.to_string() };
        }
        Err(failure) => return Verdict::Unknown(failure.to_string()),
    };
    let said = || format!("it answered {}{}", answer.status, detail(&answer.body));
    match (answer.status, answer.retry_after) {
        (StatusCode::ACCEPTED, _) => Verdict::Acknowledged,
        (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS, Some(after)) => {
            Verdict::Again { after, why: said() }
        }
        // The body did not arrive in time.
        (StatusCode::REQUEST_TIMEOUT, _) => Verdict::Again { after: PAUSE, why: said() },
        (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY, _) => {
            let status = answer.status.as_u16();
            Verdict::Refused(Reason::Refused { status, detail: detail(&answer.body) })
        }
        (status, _) if status.is_client_error() => Verdict::Wrong(said()),
        _ => Verdict::Unknown(said()),
    }
}

/// A problem, as far as it is understood.
#[derive(Deserialize)]
struct Problem {
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<ProblemFault>,
}

#[derive(Deserialize)]
struct ProblemFault {
    pointer: String,
    detail: String,
}

/// What a body says is wrong, after a colon and on one line; nothing where it says nothing.
fn detail(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) if !problem.errors.is_empty() => {
            let faults = problem.errors.iter().map(|fault| format!("{}: {}", fault.pointer, fault.detail));
            faults.collect::<Vec<_>>().join("; ")
        }
        Ok(Problem { detail: Some(detail), .. }) => detail,
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().filter(|c| !c.is_control()).take(EXCERPT_CHARS_MAX).collect();
    if shown.is_empty() { shown } else { format!(": {shown}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>, body: &'static str) -> Result<Answer, Failure> {
        let status = StatusCode::from_u16(status).expect("a status");
        let retry_after = retry_after.map(Duration::from_secs);
        let body = bytes::Bytes::from_static(body.as_bytes());
        Some(Answer { status, retry_after, body }).ok_or(Failure::NotSent)
    }

    fn refused(status: u16, detail: &str) -> Verdict {
        Verdict::Refused(Reason::Refused { status, detail: detail.to_owned() })
    }

    fn again(seconds: u64, why: &str) -> Verdict {
        Verdict::Again { after: Duration::from_secs(seconds), why: why.to_owned() }
    }

    #[test]
    fn an_event_is_sent_again_only_when_it_was_surely_not_taken() {
        let problem = r#"{"title":"t","status":422,"detail":"d","errors":[{"pointer":"/user/id","detail":"is missing"},
            {"pointer":"/metrics","detail":"is missing"}]}"#;
        for (result, verdict) in [
            (answer(202, None, "{}"), Verdict::Acknowledged),
            (
                answer(503, Some(7), r#"{"detail":"the log is full"}"#),
                again(7, "it answered 503 Service Unavailable: the log is full"),
            ),
            (answer(429, Some(1), ""), again(1, "it answered 429 Too Many Requests")),
            (answer(408, None, ""), again(1, "it answered 408 Request Timeout")),
            (answer(422, None, problem), refused(422, ": /user/id: is missing; /metrics: is missing")),
            (answer(400, None, "no\n JSON"), refused(400, ": no JSON")),
            (answer(413, None, ""), refused(413, "")),
            (answer(404, None, ""), Verdict::Wrong("it answered 404 Not Found".into())),
            (answer(429, None, ""), Verdict::Wrong("it answered 429 Too Many Requests".into())),
            (answer(503, None, ""), Verdict::Unknown("it answered 503 Service Unavailable".into())),
            (answer(500, Some(1), ""), Verdict::Unknown("it answered 500 Internal Server Error".into())),
            (answer(200, None, "hi"), Verdict::Unknown("it answered 200 OK: hi".into())),
            (answer(302, None, ""), Verdict::Unknown("it answered 302 Found".into())),
            (Err(Failure::NotSent), again(1, &Failure::NotSent.to_string())),
            (Err(Failure::TooLarge), Verdict::Unknown(Failure::TooLarge.to_string())),
        ] {
            assert_eq!(judge(&result), verdict, "{result:?}");
        }
    }
}
