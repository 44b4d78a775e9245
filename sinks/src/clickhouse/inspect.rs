//! A look at a server that changes nothing: what is there, what fits, what the user may do.

use tidegate_model::EventTime;

use super::binary::{Reader, Truncated};
use super::error::Failure;
use super::fit::{self, Found, Misfit};
use super::layout::{self, TableLayout};
use super::rights;
use super::server::Server;
use super::text::quote;
use super::{ClickHouseConfig, garbled, label, open};
use crate::sink::Topic;
use crate::store::StoreError;

/// What a server looks like to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The server's version.
    pub version: String,
    /// The server's clock, and ours.
    pub clock: ClockLook,
    /// Whether the database is there.
    pub has_database: bool,
    /// Whether the user's profile has readers see tables as with `FINAL`; `None` where the server does not say.
    pub is_final: Option<bool>,
    /// Every table that the topics need, in the order in which they are made.
    pub tables: Vec<TableLook>,
    /// What the user needs to be allowed.
    pub rights: Vec<RightLook>,
}

impl Inspection {
    /// Whether a sink can begin as everything is: what is missing is made then.
    pub fn fits(&self) -> bool {
        let is_unfit = |table: &TableLook| matches!(table.state, TableState::Unfit { .. });
        !self.tables.iter().any(is_unfit) && !self.rights.iter().any(|right| right.is_given == Some(false))
    }
}

/// The server's clock, between two looks at ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockLook {
    /// Ours before the server was asked.
    pub before: EventTime,
    /// The server's.
    pub server: EventTime,
    /// Ours when it had answered.
    pub after: EventTime,
}

impl ClockLook {
    /// So many milliseconds is the server ahead at least, or behind when it is negative.
    pub fn skew_ms(&self) -> i64 {
        let (ahead, behind) = (self.server.since_ms(self.after), self.server.since_ms(self.before));
        if ahead > 0 { ahead } else { behind.min(0) }
    }
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLook {
    /// Its name.
    pub name: &'static str,
    /// Whether it is as it must be.
    pub state: TableState,
    /// Rows are forgotten so many days after they ended.
    pub ttl_days: Option<u64>,
}

/// Whether a table is as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableState {
    /// It is not there; a sink that begins makes it.
    Missing,
    /// It is.
    Fits,
    /// It is there, and not as it must be.
    Unfit {
        /// What is wrong.
        misfit: Misfit,
        /// The statements that make it fit, to be run in this order: see [`migrate`](super::migrate()).
        statements: Vec<String>,
        /// Rows that it has.
        rows: u64,
        /// Rows that would not be copied, because a newer one, or another one, has their key.
        drops_rows: u64,
        /// What else would not be as before, in sentences.
        notes: Vec<String>,
    },
}

/// Something that the user needs to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightLook {
    /// What it is, such as `SELECT ON system.processes`.
    pub name: String,
    /// Whether it is given; `None` where the server is too old to say.
    pub is_given: Option<bool>,
    /// The statement that gives it.
    pub grant: String,
}

/// Looks at the server. `now` is our clock.
///
/// # Errors
/// When the server does not answer, or refuses to.
pub fn inspect(
    config: &ClickHouseConfig,
    topics: &[Topic],
    now: impl Fn() -> EventTime,
) -> Result<Inspection, StoreError> {
    let server = Server::new(config).map_err(|error| runtime_error(config, &error))?;
    let failed = |failure: Failure| failure.of_read(format!("ClickHouse {}", server.url));
    let before = now();
    let answer = server.read("SELECT version(), now64(3)").map_err(failed)?;
    let after = now();
    let mut reader = Reader(&answer);
    let (version, ms) = (reader.string(), reader.u64());
    let told = version.and_then(|version| Ok((version, ms?.cast_signed())));
    let (version, ms) = told.map_err(|error| garbled(&server, "*", &error))?;
    let clock = ClockLook { before, server: EventTime::from_millis(ms), after };
    let is_final = server.read_in_profile("SELECT toUInt8(getSetting('final'))");
    let is_final = is_final.ok().and_then(|answer| Some(Reader(&answer).byte().ok()? != 0));
    let layouts = layout::tables(topics);
    let found = open::find(&server, &layouts)?;
    let look = |layout: &TableLayout| look(&server, config, layout, found.get(layout.name));
    let tables = layouts.iter().map(look).collect::<Result<_, _>>()?;
    let right = |needed: rights::Needed| {
        let is_given = rights::has(&server, std::slice::from_ref(&needed))?;
        Ok(RightLook { name: needed.name(), is_given, grant: needed.grant(&config.user) })
    };
    let rights = rights::needed(&server.database, &layouts).into_iter().map(right);
    let rights = rights.collect::<Result<_, StoreError>>()?;
    let has_database = open::is_there(&server).map_err(failed)?;
    Ok(Inspection { version, clock, has_database, is_final, tables, rights })
}

