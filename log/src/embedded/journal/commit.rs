//! One commit: bindings and rows in one transaction.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use tidegate_model::{Epoch, EventTime, Generation};

use super::transaction::{Abort, Failure, transaction};
use crate::journal::{Commit, CommitError, check_order};

/// A topic that the commit writes to.
struct Topic {
    name: Arc<str>,
    id: i64,
    next_offset: i64,
}

/// Carries a commit out.
pub(super) fn commit(
    connection: &mut Connection,
    path: &str,
    own: Generation,
    committed_at: EventTime,
    commit: &Commit,
) -> Result<(), CommitError> {
    let outcome = transaction(connection, |connection| {
        check_generation(connection, own)?;
        check_epochs(connection, commit)?;
        insert_bindings(connection, committed_at, commit)?;
        insert_rows(connection, own, commit)
    });
    outcome.map_err(|failure| commit_error(failure, path))
}

/// What a transaction of the journal's that failed comes to.
pub(super) fn commit_error(failure: Failure<CommitError>, path: &str) -> CommitError {
    let path = path.to_owned();
    match failure {
        Failure::Body(error) => error,
        Failure::Full => CommitError::DiskFull { path },
        Failure::Definite(error) => CommitError::Storage { path, reason: error.to_string() },
        Failure::Indefinite(error) => CommitError::Indefinite { path, reason: error.to_string() },
    }
}

pub(super) type Step<T> = Result<T, Abort<CommitError>>;

pub(super) fn check_generation(connection: &Connection, own: Generation) -> Step<()> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = 'generation'")?;
    let other = Generation(statement.query_row([], |row| row.get(0))?);
    if own == Generation(0) {
        let reason = "recover() comes before the first commit".to_owned();
        return Err(Abort::Own(CommitError::Invalid { reason }));
    }
    if other == own { Ok(()) } else { Err(Abort::Own(CommitError::Fenced { own, other })) }
}

/// The commit follows what is bound.
fn check_epochs(connection: &Connection, commit: &Commit) -> Step<()> {
    let mut statement = connection.prepare_cached("SELECT max(epoch) FROM bindings")?;
    let last: Option<Epoch> = statement.query_row([], |row| row.get::<_, Option<u64>>(0))?.map(Epoch);
    check_order(commit, last).map_err(|reason| Abort::Own(CommitError::Invalid { reason }))
}

fn insert_bindings(connection: &Connection, committed_at: EventTime, commit: &Commit) -> Step<()> {
    let mut statement = connection.prepare_cached("INSERT INTO bindings VALUES (?1, ?2, ?3)")?;
    for binding in &commit.bindings {
        let body = serde_json::to_string(binding).map_err(|error| {
            let reason = format!("the binding of epoch {} cannot be written as JSON: {error}", binding.epoch);
            Abort::Own(CommitError::Invalid { reason })
        })?;
        let epoch = number(binding.epoch.0)?;
        statement.execute((epoch, committed_at.as_millis(), body))?;
    }
    Ok(())
}

fn insert_rows(connection: &Connection, own: Generation, commit: &Commit) -> Step<()> {
    let mut topics: Vec<Topic> = Vec::new();
    let mut current = 0;
    let generation = number(own.0)?;
    let sql = "INSERT INTO rows VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let mut statement = connection.prepare_cached(sql)?;
    for row in &commit.rows {
        if topics.get(current).is_none_or(|topic| topic.name != row.topic) {
            let known = topics.iter().position(|topic| topic.name == row.topic);
            current = known.unwrap_or(topics.len());
            if known.is_none() {
                topics.push(open_topic(connection, &row.topic)?);
            }
        }
        let topic = &mut topics[current];
        statement.raw_bind_parameter(1, topic.id)?;
        statement.raw_bind_parameter(2, topic.next_offset)?;
        statement.raw_bind_parameter(3, number(row.epoch.0)?)?;
        statement.raw_bind_parameter(4, row.op.as_str())?;
        statement.raw_bind_parameter(5, generation)?;
        statement.raw_bind_parameter(6, row.key.as_slice())?;
        statement.raw_bind_parameter(7, row.value.as_slice())?;
        if row.headers.is_empty() {
            statement.raw_bind_parameter(8, rusqlite::types::Null)?;
        } else {
            let headers = serde_json::json!(row.headers).to_string();
            statement.raw_bind_parameter(8, headers)?;
        }
        statement.raw_execute()?;
        topic.next_offset += 1;
    }
    let mut statement = connection.prepare_cached("UPDATE topics SET next_offset = ?2 WHERE id = ?1")?;
    for topic in topics {
        statement.execute((topic.id, topic.next_offset))?;
    }
    Ok(())
}

fn open_topic(connection: &Connection, name: &Arc<str>) -> Step<Topic> {
    let sql = "SELECT id, next_offset FROM topics WHERE name = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([name.as_ref()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let (id, next_offset) = if let Some(found) = found {
        found
    } else {
        let sql = "INSERT INTO topics (name, first_offset, next_offset) VALUES (?1, 0, 0)";
        connection.prepare_cached(sql)?.execute([name.as_ref()])?;
        (connection.last_insert_rowid(), 0)
    };
    Ok(Topic { name: Arc::clone(name), id, next_offset })
}

/// SQLite's integers have a sign.
fn number(value: u64) -> Step<i64> {
    i64::try_from(value).map_err(|_| {
        let reason = format!("{value} is more than the journal can hold ({})", i64::MAX);
        Abort::Own(CommitError::Invalid { reason })
    })
}
