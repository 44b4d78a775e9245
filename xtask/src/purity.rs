//! `model` and `dataflow` know no clock, randomness, environment, thread or socket (invariant 6).
//!
//! The first net is the `clippy.toml` in each of the two folders, which sees through types. This is the
//! second: it reads the sources, needs no compiler, and cannot be switched off by an attribute.

use anyhow::Context;

use crate::paths::paths_in;
use crate::workspace::{Workspace, files_below};

/// The folders that have to be pure.
pub const PURE: [&str; 2] = ["model", "dataflow"];

/// A path below any of these is not for a pure crate: `(path, what to do instead)`.
const FORBIDDEN: [(&str, &str); 17] = [
    ("std::collections::HashMap", "its order is random: take a BTreeMap, or hashbrown with a fixed hasher"),
    ("std::collections::HashSet", "its order is random: take a BTreeSet, or hashbrown with a fixed hasher"),
    ("std::collections::hash_map", "its order is random: take a BTreeMap, or hashbrown with a fixed hasher"),
    ("std::collections::hash_set", "its order is random: take a BTreeSet, or hashbrown with a fixed hasher"),
    ("std::hash::RandomState", "take a hasher with a fixed key"),
    ("std::hash::DefaultHasher", "it may change with the compiler: take SipHash with the deployment's key"),
    ("std::env", "settings come in as values: the root binary reads them"),
    ("std::fs", "the runner reads and writes files"),
    ("std::net", "sockets belong to the services; only addresses may be named"),
    ("std::os", "the operating system belongs to `log` and `runner`"),
    ("std::process", "return an error: the binary decides about the process"),
    ("std::thread", "threads are assembled in `runner`"),
    ("std::time", "instants come in as EventTime; only std::time::Duration may be named"),
    ("tokio", "async code belongs to the services"),
    ("rand", "randomness comes in as a seed or a key"),
    ("fastrand", "randomness comes in as a seed or a key"),
    ("getrandom", "randomness comes in as a seed or a key"),
];

/// Below a forbidden path, but plain values.
const HARMLESS: [&str; 5] = [
    "std::net::AddrParseError",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::time::Duration",
];

/// Calls that are impure wherever their type is imported from.
const FORBIDDEN_CALLS: [(&str, &str); 6] = [
    ("Instant::now", "the tick brings the time"),
    ("SystemTime::now", "the tick brings the time"),
    ("Timestamp::now", "the tick brings the time"),
    ("Zoned::now", "the tick brings the time"),
    ("Uuid::new_v4", "whoever accepts an event gives it its id"),
    ("Uuid::now_v7", "whoever accepts an event gives it its id"),
];

/// Reads the sources of the pure crates; each line of the answer is one fault.
///
/// Test code is not read: modules under `#[cfg(test)]`, `tests.rs` and what lies below a `tests` folder.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for folder in PURE {
        for path in files_below(&workspace.root.join(folder).join("src"), "rs")? {
            let name = path.strip_prefix(&workspace.root).unwrap_or(&path);
            if name.iter().any(|part| part == "tests" || part == "tests.rs") {
                continue;
            }
            let source =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            faults.extend(faults_in(&name.display().to_string(), &source));
        }
    }
    Ok(faults)
}

/// What in `source` is not for a pure crate, with file and line.
pub fn faults_in(file: &str, source: &str) -> Vec<String> {
    paths_in(source)
        .into_iter()
        .filter_map(|named| {
            let remedy = remedy(&named.path)?;
            Some(format!("{file}:{}: `{}` is not for a pure crate: {remedy}", named.line, named.path))
        })
        .collect()
}

/// What to do instead of naming `path`; `None` when it may be named.
fn remedy(path: &str) -> Option<&'static str> {
    let path = path.strip_prefix("core::").map_or_else(|| path.to_owned(), |rest| format!("std::{rest}"));
    if HARMLESS.iter().any(|harmless| is_below(&path, harmless)) {
        return None;
    }
    let called = |call: &str| path == call || path.ends_with(&format!("::{call}"));
    let below = |forbidden: &str| {
        // A module that is brought in whole brings in what is forbidden in it.
        let glob = path.strip_suffix("::*").filter(|module| *module != "std");
        is_below(&path, forbidden) || glob.is_some_and(|module| is_below(forbidden, module))
    };
    FORBIDDEN
        .iter()
        // A word such as `rand` is the crate only where a path goes on from it, or where it is imported.
        .find(|(forbidden, _)| below(forbidden) && (path.contains("::") || forbidden.contains("::")))
        .or_else(|| FORBIDDEN_CALLS.iter().find(|(call, _)| called(call)))
        .map(|(_, remedy)| *remedy)
}

fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_impure_path_is_found_with_its_line_and_remedy() {
        for (source, culprit) in [
            ("use std::time::Instant;", "std::time::Instant"),
            ("use std::time::{Duration, SystemTime};", "std::time::SystemTime"),
            ("use std::{collections::{BTreeMap, HashMap}};", "std::collections::HashMap"),
            ("use std::collections::*;", "std::collections::*"),
            ("use std::thread;", "std::thread"),
            ("fn f() { std::thread::yield_now() }", "std::thread::yield_now"),
            ("fn f() { ::std::net::TcpStream::connect(a); }", "std::net::TcpStream::connect"),
            ("fn f() { std::env::var(A); }", "std::env::var"),
            ("use std::fs::File as Quiet;", "std::fs::File"),
            ("use core::time::*;", "core::time::*"),
            ("use tokio::spawn;", "tokio::spawn"),
            ("fn f() { rand::random() }", "rand::random"),
            ("fn f() { HashMap::<A, std::hash::RandomState>::new() }", "std::hash::RandomState"),
            ("fn f() { jiff::Timestamp::now() }", "jiff::Timestamp::now"),
            ("fn f() { Uuid::new_v4() }", "Uuid::new_v4"),
        ] {
            let faults = faults_in("model/src/x.rs", &format!("\n{source}"));
            assert_eq!(faults.len(), 1, "{source}: {faults:?}");
            let expected = format!("model/src/x.rs:2: `{culprit}` is not for a pure crate: ");
            assert!(faults[0].starts_with(&expected), "{source}: {faults:?}");
        }
    }

    #[test]
    fn pure_code_passes() {
        for source in [
            "use std::collections::{BTreeMap, VecDeque, btree_map::Entry};",
            "use std::{net::{IpAddr, Ipv4Addr}, time::Duration};",
            "fn f() { let rand = 1; let now = tick.now; Column::Instant }",
            "use hashbrown::HashMap; fn f() { HashMap::with_hasher(FIXED) }",
            "// std::fs\nconst A: &str = \"std::env\";",
            "use super::*;",
            "#[cfg(test)]\nmod tests { use std::fs; }",
        ] {
            assert_eq!(faults_in("x.rs", source), Vec::<String>::new(), "{source}");
        }
    }
}
