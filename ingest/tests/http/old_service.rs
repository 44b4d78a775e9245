//! The same requests against what the old service answered.
//!
//! `data/old_service.json` was made by `data/old_service.py`, beside it, with a real `FastAPI` and the
//! old model. Where we answer otherwise, [`DIFFERENCES`] has the requests and the reason; the reasons are in
//! `docs/http-ingest.md` as well.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::tables::{accepted, malformed, requests};

/// The old status, ours, and why; then the names of the requests, or none for all that have those two.
const DIFFERENCES: &[(u16, u16, &str, &[&str])] = &[
    (422, 400, "what is no JSON is told apart from what does not fit", &[]),
    (422, 415, "a wrong content type is told as such", &[]),
    (
        422,
        202,
        "sendBeacon sends text/plain",
        &["content type text/plain", "content type text/plain;charset=UTF-8"],
    ),
    (307, 202, "a slash at the end is taken without a redirect", &["a slash at the end"]),
    (202, 413, "a body has a limit", &["a body of 300,000 bytes"]),
    (202, 415, "a body that says that it is compressed is not read", &["content encoding gzip"]),
    (
        202,
        400,
        "numbers are finite",
        &["NaN as a property", "Infinity in an unknown field", "a number beyond doubles"],
    ),
    (202, 400, "half of a surrogate pair is no character", &["half of a surrogate pair in a name"]),
    (500, 400, "half of a surrogate pair is no character", &["half of a surrogate pair"]),
    (202, 400, "JSON is UTF-8 without a byte order mark", &["a byte order mark", "UTF-16"]),
    (202, 400, "depth has a limit", &["nested beyond 127 levels"]),
    (202, 422, "a boolean is no number", &["device.screen_width is a boolean", "a property is a boolean"]),
    (
        202,
        422,
        "integers have 64 bits",
        &[
            "device.screen_height is beyond 64 bits",
            "device.screen_height is beyond 64 bits in a string",
            "a property is beyond 64 bits",
        ],
    ),
    (
        202,
        422,
        "an address is a string without a zone",
        &["context.ip_address is a number", "context.ip_address has a zone"],
    ),
    (
        202,
        422,
        "timestamps are milliseconds of the years 1973 to 2200",
        &["timestamp in seconds", "timestamp in microseconds", "timestamp is negative"],
    ),
];

const DOCS: &str = include_str!("../../../docs/http-ingest.md");

#[derive(Deserialize)]
struct Old {
    answers: Vec<OldAnswer>,
}

#[derive(Deserialize)]
struct OldAnswer {
    name: String,
    status: u16,
}

/// The status that the old service answered, by the name of the request.
fn old() -> BTreeMap<String, u16> {
    let old: Old = serde_json::from_str(include_str!("../data/old_service.json")).expect("a table");
    old.answers.into_iter().map(|answer| (answer.name, answer.status)).collect()
}

/// Name, old status and ours of every request; ours is held by the tests in `tables`.
fn both() -> Vec<(String, u16, u16)> {
    let old = old();
    let rows: Vec<_> = malformed().into_iter().chain(accepted()).chain(requests()).collect();
    assert_eq!(rows.len(), old.len(), "both tables have the same requests: run old_service.py again");
    rows.into_iter()
        .map(|row| {
            let theirs = *old.get(&row.name).unwrap_or_else(|| panic!("{} was never asked", row.name));
            (row.name, theirs, row.status.unwrap_or(202))
        })
        .collect()
}

#[test]
fn what_the_old_service_took_is_taken_and_every_difference_has_a_reason() {
    let listed = |name: &str, theirs: u16, ours: u16| {
        DIFFERENCES.iter().any(|(old, new, _, names)| {
            (*old, *new) == (theirs, ours) && (names.is_empty() || names.contains(&name))
        })
    };
    let unexplained: Vec<_> = both()
        .into_iter()
        .filter(|(name, theirs, ours)| theirs != ours && !listed(name, *theirs, *ours))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}

#[test]
fn every_difference_was_measured_and_is_in_the_docs() {
    let measured = both();
    for (theirs, ours, reason, names) in DIFFERENCES {
        let found: BTreeSet<_> = measured
            .iter()
            .filter(|(_, old, new)| (old, new) == (theirs, ours))
            .map(|(name, _, _)| &**name)
            .collect();
        assert!(!found.is_empty(), "{reason}: nothing differs so");
        for name in *names {
            assert!(found.contains(name), "{reason}: {name}");
        }
        assert!(DOCS.contains(reason), "docs/http-ingest.md has a row with: {reason}");
    }
}
