//! The roles as processes around a broker, with topics of their own.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::common::service::{SHORT, Service};
use crate::common::{run, tidegate};

/// How long processes may take to find each other.
const PATIENCE: Duration = Duration::from_mins(2);

/// Starts a role's command, and waits until it has said its addresses.
pub(crate) fn start(role: &str, command: &mut Command) -> Service {
    let last = ROLES.iter().find(|(name, _)| *name == role).expect("a role").1;
    Service::spawn_until(command, last)
}

/// Starts processes that wait for each other, and waits until all have said their addresses. When one of them does not
/// start, the others wait for ever: they are not waited for.
pub(crate) fn start_all(role: &'static str, commands: Vec<Command>) -> Vec<Service> {
    let (sender, started) = channel();
    let count = commands.len();
    for (at, mut command) in commands.into_iter().enumerate() {
        let sender = sender.clone();
        // Whoever waits is gone only when the test has failed.
        std::thread::spawn(move || drop(sender.send((at, start(role, &mut command)))));
    }
    let mut all = BTreeMap::new();
    while all.len() < count {
        let (at, service) = started.recv_timeout(PATIENCE).expect("every process says its addresses");
        all.insert(at, service);
    }
    all.into_values().collect()
}

/// A role that is started again whenever it ends, as whoever runs it does.
pub(crate) struct Kept {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    log: NamedTempFile,
}

impl Kept {
    pub(crate) fn start(mut command: Command) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ends);
        let log = NamedTempFile::new().expect("a temporary file");
        // One after the other writes at its end.
        let end = || OpenOptions::new().append(true).open(log.path()).expect("it is there");
        command.stdout(Stdio::null()).stderr(end());
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let mut child = command.spawn().expect("the program starts");
                while !over.load(Ordering::Relaxed) && child.try_wait().expect("a child").is_none() {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
            }
        });
        Self { ends, thread: Some(thread), log }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if std::thread::panicking() {
            println!("its log:\n{}", std::fs::read_to_string(self.log.path()).unwrap_or_default());
        }
    }
}

/// A deployment, and the folder of its processes.
pub(crate) struct Stack {
    dir: TempDir,
    name: String,
    bootstrap: String,
    /// Further settings of every process.
    pub(crate) settings: Vec<String>,
}

/// Every role, with its last listener.
pub(crate) const ROLES: [(&str, &str); 4] =
    [("ingest", "ingest"), ("dataflow", "metrics"), ("sink", "sinks"), ("cache-api", "api")];

impl Stack {
    pub(crate) fn new(bootstrap: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("up-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = TempDir::new().expect("a temporary directory");
        Self { dir, name, bootstrap: bootstrap.to_owned(), settings: Vec::new() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What a table's topic is called.
    pub(crate) fn topic(&self, table: &str) -> String {
        format!("{}-{table}", self.name)
    }

    /// A role's command, on any free port.
    pub(crate) fn command(&self, role: &str) -> Command {
        let mut command = self.tool(&[role]);
        let listen: &[&str] = match role {
            "ingest" => &["--ingest-listen", "0"],
            "dataflow" => &["--dataflow-listen", "0", "--metrics-listen", "0", "--data-dir", "data"],
            "sink" => &["--sink-listen", "0", "--data-dir", "data"],
            _ => &["--api-listen", "0"],
        };
        command.args(listen);
        command
    }

    /// A command for this deployment, and for this broker.
    pub(crate) fn tool(&self, args: &[&str]) -> Command {
        let mut command = tidegate(self.dir());
        command.args(args).args(["--log", &format!("kafka://{}", self.bootstrap)]).args(SHORT);
        command.args(["--set", &format!("deployment={}", self.name)]);
        let topics = ["event_metrics", "session_metrics", "performance_metrics", "session_window_metrics"];
        for topic in topics.iter().chain(&["events", "live_metrics", "dropped_events"]) {
            command.args(["--set", &format!("topics.{topic}={}", self.topic(topic))]);
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// What became of every event, for whoever asks Kafka.
    pub(crate) fn ledger(&self) -> serde_json::Value {
        let (log, deployment) = (format!("kafka://{}", self.bootstrap), format!("deployment={}", self.name));
        let mut command = tidegate(self.dir());
        command.args(["ledger", "--log", &log, "--set", &deployment, "--format", "json"]);
        let ran = run(&mut command);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        serde_json::from_str(&ran.out).expect("an object")
    }

    /// Starts a role.
    pub(crate) fn start(&self, role: &str) -> Service {
        self.start_with(role, &[])
    }

    /// Starts a role with further arguments.
    pub(crate) fn start_with(&self, role: &str, args: &[&str]) -> Service {
        start(role, self.command(role).args(args))
    }
}
