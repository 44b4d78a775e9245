//! schemathesis against a running ingest: does it accept what `/openapi.json` says fits, refuse what does
//! not, and answer as described?
//!
//! The tool is a Python package with others behind it, all of them pinned in
//! `xtask/openapi-requirements.txt`, and lives in an environment below `target/tools`. Where it cannot be
//! had, the step is left out; under `CI` that is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::process::run_command;
use crate::service::Service;
use crate::steps::Outcome;
use crate::tools;
use crate::workspace::Workspace;

/// What is installed.
const REQUIREMENTS: &str = "xtask/openapi-requirements.txt";

/// Random cases of each operation; besides them come those at the limits of every schema.
const EXAMPLES: &str = "200";

/// The cases are the same in every run, so that a failure is a change of ours.
const SEED: &str = "20240601";

/// Runs every check of schemathesis.
///
/// # Errors
/// When it finds something, or is missing under `CI`.
pub fn check(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let tool = match schemathesis(workspace) {
        Ok(tool) => tool,
        Err(missing) if tools::in_ci() => return Err(missing),
        Err(missing) => return Ok(Outcome::LeftOut(format!("{missing:#}"))),
    };
    let service = Service::start(workspace, "openapi", &[])?;
    let mut run = Command::new(tool);
    // It keeps notes where it runs.
    run.current_dir(workspace.target.join("tests/openapi"));
    run.arg("run").arg(format!("{}/openapi.json", service.url("ingest")));
    run.args([
        "--checks",
        "all",
        "--max-examples",
        EXAMPLES,
        "--seed",
        SEED,
        "--generation-database",
        "none",
    ]);
    run_command(run.arg("--no-color"))?;
    Ok(Outcome::Passed)
}

/// The tool; installed when it is not there, or when what was installed is not what is wanted now.
fn schemathesis(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let environment = workspace.tools().join("schemathesis");
    let (tool, stamp) = (environment.join("bin/schemathesis"), environment.join("installed.txt"));
    let requirements = workspace.root.join(REQUIREMENTS);
    let wanted = std::fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && tools::answers(&tool) {
        return Ok(tool);
    }
    tools::need("python3", "python3-venv").map_err(anyhow::Error::msg)?;
    println!("   installing schemathesis into {}", environment.display());
    // Half an environment is none.
    let _ = std::fs::remove_dir_all(&environment);
    run_command(Command::new("python3").args(["-m", "venv"]).arg(&environment))
        .context("cannot make an environment; on Debian `apt-get install python3-venv` helps")?;
    install(&environment, &requirements).context("cannot install schemathesis")?;
    ensure!(tools::answers(&tool), "{} does not run", tool.display());
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(tool)
}

fn install(environment: &Path, requirements: &Path) -> anyhow::Result<()> {
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--requirement",
    ]);
    run_command(pip.arg(requirements))
}
