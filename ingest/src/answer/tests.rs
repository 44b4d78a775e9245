//! What is answered to each refusal, in a table.

use std::time::Duration;

use super::*;

/// Status and `Retry-After` of the answer, and its detail.
fn answered(refusal: Refusal) -> (u16, Option<String>) {
    let config = Config { retry_after: Duration::from_secs(3), ..Config::default() };
    let response = refusal.answer(&config);
    let wait = response.headers().get(header::RETRY_AFTER);
    (response.status().as_u16(), wait.map(|wait| wait.to_str().expect("digits").to_owned()))
}

fn path() -> String {
    "/var/lib/secret".to_owned()
}

fn reason() -> String {
    "I/O error".to_owned()
}

#[test]
fn every_refusal_has_its_status_and_says_when_to_come_again() {
    let again = || Some("3".to_owned());
    let queue_full = AppendError::QueueFull { queued_bytes: 9, limit_bytes: 8, setting: "queue_bytes_max" };
    let log_full = AppendError::LogFull { used_bytes: 9, limit_bytes: 8, setting: "total_bytes_max" };
    let too_large = AppendError::TooLarge { bytes: 9, limit_bytes: 8, setting: "append_bytes_max" };
    let partition = tidegate_model::PartitionId(7);
    for (refusal, expected) in [
        (Refusal::TooManyInFlight, (503, again())),
        (Refusal::ContentType("\"text/xml\"".to_owned()), (415, None)),
        (Refusal::ContentEncoding("\"gzip\"".to_owned()), (415, None)),
        (Refusal::BodyTooLarge, (413, None)),
        (Refusal::BodyTooSlow, (408, None)),
        (Refusal::BodyBroken, (400, None)),
        (Refusal::NotJson { line: 1, column: 2, reason: reason() }, (400, None)),
        (Refusal::Faults(Vec::new()), (422, None)),
        (Refusal::Append(queue_full), (503, again())),
        (Refusal::Append(log_full), (503, again())),
        (Refusal::Append(too_large), (413, None)),
        (Refusal::Append(AppendError::DiskFull { path: path() }), (503, again())),
        (Refusal::Append(AppendError::Storage { path: path(), reason: reason() }), (503, again())),
        (Refusal::Append(AppendError::Indefinite { path: path(), reason: reason() }), (503, None)),
        (Refusal::Append(AppendError::UnknownPartition { partition, partitions: 6 }), (500, None)),
        (Refusal::Append(AppendError::Closed), (503, again())),
    ] {
        let told = format!("{refusal:?}");
        assert_eq!(answered(refusal), expected, "{told}");
    }
}

#[test]
fn a_failed_append_names_its_limit_and_hides_where_the_log_is() {
    for (error, part) in [
        (
            AppendError::QueueFull { queued_bytes: 9, limit_bytes: 8, setting: "queue_bytes_max" },
            "log.queue_bytes_max",
        ),
        (
            AppendError::LogFull { used_bytes: 9, limit_bytes: 8, setting: "total_bytes_max" },
            "none will be until the operator raises log.total_bytes_max",
        ),
        (
            AppendError::TooLarge { bytes: 9, limit_bytes: 8, setting: "append_bytes_max" },
            "append_bytes_max, which is fixed",
        ),
        (AppendError::DiskFull { path: path() }, "was not taken"),
        (AppendError::Storage { path: path(), reason: reason() }, "was not taken"),
        (AppendError::Indefinite { path: path(), reason: reason() }, "may count it twice"),
        (AppendError::Closed, "was not taken"),
    ] {
        let detail = said(&error);
        assert!(detail.contains(part) && !detail.contains("secret"), "{detail}");
    }
}
