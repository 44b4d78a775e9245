//! Opening: the database and the tables are made where they are missing, and checked where they are there.
//!
//! It may be repeated at any time, and by two processes at once.

use std::collections::HashMap;

use super::binary::{Reader, Truncated};
use super::error::{Failure, UnfitTable};
use super::fit::{self, Found};
use super::layout::TableLayout;
use super::server::Server;
use super::text::{literal, quote};
use super::{ClickHouseConfig, garbled, label};
use crate::store::StoreError;

pub(super) fn open(
    server: &Server,
    config: &ClickHouseConfig,
    tables: &[TableLayout],
) -> Result<(), StoreError> {
    make_database(server)?;
    let found = find(server, tables)?;
    for table in tables {
        match found.get(table.name) {
            None if found.contains_key(&fit::name_of_copy(table)) => {
                return Err(StoreError::Refused {
                    reason: format!(
                        "{} is missing, and {} is there: a migration was interrupted; run it again (tidegate migrate)",
                        label(server, table.name),
                        fit::name_of_copy(table)
                    ),
                });
            }
            None => {
                let create = table.create(&server.database, table.name, config.ttl_days);
                let created = server.execute(&create);
                created.map_err(|failure| failure.of_write(label(server, table.name)))?;
            }
            Some(found) => fit::check(table, found).map_err(|misfit| UnfitTable {
                url: server.url.clone(),
                table: format!("{}.{}", server.database, table.name),
                statements: fit::migration(table, &server.database, found, &misfit, config.ttl_days),
                misfit,
            })?,
        }
    }
    Ok(())
}

/// A user may have no right to make one that is there already.
pub(super) fn make_database(server: &Server) -> Result<(), StoreError> {
    let what = || format!("database {} of ClickHouse {}", server.database, server.url);
    if !is_there(server).map_err(|failure| failure.of_read(what()))? {
        let create = format!("CREATE DATABASE IF NOT EXISTS {}", quote(&server.database));
        server.execute(&create).map_err(|failure| failure.of_write(what()))?;
    }
    Ok(())
}

/// Whether the database is.
pub(super) fn is_there(server: &Server) -> Result<bool, Failure> {
    let name = literal(server.database.as_bytes());
    let found = server.read(&format!("SELECT 1 FROM system.databases WHERE name = {name}"))?;
    Ok(!found.is_empty())
}

/// What the server says of those tables that are there, by name; also of what migrations leave beside them.
pub(super) fn find(server: &Server, tables: &[TableLayout]) -> Result<HashMap<String, Found>, StoreError> {
    let failed = |failure: Failure| failure.of_read(label(server, "*"));
    let database = literal(server.database.as_bytes());
    let names = tables
        .iter()
        .flat_map(|table| [table.name.to_owned(), fit::name_of_copy(table), fit::name_of_kept(table)]);
    let names = names.map(|name| literal(name.as_bytes())).collect::<Vec<_>>().join(", ");
    let facts = server.read(&format!(
        "SELECT name, engine, engine_full, sorting_key, partition_key FROM system.tables \
         WHERE database = {database} AND name IN ({names})"
    ));
    let facts = facts.map_err(failed)?;
    let columns = server.read(&format!(
        "SELECT table, name, type FROM system.columns WHERE database = {database} AND table IN ({names}) \
         ORDER BY table, position"
    ));
    let columns = columns.map_err(failed)?;
    read(&facts, &columns).map_err(|error| garbled(server, "*", &error))
}

fn read(facts: &[u8], columns: &[u8]) -> Result<HashMap<String, Found>, Truncated> {
    let (mut facts, mut columns) = (Reader(facts), Reader(columns));
    let mut found: HashMap<String, Found> = HashMap::new();
    while !facts.is_empty() {
        let name = facts.string()?;
        let [engine, engine_full, sorting_key, partition_key] =
            [facts.string()?, facts.string()?, facts.string()?, facts.string()?];
        found.insert(name, Found { engine, engine_full, sorting_key, partition_key, ..Found::default() });
    }
    while !columns.is_empty() {
        let table = columns.string()?;
        let column = (columns.string()?, columns.string()?);
        if let Some(found) = found.get_mut(&table) {
            found.columns.push(column);
        }
    }
    Ok(found)
}
