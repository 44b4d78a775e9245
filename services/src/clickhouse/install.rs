//! Finding a ClickHouse: a program on the path, or the library of chDB, fetched by npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::VERSION;
use crate::{fetched, tools};

/// The package; of this version, because others cannot be told where to listen.
const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";

/// What a server is made of.
#[derive(Clone, Debug)]
pub(super) enum Program {
    /// `clickhouse`, found on the path.
    Binary(PathBuf),
    /// The folder of `libchdb.so`.
    Library(PathBuf),
}

/// The program, fetched when it is not there yet.
pub(super) fn program() -> anyhow::Result<Program> {
    if let Some(binary) = tools::path_of("clickhouse") {
        return Ok(Program::Binary(binary));
    }
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")),
        "there is no `clickhouse` on the path, and {PACKAGE} is for Linux with glibc on x86-64: \
         install ClickHouse, or name a server in {}",
        super::VARIABLE
    );
    tools::need("cc", "build-essential").map_err(anyhow::Error::msg)?;
    let folder = fetched::once(&format!("chdb-{VERSION}"), fetch)?;
    Ok(Program::Library(folder.join("node_modules").join(PACKAGE)))
}

fn fetch(folder: &Path) -> anyhow::Result<()> {
    tools::need("npm", "npm").map_err(anyhow::Error::msg)?;
    eprintln!("   fetching ClickHouse, {PACKAGE}@{VERSION}, into {}", folder.display());
    let mut npm = Command::new("npm");
    npm.current_dir(folder);
    npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--silent", "--prefix", "."]);
    let status = npm.arg(format!("{PACKAGE}@{VERSION}")).status().context("cannot run npm")?;
    ensure!(status.success(), "npm ended with {status}: {PACKAGE}@{VERSION} could not be fetched");
    Ok(())
}
