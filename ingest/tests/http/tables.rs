//! Bodies and requests in tables, `tests/data/*.jsonl`, with what each is answered.

use std::collections::BTreeSet;

use serde::Deserialize;
use tidegate_ingest::Config;
use tidegate_model::Event;
use tidegate_model::event::Defaults;

use crate::client::{Connection, TRACK, request, track};
use crate::service::{Deployment, ID, NOW};

/// A row of any of the tables.
#[derive(Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    #[serde(default)]
    body: String,
    hex: Option<String>,
    pub(crate) method: Option<String>,
    pub(crate) path: Option<String>,
    headers: Option<serde_json::Map<String, serde_json::Value>>,
    /// The answer's status; 202 where the row does not say.
    pub(crate) status: Option<u16>,
    #[serde(default)]
    errors: Vec<(String, String)>,
}

impl Row {
    /// The body; the words `valid` and `large` stand for longer ones.
    pub(crate) fn body(&self) -> Vec<u8> {
        let valid = accepted().swap_remove(0);
        match (&self.hex, &*self.body) {
            (Some(hex), _) => hex
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex"))
                .collect(),
            (None, "valid") => valid.body.into_bytes(),
            (None, "large") => {
                let members = valid.body.strip_suffix('}').expect("an object");
                format!("{members},\"extra\":\"{}\"}}", "x".repeat(300_000)).into_bytes()
            }
            (None, body) => body.as_bytes().to_vec(),
        }
    }

    /// The bytes of the request.
    pub(crate) fn request(&self) -> Vec<u8> {
        let Some(headers) = &self.headers else {
            return track(&self.body());
        };
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (&**name, value.as_str().expect("a string"))).collect();
        let (method, path) = (self.method.as_deref(), self.path.as_deref());
        request(method.unwrap_or("POST"), path.unwrap_or(TRACK), &headers, &self.body())
    }
}

fn rows(text: &str) -> Vec<Row> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Bodies that are refused.
pub(crate) fn malformed() -> Vec<Row> {
    rows(include_str!("../data/malformed.jsonl"))
}

/// Bodies that are taken; the first is called `valid`.
pub(crate) fn accepted() -> Vec<Row> {
    rows(include_str!("../data/accepted.jsonl"))
}

/// Requests with other heads.
pub(crate) fn requests() -> Vec<Row> {
    rows(include_str!("../data/requests.jsonl"))
}

#[tokio::test]
async fn every_malformed_body_gets_its_answer_and_nothing_of_it_is_stored() {
    let deployment = Deployment::with(Config::default()).await;
    let table = malformed();
    assert!(table.len() >= 100, "the table is whole");
    let names: BTreeSet<_> = table.iter().map(|row| &row.name).collect();
    assert_eq!(names.len(), table.len(), "every row has a name of its own");
    // One connection for all: a refused body must not disturb the request behind it.
    let mut connection = Connection::open(deployment.address()).await;
    for row in table {
        connection.send(&row.request()).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("no answer to {}", row.name));
        assert_eq!(Some(answer.status), row.status, "{}: {}", row.name, answer.body);
        assert_eq!(answer.faults(), row.errors, "{}", row.name);
        let expected = match &row.errors[..] {
            [(pointer, detail)] if pointer.is_empty() && answer.status == 400 => detail.clone(),
            [_] => "the event has 1 fault".to_owned(),
            many => format!("the event has {} faults", many.len()),
        };
        assert_eq!(answer.detail(), expected, "{}", row.name);
    }
    assert_eq!(deployment.events(), Vec::<String>::new());
}

#[tokio::test]
async fn every_lenient_body_is_accepted_and_stored_in_canonical_form() {
    let deployment = Deployment::with(Config::default()).await;
    let defaults = Defaults { id: ID, now: NOW };
    let mut expected = Vec::new();
    let mut connection = Connection::open(deployment.address()).await;
    for row in accepted() {
        connection.send(&row.request()).await;
        let answer = connection.answer().await.unwrap_or_else(|| panic!("no answer to {}", row.name));
        assert_eq!(answer.status, 202, "{}: {}", row.name, answer.body);
        assert_eq!(answer.body, r#"{"status":"accepted"}"#, "{}", row.name);
        let mut canonical = Vec::new();
        Event::decode(&row.body(), &defaults).expect("the model takes it").encode_into(&mut canonical);
        expected.push(String::from_utf8(canonical).expect("JSON is UTF-8"));
    }
    let mut stored = deployment.events();
    expected.sort_unstable();
    stored.sort_unstable();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn every_request_gets_its_status_and_every_refusal_is_a_problem() {
    let deployment = Deployment::with(Config::default()).await;
    let mut accepted = 0;
    for row in requests() {
        let mut connection = Connection::open(deployment.address()).await;
        connection.send(&row.request()).await;
        let method = row.method.as_deref().unwrap_or("POST");
        let answer =
            connection.answer_to(method).await.unwrap_or_else(|| panic!("no answer to {}", row.name));
        assert_eq!(Some(answer.status), row.status, "{}: {}", row.name, answer.body);
        accepted += usize::from(answer.status == 202);
        if answer.status >= 400 && method != "HEAD" {
            answer.detail();
        }
        if answer.status == 405 {
            let route = row.path.as_deref().unwrap_or(TRACK);
            let allowed = if route == TRACK { "POST" } else { "GET,HEAD" };
            assert_eq!(answer.header("allow"), Some(allowed), "{}", row.name);
        }
        if row.name == "content encoding gzip" {
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
    }
    assert_eq!(deployment.events().len(), accepted);
}
