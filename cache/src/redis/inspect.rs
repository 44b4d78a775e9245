//! A look at a server that changes nothing: what it is, its clock, what the user may do, and how far a sink got.

use redis::{Connection, Value};
use tidegate_model::EventTime;

use super::client;
use super::config::RedisConfig;
use super::failure::Failure;
use super::library;
use super::server::{info, judge};
use super::writer::text;
use crate::read::ReadError;

/// What a server looks like to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The server: `host:port/db`.
    pub address: String,
    /// Its version, where it says it.
    pub version: String,
    /// Why no sink can write a cache there, and what to do, where that is so.
    pub unfit: Option<String>,
    /// So many milliseconds its clock is ahead of ours at least, or behind when it is negative.
    pub skew_ms: i64,
    /// What the user may not do and would have to, in the server's words. `None`: the user may not ask.
    pub missing_rights: Option<Vec<String>>,
    /// Partitions of topics that the cache holds rows of; `None` where no sink wrote yet.
    pub partitions: Option<usize>,
}

/// Looks at the server; of several it is the one that a sink would write. `now` is our clock.
///
/// # Errors
/// When no server answers, or it refuses to be looked at.
pub fn inspect(config: &RedisConfig, now: impl Fn() -> EventTime) -> Result<Inspection, ReadError> {
    look(config, now).map_err(|failure| failure.read(&config.address()))
}

fn look(config: &RedisConfig, now: impl Fn() -> EventTime) -> Result<Inspection, Failure> {
    let (server, mut connection) = client::connect_to_look(config)?;
    let failure = |error| Failure::of(&error);
    let said: String = info().query(&mut connection).map_err(failure)?;
    let version = said.lines().find_map(|line| line.trim_end().strip_prefix("redis_version:"));
    let unfit = judge(&said, client::wanted(config, true)).err();
    let before = now();
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query(&mut connection).map_err(failure)?;
    let after = now();
    let clock = EventTime::from_millis(seconds * 1_000 + micros / 1_000);
    let (ahead, behind) = (clock.since_ms(after), clock.since_ms(before));
    let held: usize = redis::cmd("HLEN")
        .arg(format!("{}tidegate:positions", config.prefix))
        .query(&mut connection)
        .map_err(failure)?;
    Ok(Inspection {
        address: format!("{server}/{}", config.db),
        version: version.unwrap_or("unknown").to_owned(),
        unfit: unfit.map(Failure::into_reason),
        skew_ms: if ahead > 0 { ahead } else { behind.min(0) },
        missing_rights: missing_rights(&mut connection, config),
        partitions: (held > 0).then_some(held),
    })
}

/// Has the server say what it would refuse. Only a user with the right to ask is told.
fn missing_rights(connection: &mut Connection, config: &RedisConfig) -> Option<Vec<String>> {
    let prefix = &config.prefix;
    let user: String = redis::cmd("ACL").arg("WHOAMI").query(connection).ok()?;
    let (state, channel) = (format!("{prefix}tidegate:state"), format!("{prefix}cache:updates"));
    let metrics = format!("{prefix}metrics:event:windows");
    let needed: [&[&str]; 5] = [
        &["FUNCTION", "LOAD", "REPLACE", library::CODE],
        &["FCALL", library::NAME, "1", &state],
        &["FCALL_RO", library::NAME, "1", &state],
        &["ZADD", &metrics, "0", "0"],
        &["PUBLISH", &channel, ""],
    ];
    let to_hold: &[&str] = &["CLIENT", "TRACKING", "OFF"];
    let to_hold = (!config.answers_held.is_zero()).then_some(to_hold);
    let mut missing = Vec::new();
    for command in needed.into_iter().chain(to_hold) {
        let told: Value = redis::cmd("ACL").arg("DRYRUN").arg(&user).arg(command).query(connection).ok()?;
        match &told {
            Value::Okay => {}
            told => missing.push(text(told)?.to_owned()),
        }
    }
    Some(missing)
}
