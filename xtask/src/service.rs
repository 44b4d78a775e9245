//! The built program, serving, for tests that are written in another language.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use crate::process::run_command;
use crate::workspace::{Workspace, cargo};

/// A service on ports that the system chose. Ended when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    addresses: BTreeMap<String, String>,
}

impl Service {
    /// Builds the program, and starts it on a new directory below `target`.
    ///
    /// # Errors
    /// When it does not build, or ends before it has said where it listens.
    pub fn start(workspace: &Workspace, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        run_command(
            cargo().current_dir(&workspace.root).args(["build", "--quiet", "--locked", "--bin", "tidegate"]),
        )?;
        let dir = fresh_dir(workspace, name)?;
        let mut command = Command::new(workspace.target.join("debug/tidegate"));
        command.current_dir(&dir).args([
            "up",
            "--data-dir",
            "data",
            "--ingest-listen",
            "0",
            "--api-listen",
            "0",
        ]);
        command.args(["--dataflow-listen", "0", "--metrics-listen", "0", "--sink-listen", "0"]);
        Self::spawn(command.args(arguments), &dir)
    }

    /// Starts the program, and waits until it has said the address of its last listener.
    fn spawn(command: &mut Command, dir: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(dir.join("log")).context("cannot create a log file")?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        let mut lines = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut addresses = BTreeMap::new();
        while !addresses.contains_key("sinks") {
            let mut line = String::new();
            let read = lines.read_line(&mut line).context("cannot read the service's output")?;
            ensure!(read > 0, "the service ended at once: see {}", dir.join("log").display());
            let mut words = line.split_whitespace();
            if let Some((name, url)) = words.next().zip(words.next())
                && url.starts_with("http://")
            {
                addresses.insert(name.to_owned(), url.to_owned());
            }
        }
        // A pipe that nobody reads would stop the service one day.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Ok(Self { child, addresses })
    }

    /// The URL of a listener: `ingest`, `api`, `dataflow`, `metrics` or `sinks`.
    pub fn url(&self, listener: &str) -> &str {
        &self.addresses[listener]
    }
}

/// An empty directory below `target`. What an earlier run left would be replayed.
fn fresh_dir(workspace: &Workspace, name: &str) -> anyhow::Result<PathBuf> {
    let dir = workspace.target.join("tests").join(name);
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir)
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
