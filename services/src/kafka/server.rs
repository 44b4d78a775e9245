//! The broker's process.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::ports;
use crate::process::{self, Process};

/// How long a broker may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// What a broker is configured by; its folder has it.
const PROPERTIES: &str = "server.properties";

/// Writes the configuration of a new broker and formats its storage; says where it will listen.
pub(super) fn prepare(jars: &Path, dir: &Path, host: &str) -> anyhow::Result<String> {
    let file = dir.join(PROPERTIES);
    if let Ok(properties) = std::fs::read_to_string(&file) {
        let listeners =
            properties.lines().find_map(|line| line.strip_prefix("advertised.listeners=PLAINTEXT://"));
        return listeners.map(str::to_owned).with_context(|| format!("{} names no listener", file.display()));
    }
    let [port, controller] = ports::free()?;
    let address = format!("{host}:{port}");
    std::fs::write(&file, properties(&address, controller, dir)).context("cannot write the configuration")?;
    format(jars, dir)?;
    Ok(address)
}

fn format(jars: &Path, dir: &Path) -> anyhow::Result<()> {
    // Any 16 bytes in base64 are the name of a cluster.
    let format = ["kafka.tools.StorageTool", "format", "-t", "dGlkZWdhdGUtdGVzdHMtMQ", "-c", PROPERTIES];
    let status = java(jars, dir)?.args(format).status().context("cannot run java")?;
    ensure!(status.success(), "the broker's storage could not be formatted: see {}/log", dir.display());
    Ok(())
}

/// Removes everything that a broker keeps; it must not be running.
pub(super) fn wipe(jars: &Path, dir: &Path) -> anyhow::Result<()> {
    std::fs::remove_dir_all(dir.join("data")).context("cannot remove what the broker keeps")?;
    format(jars, dir)
}

fn properties(address: &str, controller: u16, dir: &Path) -> String {
    let data = dir.join("data");
    [
        "process.roles=broker,controller".to_owned(),
        "node.id=1".to_owned(),
        format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
        format!("listeners=PLAINTEXT://{address},CONTROLLER://127.0.0.1:{controller}"),
        format!("advertised.listeners=PLAINTEXT://{address}"),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!("log.dirs={}", data.display()),
        // One node has no replicas.
        "offsets.topic.replication.factor=1".to_owned(),
        "offsets.topic.num.partitions=3".to_owned(),
        "transaction.state.log.replication.factor=1".to_owned(),
        "transaction.state.log.min.isr=1".to_owned(),
        "transaction.state.log.num.partitions=3".to_owned(),
        "share.coordinator.state.topic.replication.factor=1".to_owned(),
        "share.coordinator.state.topic.min.isr=1".to_owned(),
        "group.initial.rebalance.delay.ms=0".to_owned(),
        "auto.create.topics.enable=false".to_owned(),
    ]
    .join("\n")
        + "\n"
}

/// A java that has the broker's classes.
fn java(jars: &Path, dir: &Path) -> anyhow::Result<Command> {
    let mut java = process::command("java", dir)?;
    java.args(["-Xmx1g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp"]);
    java.arg(jars.join("*"));
    Ok(java)
}

/// Starts the broker, and waits until somebody listens at its address.
pub(super) fn start(jars: &Path, dir: &Path, address: &str, stays: bool) -> anyhow::Result<Process> {
    let socket = address.to_socket_addrs().ok().and_then(|mut sockets| sockets.next());
    let socket = socket.with_context(|| format!("{address} is no address"))?;
    let mut command = java(jars, dir)?;
    command.args(["kafka.Kafka", PROPERTIES]);
    let mut process = Process::start("the broker", command, dir, stays)?;
    process
        .wait_until(START_DEADLINE, || TcpStream::connect_timeout(&socket, Duration::from_secs(1)).is_ok())?;
    Ok(process)
}
