//! `cargo xtask services`: real servers to try things with, and those that the tests are given.
//!
//! What there is to say about one kind of server is a line of the table in `kinds`.

mod kinds;
mod running;

use std::any::Any;

use anyhow::ensure;

use self::kinds::{ALL, FOR_TESTS, Kind};
use self::running::Running;
use crate::workspace::Workspace;

/// What is asked of the servers.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Action {
    /// Start every server that is not running, on free ports, and print the lines that have tests take them.
    Up,
    /// End them; what they keep stays.
    Down,
    /// Say which of them run, and where.
    Status,
}

/// A server for the tests of one run. It ends when this is dropped.
pub struct Started {
    /// Tells the tests of it.
    pub variable: &'static str,
    /// Where it listens, as the variable wants it.
    pub address: String,
    _server: Box<dyn Any>,
}

impl Started {
    fn new(variable: &'static str, address: String, server: impl Any) -> Self {
        Self { variable, address, _server: Box::new(server) }
    }
}

/// The servers for the tests of one run, except for those that the environment names; where one cannot be
/// started, a sentence that says why.
pub fn for_tests(workspace: &Workspace) -> Vec<Result<Started, String>> {
    let start = |kind: &Kind| {
        let dir = workspace.target.join("tests").join(kind.name);
        let _ = std::fs::remove_dir_all(&dir);
        (kind.start)(&dir).map_err(|error| format!("without {}: {error:#}", kind.title))
    };
    FOR_TESTS.iter().filter(|kind| !(kind.is_named)()).map(start).collect()
}

/// Carries it out. A server that fails does not keep the others from it.
///
/// # Errors
/// When a server cannot be fetched, started or ended.
pub fn run(workspace: &Workspace, action: Action) -> anyhow::Result<()> {
    let mut failures = Vec::new();
    for kind in &ALL {
        if let Err(error) = run_one(workspace, action, kind) {
            println!("# {}: {error:#}", kind.name);
            failures.push(kind.title);
        }
    }
    ensure!(failures.is_empty(), "not carried out for {}", failures.join(", "));
    Ok(())
}

/// Every line that it prints is one for a shell: an `export`, or a comment.
fn run_one(workspace: &Workspace, action: Action, kind: &Kind) -> anyhow::Result<()> {
    let dir = workspace.target.join("services").join(kind.name);
    match (action, Running::read(&dir)) {
        (Action::Up, None) => {
            let (pid, address) = (kind.start_to_stay)(&dir)?;
            Running::note(&dir, pid, &address)?;
            show(kind, &address)?;
        }
        (Action::Up | Action::Status, Some(running)) => show(kind, &running.address)?,
        (Action::Status, None) => println!("# {}: not running", kind.name),
        (Action::Down, Some(running)) => {
            running.end()?;
            println!("# {}: ended", kind.name);
        }
        (Action::Down, None) => println!("# {}: was not running", kind.name),
    }
    Ok(())
}

fn show(kind: &Kind, address: &str) -> anyhow::Result<()> {
    println!("export {}={address}  # {} {}", kind.variable, kind.title, (kind.version)(address)?);
    Ok(())
}
