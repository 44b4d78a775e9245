//! The import table of `docs/architecture.md`, held against what the crates declare.
//!
//! The document is the source: a Markdown table between two markers, a row per folder. A crate that the
//! table does not know, a row without a crate and a dependency that no row allows are faults alike.
//! Crates of the workspace count whatever the dependency is for, so that tests cannot turn the table
//! round; crates from outside count where the product links them, not where only tests do.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};

use crate::workspace::{Member, Workspace};

/// The document that holds the table.
pub const DOCUMENT: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- import table: begin -->";
const END: &str = "<!-- import table: end -->";
const HEADER: [&str; 3] = ["folder", "imports of ours", "imports from outside"];

/// What one folder may import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The folder, as in [`Member::folder`].
    pub folder: String,
    /// Folders of the workspace.
    pub ours: BTreeSet<String>,
    /// Crates from outside; `None` when any may be used.
    pub outside: Option<BTreeSet<String>>,
}

/// Compares the repository's table with its crates; each line of the answer is one fault.
///
/// # Errors
/// When the document cannot be read or holds no well-formed table.
pub fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let path = workspace.root.join(DOCUMENT);
    let document =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(faults(&parse(&document).with_context(|| format!("in {DOCUMENT}"))?, workspace))
}

/// Reads the table out of the document. Cells name things in backticks; `nothing` and `any` are words.
///
/// # Errors
/// When a marker is missing or a row is not understood; the row is named.
pub fn parse(document: &str) -> anyhow::Result<Vec<Row>> {
    let table = document
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .map(|(table, _)| table)
        .with_context(|| format!("there is no table between {BEGIN:?} and {END:?}"))?;
    let mut lines = table.lines().map(str::trim).filter(|line| !line.is_empty()).map(cells);
    let header = lines.next().unwrap_or_default();
    ensure!(header == HEADER, "the table's header is {header:?}, not {HEADER:?}");
    lines.next();
    let rows: Vec<_> = lines.map(|cells| row(&cells)).collect::<anyhow::Result<_>>()?;
    ensure!(!rows.is_empty(), "the table has no rows");
    Ok(rows)
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

fn row(cells: &[&str]) -> anyhow::Result<Row> {
    let [folder, ours, outside] = cells else { bail!("{cells:?} has {} cells, not 3", cells.len()) };
    let folder = names(folder)?;
    let [folder] = folder.iter().collect::<Vec<_>>()[..] else {
        bail!("{cells:?} does not begin with one folder in backticks")
    };
    let outside = if *outside == "any" { None } else { Some(names(outside)?) };
    Ok(Row { folder: folder.clone(), ours: names(ours)?, outside })
}

fn names(cell: &str) -> anyhow::Result<BTreeSet<String>> {
    if cell == "nothing" {
        return Ok(BTreeSet::new());
    }
    cell.split(',')
        .map(|name| {
            name.trim()
                .strip_prefix('`')
                .and_then(|name| name.strip_suffix('`'))
                .map(str::to_owned)
                .with_context(|| format!("{name:?} is no name in backticks, nor `nothing` or `any`"))
        })
        .collect()
}

/// Every disagreement between table and crates, a line each.
pub fn faults(table: &[Row], workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for row in table {
        if !seen.insert(&row.folder) {
            faults.push(format!("the table has two rows for `{}`: join them", row.folder));
        }
        for folder in std::iter::once(&row.folder).chain(&row.ours) {
            if !workspace.members.iter().any(|member| member.folder == *folder) {
                faults.push(format!("the table names `{folder}`, which is no crate: remove it there"));
            }
        }
    }
    for member in &workspace.members {
        match table.iter().find(|row| row.folder == member.folder) {
            Some(row) => faults.extend(faults_of(member, row, workspace)),
            None => faults.push(format!("`{}` is not in the table: give it a row", member.folder)),
        }
    }
    faults
}

fn faults_of(member: &Member, row: &Row, workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for dependency in &member.dependencies {
        let name = &dependency.name;
        if let Some(ours) = workspace.members.iter().find(|member| member.name == *name) {
            if !row.ours.contains(&ours.folder) && ours.folder != member.folder {
                faults.push(format!(
                    "`{}` imports `{}`, which the table does not allow: move the code, or change the \
                     table and say why",
                    member.folder, ours.folder
                ));
            }
        } else if !dependency.dev && row.outside.as_ref().is_some_and(|list| !list.contains(name)) {
            faults.push(format!(
                "`{}` imports the crate `{name}`, which is not on its list: it may use {}",
                member.folder,
                row.outside.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests;
