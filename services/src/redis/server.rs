//! The server's configuration and process.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::resp::{Reply, command};
use crate::ports;
use crate::process::{self, Process};

/// What a server is configured by; its folder has it.
const CONFIGURATION: &str = "redis.conf";

/// How long a server may take to answer: it reads everything that it kept first.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// Writes the configuration; says where it will listen: on a new port, or on the one that it had.
pub(super) fn prepare(dir: &Path, settings: &[(&str, &str)]) -> anyhow::Result<String> {
    let file = dir.join(CONFIGURATION);
    let had = std::fs::read_to_string(&file).ok();
    let port = match had.as_ref().and_then(|lines| lines.lines().find_map(|line| line.strip_prefix("port ")))
    {
        Some(port) => port.parse().with_context(|| format!("{} has no port", file.display()))?,
        None => ports::free::<1>()?[0],
    };
    std::fs::write(&file, configuration(port, settings)).context("cannot write its configuration")?;
    Ok(format!("127.0.0.1:{port}"))
}

/// Of several lines of one name the last one counts.
fn configuration(port: u16, settings: &[(&str, &str)]) -> String {
    let port = port.to_string();
    let ours = [
        ("port", port.as_str()),
        ("bind", "127.0.0.1"),
        // Snapshots come at times of their own; the append-only file has everything.
        ("save", "\"\""),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        // By default a replica is kept waiting for five seconds, in case more of them come.
        ("repl-diskless-sync-delay", "0"),
    ];
    let lines = ours.iter().chain(settings).map(|(name, value)| format!("{name} {value}"));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Starts a server, and waits until it answers.
pub(super) fn start(dir: &Path, address: &str, stays: bool) -> anyhow::Result<Process> {
    start_as("Redis", dir, &[CONFIGURATION], address, stays)
}

/// Starts what `redis-server` is told to be, and waits until it answers.
pub(super) fn start_as(
    what: &'static str,
    dir: &Path,
    arguments: &[&str],
    address: &str,
    stays: bool,
) -> anyhow::Result<Process> {
    let mut server = process::command("redis-server", dir)?;
    server.args(arguments);
    let mut process = Process::start(what, server, dir, stays)?;
    process.wait_until(START_DEADLINE, || match command(address, &["PING"]) {
        Ok(reply) => reply == Reply::Text("PONG".to_owned()),
        // It is up, and wants a password.
        Err(error) => error.to_string().contains("NOAUTH"),
    })?;
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_port_and_takes_the_settings_of_the_day() {
        let dir = tempfile::tempdir().expect("there is room");
        let address = prepare(dir.path(), &[("appendfsync", "always")]).expect("it is new");
        assert_eq!(prepare(dir.path(), &[("maxmemory", "10mb")]).expect("it is old"), address);
        let written = std::fs::read_to_string(dir.path().join(CONFIGURATION)).expect("it is there");
        assert!(written.ends_with("\nmaxmemory 10mb\n") && !written.contains("always"), "{written}");
    }
}
