//! Makes tables fit that are there already, and those that are missing.
//!
//! A table is copied beside itself, the keys of both are counted, and then names change. It may be interrupted
//! anywhere and run again: until the names change the table is as it was, and a copy is made anew; between
//! two changes of names the copy is complete. The table as it was is kept.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::fit::{self, Found, Misfit};
use super::generation::Generation;
use super::inspect::{Counts, count, runtime_error};
use super::layout::{self, GENERATIONS, TableLayout};
use super::open;
use super::server::Server;
use super::session::nobody_writes;
use super::text::quote;
use super::{ClickHouseConfig, label};
use crate::sink::Topic;
use crate::store::StoreError;

/// So long may one statement take: a copy of a large table takes its time.
const STATEMENT_TIMEOUT_MS: u64 = 24 * 3_600_000;

/// A statement of a migration, about to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The table that it is for.
    pub table: &'a str,
    /// The statement.
    pub sql: &'a str,
}

/// Why tables are not as they must be, still.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The server failed, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An earlier migration kept a table under the name that this one needs.
    #[error(
        "{kept} is there already, from an earlier migration: drop it when nobody needs it any more, or give it another \
         name (RENAME TABLE), and run this again"
    )]
    Kept {
        /// Database and table.
        kept: String,
    },
    /// The table is gone, but not what a migration kept of it.
    #[error(
        "{table} is missing, and {kept} is there without a copy: give it its name back (RENAME TABLE {kept} TO {table}) \
         and run this again"
    )]
    Gone {
        /// Database and table.
        table: String,
        /// What was kept of it.
        kept: String,
    },
    /// The copy does not hold every key once.
    #[error(
        "the copy of {table} has {rows} rows of {copied} keys, and the table has {keys} keys: somebody writes into it; \
         stop whoever does, and run this again"
    )]
    Differs {
        /// Database and table.
        table: String,
        /// Rows of the copy.
        rows: u64,
        /// Keys of the copy.
        copied: u64,
        /// Keys of the table.
        keys: u64,
    },
}

/// Makes every table of the topics fit. `before` is told each statement before it is run, and may end it there: it
/// goes on with the next call. Sinks that still write are fenced.
///
/// # Errors
/// When the server fails or refuses, or something is in the way; run it again when that is mended.
pub fn migrate(
    config: &ClickHouseConfig,
    topics: &[Topic],
    before: &mut dyn FnMut(Statement<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, MigrateError> {
    let patient =
        ClickHouseConfig { timeout_ms: config.timeout_ms.max(STATEMENT_TIMEOUT_MS), ..config.clone() };
    let server = Server::new(&patient).map_err(|error| runtime_error(config, &error))?;
    open::make_database(&server)?;
    let (generations, mut layouts): (Vec<_>, Vec<_>) =
        layout::tables(topics).into_iter().partition(|layout| layout.name == GENERATIONS);
    let mut migration = Migration { server, config: &patient, before };
    // First what fences sinks, and then what they write.
    if migration.all(&generations)?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    Generation::assert(&mut None, false, &migration.server, config)?;
    nobody_writes(&migration.server)?;
    if migration.all(&layouts)?.is_break() {
        return Ok(ControlFlow::Break(()));
    }
    layouts.extend(generations);
    // What was made is looked at as a sink does.
    open::open(&migration.server, config, &layouts)?;
    Ok(ControlFlow::Continue(()))
}

struct Migration<'a> {
    server: Server,
    config: &'a ClickHouseConfig,
    before: &'a mut dyn FnMut(Statement<'_>) -> ControlFlow<()>,
}

impl Migration<'_> {
    fn all(&mut self, layouts: &[TableLayout]) -> Result<ControlFlow<()>, MigrateError> {
        let found = open::find(&self.server, layouts)?;
        for layout in layouts {
            if self.table(layout, &found)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn table(
        &mut self,
        layout: &TableLayout,
        all: &HashMap<String, Found>,
    ) -> Result<ControlFlow<()>, MigrateError> {
        let (copy, kept) = (fit::name_of_copy(layout), fit::name_of_kept(layout));
        let database = self.server.database.clone();
        let path = |name: &str| format!("{}.{}", quote(&database), quote(name));
        let plain = |name: &str| format!("{database}.{name}");
        let Some(found) = all.get(layout.name) else {
            return match all.get(&kept) {
                // Names were being changed: the copy is complete.
                Some(like) if all.contains_key(&copy) => {
                    self.compare(layout, like, &kept)?;
                    let rename = format!("RENAME TABLE {} TO {}", path(&copy), path(layout.name));
                    let forget = layout.forget(&database, self.config.ttl_days);
                    for statement in [rename].into_iter().chain(forget) {
                        if self.run(layout, &statement)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                    Ok(ControlFlow::Continue(()))
                }
                Some(_) => Err(MigrateError::Gone { table: plain(layout.name), kept: plain(&kept) }),
                None => self.run(layout, &layout.create(&database, layout.name, self.config.ttl_days)),
            };
        };
        let Err(misfit) = fit::check(layout, found) else { return Ok(ControlFlow::Continue(())) };
        let is_copied = misfit != Misfit::Deduplication;
        if is_copied && all.contains_key(&kept) {
            return Err(MigrateError::Kept { kept: plain(&kept) });
        }
        let statements = fit::migration(layout, &database, found, &misfit, self.config.ttl_days);
        for statement in &statements {
            if is_copied && statement.starts_with("RENAME ") {
                self.compare(layout, found, layout.name)?;
            }
            if self.run(layout, statement)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether the copy holds every key of `table`, which `like` describes, once.
    fn compare(&self, layout: &TableLayout, like: &Found, table: &str) -> Result<(), MigrateError> {
        let Counts { keys, .. } = count(&self.server, layout, like, table)?;
        let copy = count(&self.server, layout, like, &fit::name_of_copy(layout))?;
        if copy == (Counts { rows: keys, keys }) {
            return Ok(());
        }
        let table = format!("{}.{}", self.server.database, layout.name);
        Err(MigrateError::Differs { table, rows: copy.rows, copied: copy.keys, keys })
    }

    fn run(&mut self, layout: &TableLayout, sql: &str) -> Result<ControlFlow<()>, MigrateError> {
        if (self.before)(Statement { table: layout.name, sql }).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let ran = self.server.execute(sql);
        ran.map_err(|failure| failure.of_write(label(&self.server, layout.name)))?;
        Ok(ControlFlow::Continue(()))
    }
}
