//! `cargo xtask services`: real servers to try things with.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tidegate_services::{Kafka, kafka};

use crate::workspace::Workspace;

/// What is asked of the servers.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Action {
    /// Start every server that is not running, on free ports, and print where they listen.
    Up,
    /// End them; what they keep stays.
    Down,
    /// Say which of them run, and where.
    Status,
}

/// A broker for the tests of one run, unless the environment names one.
///
/// # Errors
/// A sentence that says why there is none.
pub fn kafka_for_tests(workspace: &Workspace) -> Result<Option<Kafka>, String> {
    if kafka::named().is_some() {
        return Ok(None);
    }
    let dir = workspace.target.join("tests/kafka");
    let _ = std::fs::remove_dir_all(&dir);
    Kafka::start(&dir).map(Some).map_err(|error| format!("without Kafka: {error:#}"))
}

/// Carries it out.
///
/// # Errors
/// When a server cannot be fetched, started or ended.
pub fn run(workspace: &Workspace, action: Action) -> anyhow::Result<()> {
    let dir = workspace.target.join("services/kafka");
    let running = Running::read(&dir);
    match (action, running) {
        (Action::Up, None) => {
            let (pid, address) = Kafka::start_to_stay(&dir)?;
            std::fs::write(Running::file(&dir), format!("{pid} {address}\n"))
                .context("cannot note what runs")?;
            show(&address);
        }
        (Action::Up | Action::Status, Some(running)) => show(&running.address),
        (Action::Status, None) => println!("kafka    not running"),
        (Action::Down, Some(running)) => {
            running.end()?;
            std::fs::remove_file(Running::file(&dir)).context("cannot forget what ran")?;
            println!("kafka    ended");
        }
        (Action::Down, None) => println!("kafka    was not running"),
    }
    Ok(())
}

fn show(address: &str) {
    println!("kafka    {address}  version {}; export {}={address}", kafka::VERSION, kafka::VARIABLE);
}

/// A server that an earlier command left running.
struct Running {
    pid: String,
    address: String,
}

impl Running {
    fn file(dir: &Path) -> PathBuf {
        dir.join("running")
    }

    /// What was noted, if that process is still a broker.
    fn read(dir: &Path) -> Option<Self> {
        let noted = std::fs::read_to_string(Self::file(dir)).ok()?;
        let (pid, address) = noted.trim().split_once(' ')?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        command.contains("kafka.Kafka").then(|| Self { pid: pid.to_owned(), address: address.to_owned() })
    }

    fn end(&self) -> anyhow::Result<()> {
        crate::process::run_command(std::process::Command::new("kill").arg(&self.pid))?;
        while Path::new(&format!("/proc/{}", self.pid)).exists() {
            std::thread::park_timeout(std::time::Duration::from_millis(50));
        }
        Ok(())
    }
}
