//! A Sentinel: it watches one master, and makes a replica the master when that one is gone.

use std::path::Path;

use anyhow::Context;

use super::server::start_as;
use super::{Reply, command, installed};
use crate::ports;
use crate::process::{self, Process};

/// Its configuration, which it also keeps its state in.
const CONFIGURATION: &str = "sentinel.conf";

/// A Sentinel of our own, alone: its vote decides. It ends when this is dropped.
#[derive(Debug)]
pub struct Sentinel {
    _process: Process,
    address: String,
}

impl Sentinel {
    /// Starts one in a new `dir` that watches the master at an address, `host:port`, under a name. It takes a
    /// master for gone after half a second.
    ///
    /// # Errors
    /// When it is not installed or does not come up; what is missing is named.
    pub fn start(dir: &Path, name: &str, master: &str) -> anyhow::Result<Self> {
        installed()?;
        let dir = process::folder(dir)?;
        let [port] = ports::free()?;
        let (host, master_port) = master.rsplit_once(':').context("the master has no port")?;
        let lines = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {name} {host} {master_port} 1\n\
             sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 5000\n"
        );
        std::fs::write(dir.join(CONFIGURATION), lines).context("cannot write its configuration")?;
        let address = format!("127.0.0.1:{port}");
        let arguments = [CONFIGURATION, "--sentinel"];
        let process = start_as("the Sentinel", &dir, &arguments, &address, false)?;
        Ok(Self { _process: process, address })
    }

    /// Where it listens: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where the master of that name is now: `host:port`.
    ///
    /// # Errors
    /// When it does not answer, or knows none.
    pub fn master(&self, name: &str) -> anyhow::Result<String> {
        let words = ["SENTINEL", "get-master-addr-by-name", name];
        let Reply::List(parts) = command(&self.address, &words)? else {
            anyhow::bail!("the Sentinel knows no master {name}")
        };
        let parts =
            parts.into_iter().filter_map(|part| if let Reply::Text(part) = part { Some(part) } else { None });
        Ok(parts.collect::<Vec<_>>().join(":"))
    }
}
