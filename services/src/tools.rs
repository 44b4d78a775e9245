//! Tools that tests need and that this repository does not carry: found, or installed where that is no
//! surprise.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};

/// Whether this is a continuous-integration run: `CI` is set to something that does not mean no. Nothing
/// is left out there, and what is missing is installed.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// Says that a test is left out, and why; returns what it said.
///
/// # Panics
/// The same under continuous integration, where nothing is left out.
pub fn left_out(why: &str) -> String {
    let sentence = format!("left out: {why}");
    assert!(!in_ci(), "{sentence}");
    eprintln!("{sentence}");
    sentence
}

/// Whether a program of that name answers to `--version`.
pub fn answers(program: impl Into<PathBuf>) -> bool {
    let mut command = Command::new(program.into());
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Where a program lies that is found on the path.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
pub fn path_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Makes sure that a program is there, by Debian's package of that name where it may be installed: under
/// `CI`, as root. `Err` is a sentence that says what to install.
///
/// # Errors
/// When the program is missing and stays so.
pub fn need(program: &str, package: &str) -> Result<(), String> {
    static INSTALLING: Mutex<()> = Mutex::new(());
    if answers(program) {
        return Ok(());
    }
    let remedy = format!("{program} is not installed; on Debian `apt-get install {package}` does it");
    if !in_ci() {
        return Err(remedy);
    }
    // Tests run side by side, and Debian's tools one at a time.
    let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if answers(program) {
        return Ok(());
    }
    eprintln!("   {program} is missing; installing Debian's {package}");
    let mut update = Command::new("apt-get");
    update.args(["update", "-q"]).stdout(Stdio::null());
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    install.args(["install", "-qy", "--no-install-recommends", package]);
    // A list that could not be brought up to date may still do.
    let _ = run_command(&mut update);
    run_command(&mut install).map_err(|error| format!("{remedy}; installing it failed: {error:#}"))?;
    if answers(program) { Ok(()) } else { Err(remedy) }
}

/// Runs a command to its end.
fn run_command(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{} ended with {status}", command.get_program().display());
    Ok(())
}
