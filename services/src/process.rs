//! The process of a server: where its output goes, how it is waited for, stopped and ended.
//!
//! What a server is asked to find out whether it answers is the business of its own module.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// Where in a server's folder its output goes.
const LOG: &str = "log";

/// How long to wait before a server is asked again.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A program that runs in a server's folder, and whose output is added to the log there.
pub(crate) fn command(program: impl AsRef<OsStr>, dir: &Path) -> anyhow::Result<Command> {
    let log = File::options().create(true).append(true).open(dir.join(LOG)).context("cannot open its log")?;
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share its log")?)
        .stderr(log);
    Ok(command)
}

/// The folder of a server, which is made if it is not there.
pub(crate) fn folder(dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Option<Child>,
    what: &'static str,
    log: PathBuf,
}

impl Process {
    /// Starts `what` in its folder. With `stays` a Ctrl-C for whoever started it is not for the server.
    pub(crate) fn start(
        what: &'static str,
        mut command: Command,
        dir: &Path,
        stays: bool,
    ) -> anyhow::Result<Self> {
        if stays {
            command.process_group(0);
        }
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Self { child: Some(child), what, log: dir.join(LOG) })
    }

    /// Waits until it answers.
    pub(crate) fn wait_until(
        &mut self,
        deadline: Duration,
        mut answers: impl FnMut() -> bool,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            // Somebody else may listen where it failed to: an answer counts only while it runs.
            let answered = answers();
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                bail!("{} ended with {status}: see {}", self.what, self.log.display());
            }
            if answered {
                return Ok(());
            }
            ensure!(began.elapsed() < deadline, "{} does not come up: see {}", self.what, self.log.display());
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it where it stands.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Has it go on.
    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("it was killed")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("it has no process id")?;
        kill_process(pid, signal).context("it cannot be sent a signal")
    }

    /// Has it stay when this is gone; says its process id.
    pub(crate) fn leave(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
