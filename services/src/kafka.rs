//! A Kafka broker: one node, from Maven's jars.

mod install;
mod server;

use std::path::{Path, PathBuf};

use crate::process::{self, Process};
use crate::tools;

/// The version that is fetched.
pub const VERSION: &str = "4.3.1";

/// Names a server to use, as `host:port`, instead of one that is started.
pub const VARIABLE: &str = "TIDEGATE_TEST_KAFKA";

/// Where it listens, unless it is told otherwise.
const LOCAL: &str = "127.0.0.1";

/// A broker of our own. It ends when this is dropped.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    dir: PathBuf,
    address: String,
}

impl Kafka {
    /// Starts a broker that keeps everything in `dir`, which must be new or one that a broker left.
    ///
    /// # Errors
    /// When it cannot be fetched or does not come up; what is missing is named.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_as(dir, LOCAL, false)
    }

    /// Starts one that listens at another address of this machine, for whoever cannot reach the local one.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub fn start_at(dir: &Path, host: &str) -> anyhow::Result<Self> {
        Self::start_as(dir, host, false)
    }

    /// Starts one that stays when whoever started it ends, and says its process id and where it listens.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub fn start_to_stay(dir: &Path) -> anyhow::Result<(u32, String)> {
        let Self { process, address, .. } = Self::start_as(dir, LOCAL, true)?;
        Ok((process.leave(), address))
    }

    fn start_as(dir: &Path, host: &str, stays: bool) -> anyhow::Result<Self> {
        let jars = install::jars()?;
        let dir = process::folder(dir)?;
        let address = server::prepare(&jars, &dir, host)?;
        let process = server::start(&jars, &dir, &address, stays)?;
        Ok(Self { process, dir, address })
    }

    /// Where it listens: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`kill`](Self::kill), with what it kept, at the same address.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process = server::start(&install::jars()?, &self.dir, &self.address, false)?;
        Ok(())
    }

    /// Starts it again after [`kill`](Self::kill), with nothing of what it kept, at the same address.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart_empty(&mut self) -> anyhow::Result<()> {
        server::wipe(&install::jars()?, &self.dir)?;
        self.restart()
    }

    /// Stops it where it stands: nothing answers until [`resume`](Self::resume).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.pause()
    }

    /// Has it go on after [`pause`](Self::pause).
    ///
    /// # Errors
    /// When the system refuses.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.resume()
    }
}

/// The broker that the environment names.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
pub fn named() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|address| !address.is_empty())
}

/// The broker that tests talk to: the one that the environment names.
///
/// # Errors
/// Where there is none, a sentence that says so: the test is left out.
///
/// # Panics
/// The same under continuous integration, where nothing is left out.
pub fn test_kafka() -> Result<String, String> {
    named().ok_or_else(|| {
        tools::left_out(&format!("{VARIABLE} names no broker; `cargo xtask test --only test` starts one"))
    })
}
