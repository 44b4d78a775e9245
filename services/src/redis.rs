//! A Redis server: Debian's, or any `redis-server` on the path.
//!
//! It keeps its data in an append-only file alone, never in snapshots.

mod resp;
mod sentinel;
mod server;

use std::path::{Path, PathBuf};

pub use self::resp::{Reply, command, version};
pub use self::sentinel::Sentinel;
use crate::process::{self, Process};
use crate::tools;

/// Names a server to use, as `host:port`, instead of one that is started.
pub const VARIABLE: &str = "TIDEGATE_TEST_REDIS";

/// A server of our own. It ends when this is dropped.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    dir: PathBuf,
    address: String,
}

impl Redis {
    /// Starts a server that keeps everything in `dir`, which must be new or one that a server left. What it
    /// acknowledged reaches the disk within a second.
    ///
    /// # Errors
    /// When it is not installed or does not come up; what is missing is named.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, &[])
    }

    /// Starts one with further lines of its configuration: name and value, as `("maxmemory", "10mb")`.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub fn start_with(dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_as(dir, settings, false)
    }

    /// Starts one that stays when whoever started it ends, and says its process id and where it listens.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub fn start_to_stay(dir: &Path) -> anyhow::Result<(u32, String)> {
        let Self { process, address, .. } = Self::start_as(dir, &[], true)?;
        Ok((process.leave(), address))
    }

    fn start_as(dir: &Path, settings: &[(&str, &str)], stays: bool) -> anyhow::Result<Self> {
        installed()?;
        let dir = process::folder(dir)?;
        let address = server::prepare(&dir, settings)?;
        let process = server::start(&dir, &address, stays)?;
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

    /// Starts it again after [`kill`](Self::kill), with what it kept and its settings, at the same address.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process = server::start(&self.dir, &self.address, false)?;
        Ok(())
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

/// Makes sure that [`Redis::start`] finds its server.
///
/// # Errors
/// A sentence that says what is missing and how to install it.
pub fn installed() -> anyhow::Result<()> {
    tools::need("redis-server", "redis-server").map_err(anyhow::Error::msg)
}

/// The server that the environment names.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
pub fn named() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|address| !address.is_empty())
}

/// The server that tests talk to: the one that the environment names.
///
/// # Errors
/// Where there is none, a sentence that says so: the test is left out.
///
/// # Panics
/// The same under continuous integration, where nothing is left out.
pub fn test_redis() -> Result<String, String> {
    named().ok_or_else(|| {
        tools::left_out(&format!("{VARIABLE} names no Redis; `cargo xtask services up` starts one"))
    })
}