pub(super) fn runtime_error(config: &ClickHouseConfig, error: &std::io::Error) -> StoreError {
    StoreError::Storage {
        path: format!("ClickHouse {}", config.url),
        reason: format!("cannot start what talks to it: {error}"),
    }
}

fn look(
    server: &Server,
    config: &ClickHouseConfig,
    layout: &TableLayout,
    found: Option<&Found>,
) -> Result<TableLook, StoreError> {
    let (name, ttl_days) = (layout.name, found.and_then(ttl_days));
    let Some(found) = found else { return Ok(TableLook { name, state: TableState::Missing, ttl_days }) };
    let Err(misfit) = fit::check(layout, found) else {
        return Ok(TableLook { name, state: TableState::Fits, ttl_days });
    };
    let statements = fit::migration(layout, &server.database, found, &misfit, config.ttl_days);
    let is_copied = misfit != Misfit::Deduplication;
    let Counts { rows, keys } = count(server, layout, found, name)?;
    let drops_rows = if is_copied { rows - keys } else { 0 };
    let notes = if is_copied { notes(layout, found, config.ttl_days) } else { Vec::new() };
    let state = TableState::Unfit { misfit, statements, rows, drops_rows, notes };
    Ok(TableLook { name, state, ttl_days })
}

/// What a copy does not keep, beside rows.
fn notes(layout: &TableLayout, found: &Found, new_ttl_days: Option<u16>) -> Vec<String> {
    let is_ours = |name: &str| layout.columns.iter().any(|column| column.name == name);
    let others: Vec<&str> =
        found.columns.iter().map(|(name, _)| &**name).filter(|name| !is_ours(name)).collect();
    let mut notes = Vec::new();
    if !others.is_empty() {
        notes.push(format!("columns that are not copied: {}", others.join(", ")));
    }
    if !found.partition_key.is_empty() {
        notes.push(format!("the partitions by {} are given up", found.partition_key));
    }
    if let Some(days) = ttl_days(found)
        && layout.end.and(new_ttl_days).map(u64::from) != Some(days)
    {
        notes.push(format!("the TTL of {days} days is not kept; store.retention sets one"));
    }
    if fit::key(layout, found).is_empty() {
        notes.push("it has no column of the key, so no row is copied".to_owned());
    }
    notes
}

/// `… TTL window_end + toIntervalDay(30) SETTINGS …`
fn ttl_days(found: &Found) -> Option<u64> {
    let (_, ttl) = found.engine_full.split_once(" TTL ")?;
    let (_, days) = ttl.split_once("toIntervalDay(")?;
    days.split_once(')')?.0.parse().ok()
}

/// The rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) rows: u64,
    /// Different keys, by those columns of the key that `like` has; 0 when it has none.
    pub(super) keys: u64,
}

/// Counts the rows of `table` by the key of the table that `like` describes.
pub(super) fn count(
    server: &Server,
    layout: &TableLayout,
    like: &Found,
    table: &str,
) -> Result<Counts, StoreError> {
    let key = fit::key(layout, like);
    let keys = if key.is_empty() { "toUInt64(0)".to_owned() } else { format!("uniqExact({key})") };
    let path = format!("{}.{}", quote(&server.database), quote(table));
    let answer = server.read(&format!("SELECT count(), {keys} FROM {path}"));
    let answer = answer.map_err(|failure| failure.of_read(label(server, table)))?;
    let read = || -> Result<Counts, Truncated> {
        let mut reader = Reader(&answer);
        Ok(Counts { rows: reader.u64()?, keys: reader.u64()? })
    };
    read().map_err(|error| garbled(server, table, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_cannot_be_the_way_there_and_back() {
        let at = EventTime::from_millis;
        let skew = |server| ClockLook { before: at(100), server: at(server), after: at(120) }.skew_ms();
        assert_eq!([skew(100), skew(110), skew(120)], [0, 0, 0]);
        assert_eq!([skew(60), skew(170)], [-40, 50]);
    }

    #[test]
    fn a_ttl_is_found_behind_the_order() {
        let of =
            |engine_full: &str| ttl_days(&Found { engine_full: engine_full.to_owned(), ..Found::default() });
        let with = "ReplacingMergeTree(version) ORDER BY a TTL window_end + toIntervalDay(30) SETTINGS x = 1";
        assert_eq!(of(with), Some(30));
        assert_eq!(of("MergeTree ORDER BY a"), None);
        assert_eq!(of("MergeTree ORDER BY a TTL b + toIntervalHour(1)"), None);
    }
}
