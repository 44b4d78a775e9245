//! Clients that break the rules: never a panic, never a 5xx, never a connection that is held.

use std::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use tidegate_ingest::Config;
use tokio::runtime::Runtime;

use crate::client::{Answer, Connection, TRACK, VALID, send, track};
use crate::service::Deployment;

/// How many random cases each test below runs.
const CASES: u32 = 300;

/// Runs `check` on random input against one service, which must work as well as ever in the end.
fn against_a_service<S: Strategy>(
    input: S,
    check: &impl AsyncFn(SocketAddr, &S::Value) -> Result<(), TestCaseError>,
) where
    S::Value: std::fmt::Debug,
{
    let runtime = Runtime::new().expect("a runtime");
    let deployment = runtime.block_on(Deployment::with(Config::default()));
    let address = deployment.address();
    let mut runner = TestRunner::new(Cases { cases: CASES, failure_persistence: None, ..Cases::default() });
    let outcome = runner.run(&input, |value| runtime.block_on(check(address, &value)));
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(runtime.block_on(send(address, VALID.as_bytes())).status, 202);
    runtime.block_on(deployment.service.stop());
}

/// Sends `bytes`, says that there are no more, and returns every answer until the connection is closed.
async fn all_answers(address: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    let mut connection = Connection::open(address).await;
    connection.send(bytes).await;
    connection.finish().await;
    until_closed(connection).await
}

/// Sends whole requests of which the last one closes the connection, and returns every answer.
async fn answers_to(address: SocketAddr, requests: &str) -> Vec<Answer> {
    let mut connection = Connection::open(address).await;
    connection.send(requests.as_bytes()).await;
    until_closed(connection).await
}

async fn until_closed(mut connection: Connection) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(answer) = connection.answer().await {
        answers.push(answer);
    }
    answers
}

fn no_fault_of_ours(answers: &[Answer]) -> Result<(), TestCaseError> {
    let faults: Vec<_> = answers.iter().filter(|answer| answer.status >= 500).collect();
    prop_assert!(faults.is_empty(), "{faults:?}");
    Ok(())
}

#[test]
fn random_bytes_are_no_event_and_do_not_disturb_the_next_request() {
    against_a_service(vec(any::<u8>(), 0..2000), &async |address, body| {
        let mut connection = Connection::open(address).await;
        connection.send(&track(body)).await;
        let answer = connection.answer().await.expect("it is answered");
        prop_assert!(matches!(answer.status, 400 | 422), "{answer:?}");
        connection.send(&track(VALID.as_bytes())).await;
        prop_assert_eq!(connection.answer().await.map(|answer| answer.status), Some(202));
        Ok(())
    });
}

#[test]
fn an_event_with_random_bytes_in_it_is_taken_or_refused() {
    let change = (0..VALID.len(), any::<u8>());
    against_a_service(vec(change, 1..6), &async |address, changes| {
        let mut body = VALID.as_bytes().to_vec();
        for (at, byte) in changes {
            body[*at] = *byte;
        }
        let answer = send(address, &body).await;
        prop_assert!(matches!(answer.status, 202 | 400 | 422), "{answer:?}");
        Ok(())
    });
}

#[test]
fn random_bytes_instead_of_a_request_end_the_connection() {
    against_a_service(vec(any::<u8>(), 0..500), &async |address, bytes| {
        no_fault_of_ours(&all_answers(address, bytes).await)
    });
}

#[test]
fn a_request_with_random_bytes_in_it_is_answered_or_ended() {
    let whole = track(VALID.as_bytes());
    let change = (0..whole.len() - VALID.len(), any::<u8>());
    against_a_service(vec(change, 1..4), &async |address, changes| {
        let mut bytes = track(VALID.as_bytes());
        for (at, byte) in changes {
            bytes[*at] = *byte;
        }
        no_fault_of_ours(&all_answers(address, &bytes).await)
    });
}

#[test]
fn a_request_that_is_cut_anywhere_stores_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    let deployment = runtime.block_on(Deployment::with(Config::default()));
    let whole = track(VALID.as_bytes());
    for end in 0..whole.len() {
        let answers = runtime.block_on(all_answers(deployment.address(), &whole[..end]));
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert!(statuses.is_empty() || statuses == [400], "cut at {end}: {answers:?}");
    }
    assert_eq!(deployment.events(), Vec::<String>::new());
}

