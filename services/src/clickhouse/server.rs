//! The server's process: `clickhouse server`, or the `clickhouse local` of chDB that listens.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Address;
use super::install::Program;
use crate::ports;
use crate::process::{self, Process};

/// Where in its folder a server's ports are written down.
const ADDRESS: &str = "address";

/// How long a server may take to answer.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Its listeners last as long as its statements, so the last of them waits for ever.
const LISTEN: &str = "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; \
    SELECT sleepEachRow(3) FROM system.numbers FORMAT Null \
    SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1, max_threads = 1";

/// Says where a server will listen: on new ports, or on those that it had.
pub(super) fn prepare(dir: &Path) -> anyhow::Result<Address> {
    let file = dir.join(ADDRESS);
    if let Ok(address) = std::fs::read_to_string(&file) {
        return address.parse().with_context(|| format!("cannot use {}", file.display()));
    }
    let [http, native] = ports::free()?;
    let address = Address { host: "127.0.0.1".to_owned(), http, native: Some(native) };
    std::fs::write(&file, address.to_string()).context("cannot write down its ports")?;
    Ok(address)
}

/// Starts a server, and waits until it answers.
pub(super) fn start(
    program: &Program,
    dir: &Path,
    address: &Address,
    stays: bool,
) -> anyhow::Result<Process> {
    let mut command = match program {
        Program::Binary(binary) => server(binary, dir)?,
        Program::Library(folder) => local(folder, dir)?,
    };
    // After the dashes are settings, which both take.
    command.arg("--").arg(format!("--path={}", dir.join("data").display()));
    command.arg(format!("--listen_host={}", address.host)).arg(format!("--http_port={}", address.http));
    command.args(address.native.map(|port| format!("--tcp_port={port}")));
    let mut process = Process::start("ClickHouse", command, dir, stays)?;
    process.wait_until(START_DEADLINE, || address.answers())?;
    Ok(process)
}

fn server(binary: &Path, dir: &Path) -> anyhow::Result<Command> {
    std::fs::write(dir.join("server.xml"), include_str!("server.xml"))
        .context("cannot write its configuration")?;
    let mut command = process::command(binary, dir)?;
    // Without a terminal it would be the child of a watchdog, and signals would go to that one.
    command.env("CLICKHOUSE_WATCHDOG_ENABLE", "0");
    command.arg("server").arg(format!("--config-file={}", dir.join("server.xml").display()));
    Ok(command)
}

fn local(folder: &Path, dir: &Path) -> anyhow::Result<Command> {
    let mut command = process::command(launcher(folder, dir)?, dir)?;
    command.args(["--log-level=warning", "--query", LISTEN]);
    Ok(command)
}

/// Compiles the program that calls the library.
fn launcher(folder: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
    let (source, launcher) = (dir.join("launcher.c"), dir.join("clickhouse"));
    std::fs::write(&source, include_str!("launcher.c")).context("cannot write the launcher")?;
    let mut compiler = process::command("cc", dir)?;
    compiler.arg("-o").arg(&launcher).arg(source).arg("-L").arg(folder).arg("-lchdb");
    // It finds the library there when it runs, too.
    compiler.args(["-Xlinker", "-rpath", "-Xlinker"]).arg(folder);
    let status = compiler.status().context("cannot run cc")?;
    ensure!(status.success(), "the launcher could not be compiled: see {}/log", dir.display());
    Ok(launcher)
}
