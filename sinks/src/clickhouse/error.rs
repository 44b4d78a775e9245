//! What the server's errors mean: whether something surely did not happen, and what to do.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use clickhouse::error::Error;

use super::fit::Misfit;
use super::generation::FENCED;
use super::text::quote;
use crate::store::StoreError;

/// How much of an answer is repeated in an error, in characters.
const REASON_CHARS_MAX: usize = 400;

/// A statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The server's number of the error, when it is the server's.
    pub(super) code: Option<u32>,
    /// Whether the statement surely did nothing.
    pub(super) is_definite: bool,
    /// Whether it was refused because another process has taken over.
    pub(super) is_fenced: bool,
    /// Whether it was refused because of what a row says.
    pub(super) is_about_rows: bool,
    pub(super) reason: String,
}

/// Errors that the server finds before it changes anything, each with what to do.
const DEFINITE: [(u32, &str); 21] = [
    (16, "the table is checked before the next step"),
    (33, ""),
    // An argument is wrong: found before an insert begins, which has none that depends on rows.
    (36, ""),
    (43, ""),
    (46, ""),
    (47, "the table is checked before the next step"),
    (53, "the table is checked before the next step"),
    // Somebody else made one, which is looked at before the next step.
    (57, "the table is checked before the next step"),
    (60, "it is made before the next step"),
    (62, ""),
    (81, "it is made before the next step"),
    // A setting that this version does not have.
    (115, "storing needs a server that knows this setting"),
    (164, "storing has to set this setting, and to write: give the user a profile without readonly"),
    (192, "check the user"),
    (193, "check the password"),
    (194, "give a password"),
    (202, "storing goes on by itself when the server has less to do"),
    (252, "storing goes on by itself when the server has merged parts"),
    // A profile limits a setting.
    (452, "storing has to set this setting: take the constraint out of the user's profile"),
    (497, "give the user the right to do that"),
    (516, "check the user and the password"),
];

/// What to do about a connection that broke.
const AGAIN: &str = "storing goes on by itself when it answers";

/// Errors about what a row says: a value that does not fit a column's type, a constraint, or a view that somebody
/// else made. (33 is not one of them: it is also what the server says when the rows of an insert are cut short. Nor is
/// 53, which is about a type.)
const ABOUT_ROWS: [u32; 19] = [
    6,   // CANNOT_PARSE_TEXT
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    131, // TOO_LARGE_STRING_SIZE
    153, // ILLEGAL_DIVISION
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    376, // CANNOT_PARSE_UUID
    407, // DECIMAL_OVERFLOW
    467, // CANNOT_PARSE_BOOL
    469, // VIOLATED_CONSTRAINT
    675, // CANNOT_PARSE_IPV4
    676, // CANNOT_PARSE_IPV6
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

const NOT_ENOUGH_SPACE: u32 = 243;

/// What `throwIf` throws.
const THROWN: u32 = 395;

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        let said = if let Error::BadResponse(answer) = error { answer.clone() } else { error.to_string() };
        let code = if let Error::BadResponse(answer) = error { code(answer) } else { None };
        let mut reason = said.clone();
        let refused = is_refused(error);
        let known = DEFINITE.iter().find(|(known, _)| Some(*known) == code);
        if let Some((end, _)) = reason.char_indices().nth(REASON_CHARS_MAX) {
            reason.truncate(end);
            reason.push('…');
        }
        let remedy = match (refused, known) {
            (true, _) => "start it, or correct its address; storing goes on by itself when it answers",
            (false, Some((_, remedy))) => remedy,
            (false, None) if code.is_none() => AGAIN,
            (false, None) => "",
        };
        if let (Error::Network(_), Some(source)) = (error, deepest(error)) {
            reason = format!("{reason}: {source}");
        }
        let grant = grant(&said);
        let remedy = grant.as_deref().unwrap_or(remedy);
        if !remedy.is_empty() {
            reason = format!("{}; {remedy}", reason.trim_end());
        }
        let is_fenced = code == Some(THROWN) && said.contains(FENCED);
        let is_about_rows =
            !is_fenced && code.is_some_and(|code| code == THROWN || ABOUT_ROWS.contains(&code));
        let is_definite =
            refused || known.is_some() || is_fenced || is_about_rows || code == Some(NOT_ENOUGH_SPACE);
        Self { code, is_definite, is_fenced, is_about_rows, reason }
    }

    pub(super) fn late(timeout: Duration) -> Self {
        let reason = format!("no answer within {} ms; {AGAIN}", timeout.as_millis());
        Self { code: None, is_definite: false, is_fenced: false, is_about_rows: false, reason }
    }

    /// As the error of a statement that changes `what`.
    pub(super) fn of_write(self, what: String) -> StoreError {
        let Self { code, is_definite, reason, .. } = self;
        match code {
            Some(NOT_ENOUGH_SPACE) => StoreError::DiskFull { path: what },
            _ if is_definite => StoreError::Storage { path: what, reason },
            _ => StoreError::Indefinite { path: what, reason },
        }
    }

    /// As the error of a statement that changes nothing.
    pub(super) fn of_read(self, what: String) -> StoreError {
        StoreError::Storage { path: what, reason: self.reason }
    }
}

