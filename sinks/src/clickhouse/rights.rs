//! What the user must be allowed to do, asked for before it is needed.

use super::ClickHouseConfig;
use super::binary::Reader;
use super::layout::TableLayout;
use super::server::Server;
use super::text::quote;
use crate::store::StoreError;

/// The server does not understand a statement.
const SYNTAX_ERROR: u32 = 62;

/// Some rights on something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needed {
    rights: &'static str,
    /// What it is on, quoted.
    on: String,
}

impl Needed {
    /// The statement that gives them.
    pub(super) fn grant(&self, user: &str) -> String {
        format!("GRANT {} ON {} TO {}", self.rights, self.on, quote(user))
    }

    /// What they are, for people.
    pub(super) fn name(&self) -> String {
        format!("{} ON {}", self.rights, self.on.replace('`', ""))
    }
}

/// What storing needs, once the tables are there.
pub(super) fn needed(database: &str, tables: &[TableLayout]) -> Vec<Needed> {
    let of_table = tables.iter().map(|table| Needed {
        rights: if table.end.is_some() { "SELECT, INSERT, ALTER DELETE" } else { "SELECT, INSERT" },
        on: format!("{}.{}", quote(database), quote(table.name)),
    });
    // The functions `format` and `input`.
    let functions = Needed { rights: "CREATE TEMPORARY TABLE", on: "*.*".to_owned() };
    let processes = Needed { rights: "SELECT", on: "system.processes".to_owned() };
    [functions, processes].into_iter().chain(of_table).collect()
}

/// Whether the user has them all; `None` where the server is too old to say.
pub(super) fn has(server: &Server, needed: &[Needed]) -> Result<Option<bool>, StoreError> {
    let all: Vec<String> =
        needed.iter().map(|needed| format!("{} ON {}", needed.rights, needed.on)).collect();
    match server.read(&format!("CHECK GRANT {}", all.join(", "))) {
        Ok(answer) => Ok(Reader(&answer).byte().ok().map(|has| has != 0)),
        Err(failure) if failure.code == Some(SYNTAX_ERROR) => Ok(None),
        Err(failure) => Err(failure.of_read(format!("rights of ClickHouse {}", server.url))),
    }
}

/// Names every statement that is missing.
pub(super) fn check(
    server: &Server,
    config: &ClickHouseConfig,
    tables: &[TableLayout],
) -> Result<(), StoreError> {
    let needed = needed(&server.database, tables);
    if has(server, &needed)? != Some(false) {
        return Ok(());
    }
    let mut missing = Vec::new();
    for needed in needed {
        if has(server, std::slice::from_ref(&needed))? == Some(false) {
            missing.push(needed);
        }
    }
    refuse(&missing, server, &config.user)
}

fn refuse(missing: &[Needed], server: &Server, user: &str) -> Result<(), StoreError> {
    if missing.is_empty() {
        return Ok(());
    }
    let grants: Vec<String> = missing.iter().map(|needed| needed.grant(user)).collect();
    Err(StoreError::Storage {
        path: format!("database {} of ClickHouse {}", server.database, server.url),
        reason: format!(
            "the user {user} may not do what storing needs; storing goes on by itself after\n\n{};\n",
            grants.join(";\n")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Config;

    #[test]
    fn every_missing_right_is_named_with_the_statement_that_gives_it() {
        let tables = super::super::layout::tables(&Config::default().topics);
        let needed = needed("analytics", &tables);
        let names: Vec<String> = needed.iter().map(Needed::name).collect();
        for name in [
            "CREATE TEMPORARY TABLE ON *.*",
            "SELECT ON system.processes",
            "SELECT, INSERT, ALTER DELETE ON analytics.event_metrics",
            "SELECT, INSERT ON analytics.sink_positions",
        ] {
            assert!(names.iter().any(|found| found == name), "no {name} in {names:?}");
        }
        let config = ClickHouseConfig { user: "writer".to_owned(), ..ClickHouseConfig::default() };
        let server = Server::new(&config).expect("there is room");
        assert!(refuse(&[], &server, "writer").is_ok());
        let error = refuse(&needed[..2], &server, "writer").expect_err("two are missing");
        assert!(!error.is_final());
        let told = error.to_string();
        let statements =
            "GRANT CREATE TEMPORARY TABLE ON *.* TO `writer`;\nGRANT SELECT ON system.processes TO `writer`;";
        assert!(told.contains(statements), "{told}");
    }
}
