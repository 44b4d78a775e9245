//! The dependencies' licences, sources, duplicates and advisories, by cargo-deny.
//!
//! Under `CI` the tool is installed where it is missing. On a developer's machine that would be a
//! surprise of minutes: there the step is left out, and says so.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::process::run_command;
use crate::steps::Outcome;
use crate::tools;
use crate::workspace::{Workspace, cargo};

/// The version that CI installs.
const VERSION: &str = "0.20.2";
/// The database of advisories is a Git repository; a network that swallows packets must not hold us up.
const FETCH_MAX: Duration = Duration::from_mins(2);

/// Runs every check of cargo-deny that can run here.
///
/// # Errors
/// When a check fails, or the tool cannot be installed although it has to be.
pub fn check(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let tool = match find(workspace) {
        Some(tool) => tool,
        None if tools::in_ci() => install(workspace)?,
        None => {
            return Ok(Outcome::LeftOut(format!(
                "cargo-deny is not installed; `cargo install --locked cargo-deny --version {VERSION}` does it"
            )));
        }
    };
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&tool);
        command.current_dir(&workspace.root).args(arguments);
        command
    };
    // Without --workspace only what the root package depends on would be looked at.
    run_command(&mut deny(&["--workspace", "--locked", "check", "bans", "licenses", "sources"]))?;
    match fetch_advisories(&mut deny(&["fetch", "db"])) {
        Ok(()) => {
            run_command(&mut deny(&["--workspace", "--locked", "check", "advisories"]))?;
            Ok(Outcome::Passed)
        }
        Err(why) => Ok(Outcome::PassedBut(format!(
            "advisories were not checked: their database on github.com cannot be reached from here ({why})"
        ))),
    }
}

fn find(workspace: &Workspace) -> Option<PathBuf> {
    let ours = workspace.tools().join("bin/cargo-deny");
    [ours, PathBuf::from("cargo-deny")].into_iter().find(|tool| tools::answers(tool))
}

fn install(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let root = workspace.tools();
    let build = root.join("build");
    println!("   cargo-deny is missing; installing {VERSION} into {}", root.display());
    run_command(
        cargo()
            // It runs for a second: what counts is how soon it is there.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .args(["install", "--quiet", "--locked", "cargo-deny", "--version", VERSION, "--root"])
            .arg(&root)
            .arg("--target-dir")
            .arg(&build),
    )?;
    // Half a gigabyte that nothing needs again; the tool works just as well when it stays.
    let _ = std::fs::remove_dir_all(&build);
    Ok(root.join("bin/cargo-deny"))
}

/// Brings the database up to date, or says in one line why that failed.
fn fetch_advisories(fetch: &mut Command) -> anyhow::Result<()> {
    let child = fetch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.context("cannot run cargo-deny")?;
    let id = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("deny-fetch".to_owned())
        .spawn(move || sender.send(child.wait_with_output()))
        .context("cannot start a thread")?;
    let Ok(output) = receiver.recv_timeout(FETCH_MAX) else {
        let _ = Command::new("kill").arg(id.to_string()).status();
        anyhow::bail!("no answer within {} s", FETCH_MAX.as_secs());
    };
    let output = output.context("cannot wait for cargo-deny")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("no reason given");
    ensure!(output.status.success(), "{last}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(script: &str) -> Result<(), String> {
        fetch_advisories(Command::new("sh").args(["-c", script])).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_fetch_that_fails_says_why_in_one_line() {
        assert_eq!(fetch("true"), Ok(()));
        assert_eq!(fetch("exit 3"), Err("no reason given".to_owned()));
        let script = "echo 'failed to fetch' >&2; echo 'could not resolve host' >&2; echo >&2; exit 1";
        assert_eq!(fetch(script), Err("could not resolve host".to_owned()));
    }
}
