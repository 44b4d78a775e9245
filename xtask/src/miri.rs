//! The unsafe code of the codec under Miri, which finds undefined behaviour where it happens.
//!
//! Miri comes with a nightly compiler. Under `CI` it is installed where it is missing; on a developer's machine
//! the step is left out, and says so.

use std::process::{Command, Stdio};

use anyhow::Context;

use crate::process::run_command;
use crate::steps::Outcome;
use crate::tools;
use crate::workspace::Workspace;

/// How it is installed.
const INSTALL: [&str; 7] =
    ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"];

/// Runs the codec's tests in both ways of taking rows to bytes, each by the strictest model that it passes.
///
/// # Errors
/// When a test fails, or Miri cannot be installed although it has to be.
pub fn check(workspace: &Workspace) -> anyhow::Result<Outcome> {
    if !is_there() {
        let by_hand = format!("rustup {}", INSTALL.join(" "));
        if !tools::in_ci() {
            return Ok(Outcome::LeftOut(format!("Miri is not installed; `{by_hand}` does it")));
        }
        println!("   Miri is missing; installing it");
        run_command(Command::new("rustup").args(INSTALL)).with_context(|| format!("`{by_hand}` failed"))?;
    }
    // Stacked Borrows is Miri's default.
    for (flags, features) in [("", &["--no-default-features"][..]), ("-Zmiri-tree-borrows", &[])] {
        let mut command = cargo_nightly(workspace);
        command.args(["miri", "test", "--quiet", "--locked", "--package", "tidegate-codec", "--lib"]);
        run_command(command.args(features).env("MIRIFLAGS", flags))?;
    }
    Ok(Outcome::Passed)
}

fn is_there() -> bool {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "miri", "--version"]).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The nightly cargo, whatever toolchain runs this.
fn cargo_nightly(workspace: &Workspace) -> Command {
    let mut command = Command::new("cargo");
    command.arg("+nightly").current_dir(&workspace.root);
    for ours in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTDOC", "RUSTFLAGS"] {
        command.env_remove(ours);
    }
    command
}
