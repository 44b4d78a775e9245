//! A running service: the built program, on ports that the system chose.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::http::Client;
use super::{tidegate, wait_for};

/// A process that serves. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    out: Option<JoinHandle<String>>,
    err: Log,
}

/// What a process has logged so far.
#[derive(Debug, Default)]
struct Log {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    /// Reads it to its end, on a thread of its own.
    fn read(log: ChildStderr) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let shared = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            // What is no text is no log of ours.
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let mut text = shared.lock().expect("nobody panics with it");
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        self.text.lock().expect("nobody panics with it").clone()
    }

    /// All of it; empty when nobody read it.
    fn read_to_its_end(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        self.so_far()
    }
}

/// What a service left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `tidegate up` with short windows, on any free ports.
pub(crate) fn up(dir: &Path, data_dir: &str) -> Command {
    let mut command = tidegate(dir);
    command.args(["up", "--data-dir", data_dir, "--ingest-listen", "0", "--api-listen", "0"]);
    command.args(["--dataflow-listen", "0", "--metrics-listen", "0", "--sink-listen", "0"]);
    command
}

/// Windows of two and four seconds, a gap of two, and little to wait for.
pub(crate) const SHORT: [&str; 14] = [
    "--set",
    "jobs.event_window=2s",
    "--set",
    "jobs.performance_window=4s",
    "--set",
    "jobs.session_window=4s",
    "--set",
    "jobs.session_gap=2s",
    "--set",
    "time.watermark_bound=500ms",
    "--set",
    "time.idle_timeout=500ms",
    "--set",
    "time.quiet_journal=100ms",
];

impl Service {
    /// Starts it, and waits until it has said all its addresses and is ready.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut service = Self::spawn(command);
        let mut client = service.client("ingest");
        wait_for("the service to be ready", || {
            if let Some(status) = service.child.try_wait().expect("a child") {
                panic!("it ended with {status} before it was ready");
            }
            client.get("/v1/readyz").ok().filter(|answer| answer.status == 200)
        });
        service
    }

    /// Starts it and reads its first line, the address of `ingest`. Nobody reads its output after that, nor
    /// its log unless that is asked for.
    pub(crate) fn start_unread(command: &mut Command, is_log_read: bool) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        lines.read_line(&mut line).expect("output is text");
        drop(lines);
        let stderr = child.stderr.take().filter(|_| is_log_read);
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("http://")).expect("a URL");
        let addresses = BTreeMap::from([("ingest".to_owned(), address.parse().expect("an address"))]);
        Self { child, addresses, out: None, err: stderr.map(Log::read).unwrap_or_default() }
    }

    /// Starts it, and waits until it has said all its addresses.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_until(command, "sinks")
    }

    /// Starts it, and waits until it has said the address of its last listener.
    pub(crate) fn spawn_until(command: &mut Command, last: &str) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut err = Log::read(child.stderr.take().expect("it is piped"));
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let (mut addresses, mut said) = (BTreeMap::new(), String::new());
        while !addresses.contains_key(last) {
            let mut line = String::new();
            if lines.read_line(&mut line).expect("output is text") == 0 {
                let err = err.read_to_its_end();
                panic!("it ended before it said its addresses:\n{said}{err}");
            }
            let mut words = line.split_whitespace();
            if let Some((name, url)) = words.next().zip(words.next())
                && let Some(address) = url.strip_prefix("http://")
            {
                addresses.insert(name.to_owned(), address.parse().expect("an address"));
            }
            said.push_str(&line);
        }
        let out = std::thread::spawn(move || {
            let _ = lines.read_to_string(&mut said);
            said
        });
        Self { child, addresses, out: Some(out), err }
    }

    /// A listener's address: `ingest`, `api`, `dataflow`, `metrics` or `sinks`.
    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    /// What it has logged so far.
    pub(crate) fn logged(&self) -> String {
        self.err.so_far()
    }

    /// A client of a listener.
    pub(crate) fn client(&self, listener: &str) -> Client {
        Client::new(self.address(listener))
    }

    /// Kills it as a power cut would, as far as a process can tell.
    pub(crate) fn kill(mut self) -> Ended {
        self.child.kill().expect("a child");
        self.ended()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> Ended {
        self.signal("TERM");
        self.ended()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status().expect("there is a kill");
        assert!(sent.success(), "the process is gone");
    }

    /// Whether it has ended by itself.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Waits until it has ended.
    pub(crate) fn ended(&mut self) -> Ended {
        let status = wait_for("the service to end", || self.child.try_wait().expect("a child"));
        // What nobody reads is no text.
        let out = self.out.take().map(|reader| reader.join().expect("the reader does not panic"));
        Ended { status, out: out.unwrap_or_default(), err: self.err.read_to_its_end() }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
