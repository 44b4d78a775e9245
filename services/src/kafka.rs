//! A Kafka broker: one node, from Maven's jars.

mod install;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use self::server::Server;
use crate::tools;

/// The version that is fetched.
pub const VERSION: &str = "4.3.1";

/// Names a server to use, as `host:port`, instead of one that is started.
pub const VARIABLE: &str = "TIDEGATE_TEST_KAFKA";

/// How long a broker may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// A broker of our own. It ends when this is dropped.
#[derive(Debug)]
pub struct Kafka {
    server: Server,
    dir: PathBuf,
    address: String,
}

impl Kafka {
    /// Starts a broker that keeps everything in `dir`, which must be new or one that a broker left.
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
    pub fn start_to_stay(dir: &Path) -> anyhow::Result<(u32, String)> {
        let Self { server, address, .. } = Self::start_as(dir, true)?;
        Ok((server.leave(), address))
    }

    fn start_as(dir: &Path, stays: bool) -> anyhow::Result<Self> {
        let jars = install::jars()?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
        let address = server::prepare(&jars, &dir)?;
        let mut server = Server::start(&jars, &dir, stays)?;
        server.wait_for(&address, START_DEADLINE)?;
        Ok(Self { server, dir, address })
    }

    /// Where it listens: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again after [`kill`](Self::kill), with what it kept, at the same address.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.server = Server::start(&install::jars()?, &self.dir, false)?;
        self.server.wait_for(&self.address, START_DEADLINE)
    }

    /// Stops it where it stands, and has it go on: nothing answers meanwhile.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self, pause: bool) -> anyhow::Result<()> {
        self.server.pause(pause)
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
    let missing = format!("left out: {VARIABLE} names no broker; `cargo xtask test --only test` starts one");
    let address = named().ok_or(missing);
    if let Err(missing) = &address {
        assert!(!tools::in_ci(), "{missing}");
        eprintln!("{missing}");
    }
    address
}
