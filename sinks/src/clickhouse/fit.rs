//! Whether a table that is there is one that rows can be stored in, and what to do when it is not.
//!
//! The old stack made plain `MergeTree` tables. Those are never changed behind anybody's back: the
//! statements are told instead.

use std::fmt;

use super::layout::{DEDUPLICATION_SETTING, TableLayout};
use super::text::{list, quote};

/// What the server says of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The engine, without arguments.
    pub(super) engine: String,
    /// The engine with arguments, order and settings.
    pub(super) engine_full: String,
    /// The columns that it is sorted by, separated by `, `.
    pub(super) sorting_key: String,
    /// The same for parts.
    pub(super) partition_key: String,
    /// Names and types.
    pub(super) columns: Vec<(String, String)>,
}

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It is of another engine, or keeps rows by another column.
    Engine {
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// It is sorted by other columns.
    Order {
        /// What it is sorted by.
        found: String,
        /// What it should be sorted by.
        expected: String,
    },
    /// It is partitioned, so that an insert may become several parts.
    Partitioned {
        /// By what.
        found: String,
    },
    /// A column is missing.
    Missing {
        /// Its name.
        column: &'static str,
    },
    /// A column has another type.
    Type {
        /// Its name.
        column: &'static str,
        /// The type that it has.
        found: String,
    },
    /// It does not know inserts that are repeated.
    Deduplication,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine { found, expected } => write!(f, "its engine is {found}, expected {expected}"),
            Self::Order { found, expected } => write!(f, "it is sorted by ({found}), expected ({expected})"),
            Self::Partitioned { found } => write!(f, "it is partitioned by {found}, expected no partitions"),
            Self::Missing { column } => write!(f, "column {column} is missing"),
            Self::Type { column, found } => write!(f, "column {column} is of type {found}"),
            Self::Deduplication => write!(f, "its setting {DEDUPLICATION_SETTING} is not set"),
        }
    }
}

/// The first thing that is wrong with a table, if anything is.
pub(super) fn check(layout: &TableLayout, found: &Found) -> Result<(), Misfit> {
    // Not a replicated or shared one: rows are looked up, deleted and inserted on one server, which must see what it did.
    let replaces = found.engine == "ReplacingMergeTree";
    let arguments = found.engine_full.split_once('(').and_then(|(_, rest)| rest.split_once(')'));
    let last = arguments.and_then(|(arguments, _)| arguments.rsplit(',').next());
    let version = last.map(|last| last.trim().trim_matches('`'));
    if !replaces || !arguments_belong_to_engine(found) || version != Some(layout.version) {
        let shown = found.engine_full.split(" ORDER BY ").next().unwrap_or_default();
        let expected = format!("ReplacingMergeTree({})", layout.version);
        let found = if shown.is_empty() { &found.engine } else { shown };
        return Err(Misfit::Engine { found: found.to_owned(), expected });
    }
    let expected = layout.order.join(", ");
    if found.sorting_key.replace('`', "") != expected {
        return Err(Misfit::Order { found: found.sorting_key.clone(), expected });
    }
    if !found.partition_key.is_empty() {
        return Err(Misfit::Partitioned { found: found.partition_key.clone() });
    }
    for column in &layout.columns {
        let Some((_, kind)) = found.columns.iter().find(|(name, _)| name == column.name) else {
            return Err(Misfit::Missing { column: column.name });
        };
        if !column.kind.accepts(kind) {
            return Err(Misfit::Type { column: column.name, found: kind.clone() });
        }
    }
    if !knows_repeated_inserts(found) {
        return Err(Misfit::Deduplication);
    }
    Ok(())
}

/// Whether the table remembers any inserts at all.
fn knows_repeated_inserts(found: &Found) -> bool {
    let set = found.engine_full.split_once(DEDUPLICATION_SETTING);
    let value = set.map(|(_, rest)| rest.trim_start_matches([' ', '=']));
    let digits = value.and_then(|value| value.split(|digit: char| !digit.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse::<u64>().ok()).is_some_and(|remembered| remembered > 0)
}

fn arguments_belong_to_engine(found: &Found) -> bool {
    found.engine_full.strip_prefix(&found.engine).is_some_and(|rest| rest.starts_with('('))
}

/// What a copy is called until it takes the table's place.
pub(super) fn name_of_copy(layout: &TableLayout) -> String {
    format!("{}_tidegate_new", layout.name)
}

/// What the table as it was is called afterwards.
pub(super) fn name_of_kept(layout: &TableLayout) -> String {
    format!("{}_before_tidegate", layout.name)
}

/// The columns of the key that the table has, for SQL; rows that agree in them become one.
pub(super) fn key(layout: &TableLayout, found: &Found) -> String {
    let has = |name: &str| found.columns.iter().any(|(found, _)| found == name);
    list(layout.order.iter().copied().filter(|name| has(name)))
}

/// The statements that make the table fit. Its rows are copied, one for each key, the newest where the
/// table knows versions; the table as it was stays beside it, as `<table>_before_tidegate`.
pub(super) fn migration(
    layout: &TableLayout,
    database: &str,
    found: &Found,
    misfit: &Misfit,
    ttl_days: Option<u16>,
) -> Vec<String> {
    if *misfit == Misfit::Deduplication {
        return vec![layout.deduplicate(database)];
    }
    let (new, old) = (name_of_copy(layout), name_of_kept(layout));
    let path = |name: &str| format!("{}.{}", quote(database), quote(name));
    let has = |name: &str| found.columns.iter().any(|(found, _)| found == name);
    let kept = || layout.columns.iter().map(|column| column.name).filter(|name| has(name));
    let key = key(layout, found);
    let newest = [layout.version, "log_offset"].into_iter().filter(|name| kept().any(|kept| kept == *name));
    let newest: Vec<String> = newest.map(|name| format!(", {} DESC", quote(name))).collect();
    let newest = newest.concat();
    let (table, columns) = (path(layout.name), list(kept()));
    // A copy that was interrupted is made anew.
    let drop = format!("DROP TABLE IF EXISTS {} SYNC", path(&new));
    // It forgets nothing as long as it is compared with the table.
    let mut statements = vec![drop, layout.create(database, &new, None)];
    if !key.is_empty() {
        statements.push(format!(
            "INSERT INTO {} ({columns}) SELECT {columns} FROM {table} ORDER BY {key}{newest} LIMIT 1 BY {key}",
            path(&new),
        ));
    }
    statements.push(format!("RENAME TABLE {table} TO {}, {} TO {table}", path(&old), path(&new)));
    statements.extend(layout.forget(database, ttl_days));
    statements
}

#[cfg(test)]
mod tests;
