//! Links between the repository's documents: the file exists, and so does the heading.
//!
//! Links to the web are not followed; a check must not depend on somebody else's server. Markdown below
//! a `src` folder is a fragment of a page that is rendered elsewhere: it is checked there.

use std::path::Path;

use anyhow::Context;

use crate::workspace::{Workspace, files_below};

/// Follows the relative links of every Markdown file; each line of the answer is one that leads nowhere.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn check(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for path in files_below(&workspace.root, "md")? {
        let name = path.strip_prefix(&workspace.root).unwrap_or(&path);
        if name.iter().any(|part| part == "src") {
            continue;
        }
        let (document, name) = (read(&path)?, name.display());
        for (line, target) in links_in(&document) {
            if let Some(fault) = fault_of(&path, &document, target)? {
                faults.push(format!("{name}:{line}: the link to {target:?} leads nowhere: {fault}"));
            }
        }
    }
    Ok(faults)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What is wrong with a link from `document`, which lies at `from`.
fn fault_of(from: &Path, document: &str, target: &str) -> anyhow::Result<Option<String>> {
    let is_web = target.contains("://") || target.starts_with("mailto:");
    if is_web {
        return Ok(None);
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() { from.to_owned() } else { from.with_file_name("").join(file) };
    if !path.exists() {
        return Ok(Some(format!("there is no {file}")));
    }
    if heading.is_empty() || path.extension().is_none_or(|extension| extension != "md") {
        return Ok(None);
    }
    let other = if file.is_empty() { document.to_owned() } else { read(&path)? };
    let found = headings_in(&other).any(|slug| slug == heading);
    Ok((!found).then(|| format!("no heading there becomes #{heading}")))
}

/// The lines of a document outside code blocks, numbered from 1.
fn prose(document: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    document.lines().zip(1..).filter_map(move |(line, number)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        in_code ^= fence;
        (!in_code && !fence).then_some((number, line))
    })
}

/// The targets of `[text](target)`, `![text](target)` and `[name]: target`, with their lines.
fn links_in(document: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in prose(document) {
        // Between backticks, brackets are code: only every other piece is prose.
        let mut code = false;
        for piece in line.split('`') {
            if !code && let Some((_, target)) = definition(piece) {
                links.push((number, target));
            }
            code = !code;
        }
        for (at, _) in line.match_indices("](") {
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let target = &line[at + 2..];
            let target = &target[..target.find([')', ' ']).unwrap_or(target.len())];
            if !in_code {
                links.push((number, target.trim_matches(['<', '>'])));
            }
        }
    }
    links
}

fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((name, target.split(' ').next()?))
}

/// The anchors of a document's headings, as GitHub makes them.
fn headings_in(document: &str) -> impl Iterator<Item = String> {
    prose(document).filter_map(|(_, line)| {
        let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
        let kept = heading.trim().to_lowercase();
        Some(
            kept.chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(document: &str) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = folder.path();
        std::fs::create_dir(root.join("docs")).expect("the folder is new");
        std::fs::write(root.join("docs/there.md"), "# The *first* `heading`, twice\n").expect("writable");
        std::fs::write(root.join("page.md"), document).expect("writable");
        std::fs::create_dir(root.join("src")).expect("the folder is new");
        std::fs::write(root.join("src/fragment.md"), "[a](rendered-elsewhere.md)").expect("writable");
        let workspace = Workspace { root: root.to_owned(), target: root.join("target"), members: Vec::new() };
        check(&workspace).expect("every file can be read")
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let document = "\
# Own heading
[a](docs/there.md) ![b](docs) [c](docs/there.md#the-first-heading-twice) [d](#own-heading)
[e](https://example.com/nowhere) [f](mailto:a@example.com) `[g](nowhere.md)`
[h]: docs/there.md
```text
[i](nowhere.md)
```";
        assert_eq!(faults(document), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_named_with_their_line() {
        for (document, expected) in [
            (
                "\n[a](nowhere.md)",
                "page.md:2: the link to \"nowhere.md\" leads nowhere: there is no nowhere.md",
            ),
            ("![a](<docs/no.png>)", "page.md:1: the link to \"docs/no.png\""),
            ("[a]: nowhere.md \"title\"", "page.md:1: the link to \"nowhere.md\""),
            ("[a](docs/there.md#second)", "no heading there becomes #second"),
            ("[a](#none)", "no heading there becomes #none"),
        ] {
            let faults = faults(document);
            assert_eq!(faults.len(), 1, "{document}: {faults:?}");
            assert!(faults[0].contains(expected), "{document}: {faults:?}");
        }
    }
}
