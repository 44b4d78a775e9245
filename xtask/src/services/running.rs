//! A server that an earlier command left running.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::process::run_command;

/// How long a server may take to end by itself.
const END_DEADLINE: Duration = Duration::from_mins(1);

/// What was noted of it, in its folder.
pub(super) struct Running {
    dir: PathBuf,
    pid: u32,
    /// Where it listens.
    pub(super) address: String,
}

impl Running {
    fn file(dir: &Path) -> PathBuf {
        dir.join("running")
    }

    pub(super) fn note(dir: &Path, pid: u32, address: &str) -> anyhow::Result<()> {
        std::fs::write(Self::file(dir), format!("{pid} {address}\n")).context("cannot note what runs")
    }

    /// What was noted, if it still runs.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let noted = std::fs::read_to_string(Self::file(dir)).ok()?;
        let (pid, address) = noted.trim().split_once(' ')?;
        let running =
            Self { dir: dir.canonicalize().ok()?, pid: pid.parse().ok()?, address: address.to_owned() };
        running.runs().then_some(running)
    }

    /// Whether a process of that number is at work in the folder. Another one may have got the number, and one
    /// that has ended works nowhere.
    fn runs(&self) -> bool {
        std::fs::read_link(format!("/proc/{}/cwd", self.pid)).is_ok_and(|dir| dir == self.dir)
    }

    pub(super) fn end(&self) -> anyhow::Result<()> {
        run_command(Command::new("kill").arg(self.pid.to_string()))?;
        let began = Instant::now();
        while self.runs() {
            ensure!(began.elapsed() < END_DEADLINE, "process {} does not end: `kill -9` it", self.pid);
            std::thread::park_timeout(Duration::from_millis(50));
        }
        std::fs::remove_file(Self::file(&self.dir)).context("cannot forget what ran")
    }
}