#[tokio::test]
async fn deep_nesting_is_no_json() {
    let deployment = Deployment::with(Config::default()).await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        let members = VALID.strip_suffix('}').expect("an object");
        for body in [deep.clone(), open.repeat(10_000), format!("{members},\"extra\":{deep}}}")] {
            let answer = send(deployment.address(), body.as_bytes()).await;
            assert_eq!(answer.status, 400);
            assert!(answer.detail().contains("recursion limit"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_body_of_many_small_faults_gets_a_bounded_answer() {
    let deployment = Deployment::with(Config::default()).await;
    let properties: Vec<_> = (0..20_000).map(|number| format!("\"{number}\":[]")).collect();
    let members = VALID.strip_suffix('}').expect("an object");
    let body = format!("{members},\"properties\":{{{}}}}}", properties.join(","));
    let answer = send(deployment.address(), body.as_bytes()).await;
    assert_eq!(answer.status, 422);
    assert!(answer.faults().len() == 33 && answer.body.len() < 8000, "{answer:?}");
}

#[tokio::test]
async fn a_field_that_is_one_long_string_is_shown_as_an_excerpt() {
    let deployment = Deployment::with(Config::default()).await;
    let body = VALID.replace("1920", &format!("\"{}\"", "<".repeat(200_000)));
    let answer = send(deployment.address(), body.as_bytes()).await;
    assert!(answer.status == 422 && answer.body.len() < 500, "{answer:?}");
}

#[tokio::test]
async fn heads_that_break_the_rules_are_refused() {
    let deployment = Deployment::with(Config::default()).await;
    let length = VALID.len();
    let post = format!("POST {TRACK} HTTP/1.1\r\nhost: x\r\n");
    for (what, head, expected) in [
        ("two different lengths", format!("content-length: {length}\r\ncontent-length: 5\r\n"), &[400][..]),
        ("a list of lengths", format!("content-length: {length}, 5\r\n"), &[400]),
        ("a negative length", "content-length: -1\r\n".to_owned(), &[400]),
        ("a length in words", "content-length: all\r\n".to_owned(), &[400]),
        ("a length beyond 64 bits", "content-length: 99999999999999999999\r\n".to_owned(), &[400]),
        ("a length of 18 EB", "content-length: 18446744073709551614\r\n".to_owned(), &[400, 431]),
        ("an unknown coding", "transfer-encoding: gzip\r\n".to_owned(), &[400]),
        ("chunked, but not last", "transfer-encoding: chunked, gzip\r\n".to_owned(), &[400]),
        ("a header of 20 KiB", format!("x-long: {}\r\n", "a".repeat(20 << 10)), &[431]),
        ("a name of 20 KiB", format!("{}: x\r\n", "a".repeat(20 << 10)), &[431]),
        ("200 headers", "a: b\r\n".repeat(200), &[431]),
        ("a header without a colon", "nonsense\r\n".to_owned(), &[400]),
        ("a blank before the colon", "content-type : application/json\r\n".to_owned(), &[400]),
    ] {
        let bytes = format!("{post}{head}\r\n{VALID}");
        let answers = all_answers(deployment.address(), bytes.as_bytes()).await;
        let first = answers.first().map(|answer| answer.status);
        assert!(first.is_some_and(|status| expected.contains(&status)), "{what}: {answers:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100 << 10));
    let answers = all_answers(deployment.address(), long.as_bytes()).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 414 | 431)), "{answers:?}");
    assert_eq!(deployment.events(), Vec::<String>::new());
}

#[tokio::test]
async fn two_equal_lengths_are_one_and_a_length_beside_chunks_is_not_trusted() {
    let deployment = Deployment::with(Config::default()).await;
    let length = VALID.len();
    let twice = format!(
        "POST {TRACK} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\ncontent-length: {length}\r\n\r\n{VALID}"
    );
    let answers = answers_to(deployment.address(), &twice).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [202]);

    // Were the length believed, what follows the first five bytes would be a request of its own.
    let smuggled = format!(
        "POST {TRACK} HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n\
         {}",
        String::from_utf8(track(VALID.as_bytes())).expect("text")
    );
    let answers = all_answers(deployment.address(), smuggled.as_bytes()).await;
    assert_eq!(answers.first().map(|answer| answer.status), Some(400), "{answers:?}");
}

#[tokio::test]
async fn chunks_are_put_together_and_broken_ones_refused() {
    let deployment = Deployment::with(Config::default()).await;
    let head = format!("POST {TRACK} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = |piece: &[u8]| {
        let piece = std::str::from_utf8(piece).expect("ASCII");
        format!("{:x};extension=1\r\n{piece}\r\n", piece.len())
    };
    let chunks: String = VALID.as_bytes().chunks(7).map(chunk).collect();
    let whole = format!("{head}{chunks}0\r\n\r\n").replace("host: x", "connection: close\r\nhost: x");
    let answers = answers_to(deployment.address(), &whole).await;
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [202]);
    for broken in ["zz\r\n", "ffffffffffffffffff\r\n", "5\r\nab", "5\r\nabcdefgh\r\n", "-5\r\n", "\r\n\r\n"] {
        let bytes = format!("{head}{broken}");
        let answers = all_answers(deployment.address(), bytes.as_bytes()).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert!(statuses.is_empty() || statuses == [400], "{broken:?}: {answers:?}");
    }
    assert_eq!(deployment.events().len(), 1);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let deployment = Deployment::with(Config::default()).await;
    let mut connection = Connection::open(deployment.address()).await;
    let mut bytes = Vec::new();
    for _ in 0..20 {
        bytes.extend(track(VALID.as_bytes()));
        bytes.extend(track(b"nonsense"));
        bytes.extend(b"GET /v1/healthz HTTP/1.1\r\nhost: x\r\n\r\n");
        bytes.extend(b"DELETE /nothing HTTP/1.1\r\nhost: x\r\n\r\n");
    }
    connection.send(&bytes).await;
    for _ in 0..20 {
        for expected in [202, 400, 200, 404] {
            assert_eq!(connection.answer().await.map(|answer| answer.status), Some(expected));
        }
    }
    assert_eq!(deployment.events().len(), 20);
}

#[tokio::test]
async fn other_forms_of_a_request_are_understood() {
    let deployment = Deployment::with(Config::default()).await;
    let (address, length) = (deployment.address(), VALID.len());
    for head in [
        format!("POST {TRACK} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n"),
        format!(
            "POST http://x{TRACK} HTTP/1.1\r\nconnection: close\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        ),
        format!(
            "POST {TRACK} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        ),
        format!(
            "POST {TRACK} HTTP/1.1\r\nhost: x\r\nconnection: close, upgrade, http2-settings\r\nupgrade: h2c\r\n\
             http2-settings: AAMAAABkAAQAAP__\r\ncontent-length: {length}\r\n\r\n"
        ),
    ] {
        let answers = answers_to(address, &format!("{head}{VALID}")).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [202], "{head}");
    }
    let preface = all_answers(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(preface.iter().all(|answer| answer.status < 500), "{preface:?}");
}
