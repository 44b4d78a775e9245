//! The broker's process.

use std::fs::File;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::ports;

/// What a broker is configured by; its folder has it.
const PROPERTIES: &str = "server.properties";

/// Writes the configuration of a new broker and formats its storage; says where it will listen.
pub(super) fn prepare(jars: &Path, dir: &Path) -> anyhow::Result<String> {
    let file = dir.join(PROPERTIES);
    if let Ok(properties) = std::fs::read_to_string(&file) {
        let listeners =
            properties.lines().find_map(|line| line.strip_prefix("advertised.listeners=PLAINTEXT://"));
        return listeners.map(str::to_owned).with_context(|| format!("{} names no listener", file.display()));
    }
    let [port, controller] = ports::free()?;
    let address = format!("127.0.0.1:{port}");
    std::fs::write(&file, properties(&address, controller, dir)).context("cannot write the configuration")?;
    // Any 16 bytes in base64 are the name of a cluster.
    let format = ["kafka.tools.StorageTool", "format", "-t", "dGlkZWdhdGUtdGVzdHMtMQ", "-c", PROPERTIES];
    let status = java(jars, dir)?.args(format).status().context("cannot run java")?;
    ensure!(status.success(), "the broker's storage could not be formatted: see {}/log", dir.display());
    Ok(address)
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

/// A java that has the broker's classes and writes to its log.
fn java(jars: &Path, dir: &Path) -> anyhow::Result<Command> {
    let log =
        File::options().create(true).append(true).open(dir.join("log")).context("cannot open its log")?;
    let mut java = Command::new("java");
    java.current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("cannot share its log")?)
        .stderr(log);
    java.args(["-Xmx1g", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.showDateTime=true", "-cp"]);
    java.arg(jars.join("*"));
    Ok(java)
}

/// A running broker. Killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Option<Child>,
    log: std::path::PathBuf,
}

impl Server {
    /// With `stays` a Ctrl-C for whoever started it is not for the broker.
    pub(super) fn start(jars: &Path, dir: &Path, stays: bool) -> anyhow::Result<Self> {
        let mut command = java(jars, dir)?;
        command.args(["kafka.Kafka", PROPERTIES]);
        if stays {
            command.process_group(0);
        }
        let child = command.spawn().context("cannot run java")?;
        Ok(Self { child: Some(child), log: dir.join("log") })
    }

    /// Waits until somebody listens there.
    pub(super) fn wait_for(&mut self, address: &str, deadline: Duration) -> anyhow::Result<()> {
        let socket = address.to_socket_addrs().ok().and_then(|mut sockets| sockets.next());
        let socket = socket.with_context(|| format!("{address} is no address"))?;
        let began = Instant::now();
        while TcpStream::connect_timeout(&socket, Duration::from_secs(1)).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                bail!("the broker ended with {status}: see {}", self.log.display());
            }
            ensure!(began.elapsed() < deadline, "the broker does not come up: see {}", self.log.display());
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(super) fn pause(&self, pause: bool) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("it was killed")?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("it has no process id")?;
        kill_process(pid, if pause { Signal::STOP } else { Signal::CONT })
            .context("it cannot be sent a signal")
    }

    pub(super) fn leave(mut self) -> u32 {
        self.child.take().map_or(0, |child| child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
