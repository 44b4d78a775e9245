//! The bans in the `clippy.toml` files bite: clippy is shown a file that does everything they forbid.
//!
//! A misspelt path in such a list would be silence, not an error; here it fails.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Every impure thing that the lists forbid, once.
const OFFENDER: &str = r#"
#![allow(unused)]
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, RandomState};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Instant, SystemTime};
pub fn offend() {
    std::thread::spawn(|| ());
    std::thread::scope(|_| ());
    std::thread::sleep(std::time::Duration::ZERO);
    SystemTime::now();
    std::env::var("A");
    std::env::var_os("A");
    std::env::vars();
    std::env::vars_os();
    std::env::args();
    std::env::set_current_dir("/");
    std::fs::read("a");
    std::fs::read_to_string("a");
    std::fs::write("a", "b");
    if true { std::process::abort() }
    std::process::exit(1)
}
"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn list(folder: &str) -> String {
    let path = root().join(folder).join("clippy.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The paths that a list forbids.
fn banned(list: &str) -> Vec<&str> {
    list.split("path = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What clippy says about `source` with the list of `folder`.
fn clippy(folder: &str, source: &str) -> String {
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    let file = scratch.path().join("offender.rs");
    std::fs::write(&file, source).expect("the folder is writable");
    let output = Command::new("clippy-driver")
        .env("CLIPPY_CONF_DIR", root().join(folder))
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .arg(scratch.path())
        .args(["-W", "clippy::disallowed_types", "-W", "clippy::disallowed_methods"])
        .arg(&file)
        .output()
        .expect("clippy-driver can be run: `rustup component add clippy`");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn every_ban_of_every_list_bites() {
    for folder in ["model", "dataflow", "."] {
        let list = list(folder);
        let said = clippy(folder, OFFENDER);
        // The standard library alone is at hand here; what lies in other crates is the text scan's.
        let banned: Vec<_> = banned(&list).into_iter().filter(|path| path.starts_with("std::")).collect();
        assert!(!banned.is_empty(), "{folder}/clippy.toml bans nothing");
        for path in banned {
            let bites = ["type", "method"]
                .iter()
                .any(|kind| said.contains(&format!("use of a disallowed {kind} `{path}`")));
            assert!(bites, "the ban of {path} in {folder}/clippy.toml does not bite:\n{said}");
        }
    }
}

#[test]
fn pure_code_is_left_alone() {
    let pure = "pub fn f() -> std::collections::BTreeMap<u8, std::time::Duration> { Default::default() }";
    assert_eq!(clippy("model", pure), "");
}

#[test]
fn the_two_pure_crates_have_one_list() {
    assert_eq!(banned(&list("model")), banned(&list("dataflow")));
}
