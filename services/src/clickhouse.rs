//! A ClickHouse server: a `clickhouse` on the path, or the one inside of chDB, from npm.
//!
//! chDB's is `clickhouse local` with listeners. It has the engines and both protocols; it does not have
//! `CREATE USER`, metrics over HTTP and inserts that are gathered (`async_insert` inserts at once), and its
//! database `default` is an overlay over files: tests create a database of their own.

mod address;
mod http;
mod install;
mod server;

use std::path::{Path, PathBuf};

pub use self::address::Address;
use self::install::Program;
use crate::process::{self, Process};
use crate::tools;

/// The version of chDB that is fetched.
pub const VERSION: &str = "26.7.3-stable.1";

/// Names a server to use, as `host:httpport` or `host:httpport,nativeport`, instead of one that is started.
pub const VARIABLE: &str = "TIDEGATE_TEST_CLICKHOUSE";

/// A server of our own. It ends when this is dropped.
#[derive(Debug)]
pub struct ClickHouse {
    process: Process,
    program: Program,
    dir: PathBuf,
    address: Address,
}

impl ClickHouse {
    /// Starts a server that keeps everything in `dir`, which must be new or one that a server left.
    ///
    /// # Errors
    /// When it cannot be fetched or does not come up; what is missing is named.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_as(dir, false)
    }

    /// Starts one that stays when whoever started it ends, and says its process id and where it listens.
    ///
    /// # Errors
    /// Those of [`start`](Self::start).
    pub fn start_to_stay(dir: &Path) -> anyhow::Result<(u32, Address)> {
        let Self { process, address, .. } = Self::start_as(dir, true)?;
        Ok((process.leave(), address))
    }

    fn start_as(dir: &Path, stays: bool) -> anyhow::Result<Self> {
        let program = install::program()?;
        let dir = process::folder(dir)?;
        let address = server::prepare(&dir)?;
        let process = server::start(&program, &dir, &address, stays)?;
        Ok(Self { process, program, dir, address })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`kill`](Self::kill), with what it kept, at the same ports.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process = server::start(&self.program, &self.dir, &self.address, false)?;
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

/// Fetches what [`ClickHouse::start`] needs and is not there yet.
///
/// # Errors
/// A sentence that says what is missing and how to install it.
pub fn fetch() -> anyhow::Result<()> {
    install::program().map(drop)
}

/// The server that the environment names.
///
/// # Panics
/// When what it names is no address.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
pub fn named() -> Option<Address> {
    let named = std::env::var(VARIABLE).ok().filter(|address| !address.is_empty())?;
    Some(named.parse().unwrap_or_else(|error| panic!("{VARIABLE}: {error}")))
}

/// The server that tests talk to: the one that the environment names.
///
/// # Errors
/// Where there is none, a sentence that says so: the test is left out.
///
/// # Panics
/// The same under continuous integration, where nothing is left out.
pub fn test_clickhouse() -> Result<Address, String> {
    named().ok_or_else(|| {
        tools::left_out(&format!("{VARIABLE} names no ClickHouse; `cargo xtask services up` starts one"))
    })
}
