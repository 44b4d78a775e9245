//! A server in a process of its own, so that its processor time is not that of the load.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use hyper::Method;
use tidegate::client::{Client, Target};

use crate::clock;

/// How long it may take to start, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    urls: BTreeMap<String, String>,
}

impl Server {
    /// Starts a program in a folder, and waits until it is ready.
    pub(crate) fn start(program: &Path, folder: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.env_clear().current_dir(folder).args(arguments);
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(folder.join("log"))?);
        let child = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
        let mut server = Self { child, urls: BTreeMap::new() };
        let mut lines = BufReader::new(server.child.stdout.take().context("it is piped")?);
        while !server.urls.contains_key("sinks") {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                let log = std::fs::read_to_string(folder.join("log"))?;
                anyhow::bail!("`{command:?}` ended before it said where it listens: {log}");
            }
            let mut words = line.split_whitespace();
            if let Some((name, url)) = words.next().zip(words.next()) {
                server.urls.insert(name.to_owned(), url.to_owned());
            }
        }
        // Whatever it says later is not read, but must not block it.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if get(self.url("ingest")?, "/v1/readyz").is_ok() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "it is not ready after {PATIENCE:?}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// The URL of one of its listeners.
    pub(crate) fn url(&self, listener: &str) -> anyhow::Result<&str> {
        self.urls.get(listener).map(String::as_str).with_context(|| format!("it has no listener {listener}"))
    }

    /// What it has worked so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        clock::of_process(self.child.id()).context("the system does not tell what a process works")
    }

    /// Measures something of it, and has it end.
    pub(crate) fn measured<T>(self, measure: impl FnOnce(&Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let measured = measure(&self)?;
        self.end()?;
        Ok(measured)
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn end(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        ensure!(Command::new("kill").args(["-s", "TERM", &pid]).status()?.success(), "it is gone already");
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "it has not ended after {PATIENCE:?}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks once, on a runtime of its own.
pub(crate) fn get(url: &str, path: &str) -> anyhow::Result<String> {
    let target = Arc::new(Target::parse(url, path)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut client = Client::new(target, Duration::from_secs(10));
    let answer = runtime.block_on(client.send(Method::GET, bytes::Bytes::new()))?;
    ensure!(answer.status.is_success(), "{url}{path} answered {}", answer.status);
    Ok(String::from_utf8(answer.body.to_vec())?)
}