/// `Code: 60. DB::Exception: …`
fn code(answer: &str) -> Option<u32> {
    let (_, rest) = answer.split_once("Code: ")?;
    let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// What gives the right that the server says is missing: `bob: Not enough privileges. To execute this query, it's
/// necessary to have the grant INSERT(a, b) ON analytics.event_metrics. (ACCESS_DENIED)`.
fn grant(answer: &str) -> Option<String> {
    let (before, rest) = answer.split_once(": Not enough privileges.")?;
    let user = before.rsplit(": ").next()?;
    let (_, right) = rest.split_once("necessary to have the grant ")?;
    let right = right.split_once(". (").map_or(right, |(right, _)| right);
    Some(format!("run GRANT {right} TO {}; storing goes on by itself then", quote(user)))
}

/// Whether nobody listens there, so that nothing was sent.
fn is_refused(error: &Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == ErrorKind::ConnectionRefused) {
            return true;
        }
        source = error.source();
    }
    false
}

fn deepest(error: &Error) -> Option<&(dyn std::error::Error + 'static)> {
    let mut deepest = error.source()?;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    Some(deepest)
}

/// A table of that name is there, but not one that rows can be stored in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "table {table} of ClickHouse {url} cannot hold the rows: {misfit}; \
     stop whoever inserts into it, and run\n\n{};\n", .statements.join(";\n\n")
)]
pub struct UnfitTable {
    /// The server.
    pub url: String,
    /// Database and table.
    pub table: String,
    /// What is wrong.
    pub misfit: Misfit,
    /// The statements that make it one, to be run in this order.
    pub statements: Vec<String>,
}

impl From<UnfitTable> for StoreError {
    fn from(unfit: UnfitTable) -> Self {
        Self::Refused { reason: unfit.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_whether_it_surely_did_not_happen() {
        let answer = |code: u32| Error::BadResponse(format!("Code: {code}. DB::Exception: no. (NO)"));
        let refused = std::io::Error::from(ErrorKind::ConnectionRefused);
        let reset = std::io::Error::from(ErrorKind::ConnectionReset);
        let table = [
            (answer(60), true, "; it is made before the next step"),
            (answer(243), true, "(NO)"),
            (answer(159), false, "(NO)"),
            (answer(999), false, "(NO)"),
            (Error::BadResponse("<html>a proxy".to_owned()), false, AGAIN),
            (Error::Network(Box::new(refused)), true, "when it answers"),
            (Error::Network(Box::new(reset)), false, AGAIN),
            (Error::TimedOut, false, AGAIN),
        ];
        for (error, is_definite, end) in table {
            let failure = Failure::of(&error);
            assert_eq!(failure.is_definite, is_definite, "{failure:?}");
            assert!(failure.reason.ends_with(end), "{failure:?}");
            let told = failure.clone().of_write("the table".to_owned());
            assert_eq!(told.is_definite(), is_definite, "{told}");
            assert!(failure.of_read("the table".to_owned()).is_definite());
        }
    }

    #[test]
    fn what_a_user_may_not_do_is_named() {
        let table = [
            (
                "Code: 497. DB::Exception: bob: Not enough privileges. To execute this query, it's necessary to have \
                 the grant CREATE TEMPORARY TABLE ON *.*. (ACCESS_DENIED) (version 26.7.2.1)",
                "; run GRANT CREATE TEMPORARY TABLE ON *.* TO `bob`; storing goes on by itself then",
            ),
            (
                "Code: 497. DB::Exception: bob: Not enough privileges. To execute this query, it's necessary to have \
                 the grant SELECT(query_id) ON system.processes. (ACCESS_DENIED) (version 26.7.2.1)",
                "; run GRANT SELECT(query_id) ON system.processes TO `bob`; storing goes on by itself then",
            ),
            (
                "Code: 497. DB::Exception: bob may not. (ACCESS_DENIED)",
                "; give the user the right to do that",
            ),
            (
                "Code: 452. DB::Exception: Setting max_threads shouldn't be less than 2. (SETTING_CONSTRAINT_VIOLATION)",
                "; storing has to set this setting: take the constraint out of the user's profile",
            ),
            (
                "Code: 164. DB::Exception: Cannot modify 'final' setting in readonly mode. (READONLY)",
                "; storing has to set this setting, and to write: give the user a profile without readonly",
            ),
        ];
        for (answer, end) in table {
            let failure = Failure::of(&Error::BadResponse(answer.to_owned()));
            assert!(failure.is_definite, "{failure:?}");
            assert!(failure.reason.starts_with(answer) && failure.reason.ends_with(end), "{failure:?}");
        }
    }

    #[test]
    fn long_answers_are_cut() {
        let failure = Failure::of(&Error::BadResponse("ä".repeat(9_999)));
        assert_eq!(failure.reason.chars().filter(|char| *char == 'ä').count(), REASON_CHARS_MAX);
    }
}
