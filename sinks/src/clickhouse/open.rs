//! Opening: the database and the tables are made where they are missing, and checked where they are there.

use super::binary::Reader;
use super::error::{ClickHouseOpenError, Failure, UnfitTable};
use super::fit::{self, Found};
use super::layout::TableLayout;
use super::server::Server;
use super::text::{literal, quote};
use super::{ClickHouseConfig, label};
use crate::store::StoreError;

pub(super) fn open(
    server: &Server,
    config: &ClickHouseConfig,
    tables: &[TableLayout],
) -> Result<(), ClickHouseOpenError> {
    make_database(server)?;
    for table in tables {
        let what = || label(server, table.name);
        match find(server, table.name)? {
            None => {
                let create = table.create(&server.database, table.name, config.ttl_days);
                server.execute(&create).map_err(|failure| failure.of_write(what()))?;
            }
            Some(found) => fit::check(table, &found).map_err(|misfit| {
                Box::new(UnfitTable {
                    url: server.url.clone(),
                    table: format!("{}.{}", server.database, table.name),
                    statements: fit::migration(table, &server.database, &found, &misfit, config.ttl_days),
                    misfit,
                })
            })?,
        }
    }
    Ok(())
}

/// A user may have no right to make one that is there already.
fn make_database(server: &Server) -> Result<(), StoreError> {
    let what = || format!("database {} of ClickHouse {}", server.database, server.url);
    let name = literal(server.database.as_bytes());
    let found = server.read(&format!("SELECT 1 FROM system.databases WHERE name = {name}"));
    if found.map_err(|failure| failure.of_read(what()))?.is_empty() {
        let create = format!("CREATE DATABASE {}", quote(&server.database));
        server.execute(&create).map_err(|failure| failure.of_write(what()))?;
    }
    Ok(())
}

/// What the server says of a table; `None` when there is none.
fn find(server: &Server, table: &str) -> Result<Option<Found>, StoreError> {
    let failed = |failure: Failure| failure.of_read(label(server, table));
    let (database, name) = (literal(server.database.as_bytes()), literal(table.as_bytes()));
    let facts = server.read(&format!(
        "SELECT engine, engine_full, sorting_key, partition_key FROM system.tables \
         WHERE database = {database} AND name = {name}"
    ));
    let facts = facts.map_err(failed)?;
    let columns = server.read(&format!(
        "SELECT name, type FROM system.columns WHERE database = {database} AND table = {name} ORDER BY position"
    ));
    let columns = columns.map_err(failed)?;
    if facts.is_empty() {
        return Ok(None);
    }
    let (mut facts, mut columns) = (Reader(&facts), Reader(&columns));
    let mut read = || -> Result<Found, super::binary::Truncated> {
        let text = |reader: &mut Reader<'_>| Ok(String::from_utf8_lossy(reader.text()?).into_owned());
        let mut found = Found {
            engine: text(&mut facts)?,
            engine_full: text(&mut facts)?,
            sorting_key: text(&mut facts)?,
            partition_key: text(&mut facts)?,
            columns: Vec::new(),
        };
        while !columns.is_empty() {
            found.columns.push((text(&mut columns)?, text(&mut columns)?));
        }
        Ok(found)
    };
    read().map(Some).map_err(|error| super::garbled(server, table, &error))
}
