//! The checks of the repository's own text hold for this repository, also under plain `cargo test`.

use xtask::workspace::Workspace;
use xtask::{dependencies, imports, links, purity};

fn assert_none(check: fn(&Workspace) -> anyhow::Result<Vec<String>>) {
    let workspace = Workspace::load().expect("cargo knows this workspace");
    let faults = check(&workspace).expect("every file can be read");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_crate_keeps_to_the_import_table() {
    assert_none(imports::check);
}

#[test]
fn every_dependency_has_its_line_of_reasons() {
    assert_none(dependencies::check);
}

#[test]
fn pure_crates_are_pure() {
    assert_none(purity::check);
}

#[test]
fn links_between_documents_lead_somewhere() {
    assert_none(links::check);
}
