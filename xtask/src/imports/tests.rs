use super::*;

const TABLE: &str = "\
words before
<!-- import table: begin -->
| folder | imports of ours | imports from outside |
| --- | --- | --- |
| `src` | `model`, `log` | any |
| `model` | nothing | `serde` |
| `log` | `model` | any |
<!-- import table: end -->
words after";

/// A workspace out of `(folder, [dependency])`; a dependency that ends in `?` is for tests only.
fn workspace(members: &[(&str, &[&str])]) -> Workspace {
    let packages: Vec<_> = members
        .iter()
        .map(|(folder, dependencies)| {
            let (name, manifest) = match *folder {
                "src" => ("tidegate".to_owned(), "/w/Cargo.toml".to_owned()),
                folder => (format!("tidegate-{folder}"), format!("/w/{folder}/Cargo.toml")),
            };
            let dependencies: Vec<_> = dependencies
                .iter()
                .map(|name| {
                    let kind = name.ends_with('?').then_some("dev");
                    serde_json::json!({"name": name.trim_end_matches('?'), "kind": kind})
                })
                .collect();
            serde_json::json!({"name": name, "manifest_path": manifest, "dependencies": dependencies})
        })
        .collect();
    let json = serde_json::json!({
        "packages": packages, "workspace_root": "/w", "target_directory": "/w/target",
    });
    Workspace::from_metadata(json.to_string().as_bytes()).expect("the test's metadata is well formed")
}

fn faults_with(members: &[(&str, &[&str])]) -> Vec<String> {
    faults(&parse(TABLE).expect("the test's table is well formed"), &workspace(members))
}

const MODEL: (&str, &[&str]) = ("model", &["serde", "proptest?"]);
const LOG: (&str, &[&str]) = ("log", &["tidegate-model", "rusqlite"]);
const SRC: (&str, &[&str]) = ("src", &["tidegate-model", "clap"]);

#[test]
fn crates_that_keep_to_the_table_have_no_faults() {
    assert_eq!(faults_with(&[SRC, MODEL, LOG]), Vec::<String>::new());
}

#[test]
fn an_import_that_the_table_does_not_allow_is_a_fault_even_for_tests() {
    for dependency in ["tidegate-log", "tidegate-log?"] {
        let faults = faults_with(&[SRC, ("model", &[dependency]), LOG]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("`model` imports `log`"), "{faults:?}");
    }
}

#[test]
fn a_crate_that_is_not_on_a_pure_list_is_a_fault() {
    let faults = faults_with(&[SRC, ("model", &["serde", "tokio"]), LOG]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("crate `tokio`"), "{faults:?}");
}

#[test]
fn a_crate_without_a_row_and_a_row_without_a_crate_are_faults() {
    let faults = faults_with(&[SRC, MODEL, ("cellar", &[])]);
    assert!(faults.iter().any(|fault| fault.starts_with("`cellar` is not in the table")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("names `log`, which is no crate")), "{faults:?}");
}

#[test]
fn a_second_row_for_a_folder_is_a_fault() {
    let twice = TABLE.replace("<!-- import table: end", "| `log` | nothing | any |\n<!-- import table: end");
    let table = parse(&twice).expect("well formed");
    let faults = faults(&table, &workspace(&[SRC, MODEL, LOG]));
    assert_eq!(faults, ["the table has two rows for `log`: join them"]);
}

#[test]
fn a_table_that_is_not_understood_is_an_error_and_not_an_empty_table() {
    for (document, complaint) in [
        ("no markers".to_owned(), "there is no table"),
        (TABLE.replace("| folder |", "| room |"), "header"),
        (TABLE.replace("| `log` | `model` | any |", "| `log` | `model` |"), "2 cells"),
        (TABLE.replace("`serde`", "serde"), "\"serde\" is no name in backticks"),
    ] {
        let error = parse(&document).expect_err(complaint);
        assert!(format!("{error:#}").contains(complaint), "{error:#}");
    }
}
