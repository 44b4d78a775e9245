//! Every direct dependency has its line of reasons in the decisions, and every line its dependency.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};

use crate::workspace::Workspace;

/// The page that holds the lines.
pub const DOCUMENT: &str = "docs/decisions/0002-dependencies.md";

/// Compares the page with the crates' manifests; each line of the answer is one fault.
///
/// # Errors
/// When the page cannot be read or has no line at all.
pub fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let path = workspace.root.join(DOCUMENT);
    let document =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let explained = explained(&document);
    ensure!(!explained.is_empty(), "{DOCUMENT} has no table of crates");
    Ok(faults(&explained, workspace))
}

/// The names in backticks in the first column of the page's tables.
fn explained(document: &str) -> BTreeSet<&str> {
    let first_cells = document.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

fn faults(explained: &BTreeSet<&str>, workspace: &Workspace) -> Vec<String> {
    let declared: BTreeSet<_> = workspace
        .members
        .iter()
        .flat_map(|member| &member.dependencies)
        .map(|dependency| dependency.name.as_str())
        .filter(|name| !workspace.is_member(name))
        .collect();
    let unexplained = declared.difference(explained).map(|name| {
        format!("the crate `{name}` has no line in {DOCUMENT}: say what it does for us, or do without it")
    });
    let unused = explained
        .difference(&declared)
        .map(|name| format!("{DOCUMENT} explains `{name}`, which no crate depends on: take the line out"));
    unexplained.chain(unused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_a_line_and_a_line_without_a_crate_are_faults() {
        let json = serde_json::json!({
            "packages": [
                {"name": "tidegate", "manifest_path": "/w/Cargo.toml", "dependencies": [
                    {"name": "tidegate-model", "kind": null},
                    {"name": "explained", "kind": null},
                    {"name": "in-tests", "kind": "dev"},
                    {"name": "unexplained", "kind": "dev"},
                ]},
                {"name": "tidegate-model", "manifest_path": "/w/model/Cargo.toml", "dependencies": []},
            ],
            "workspace_root": "/w", "target_directory": "/w/target",
        });
        let workspace = Workspace::from_metadata(json.to_string().as_bytes()).expect("well formed");
        let page = "| crate | why |\n| --- | --- |\n| `explained`, `in-tests` | `x` |\n| `unused` | y |\n`z`";
        let faults = faults(&explained(page), &workspace);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("the crate `unexplained` has no line"), "{faults:?}");
        assert!(faults[1].contains("explains `unused`"), "{faults:?}");
    }
}
