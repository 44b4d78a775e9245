//! Running the built program in an environment of its own.

#[allow(dead_code, reason = "not every test binary fills a disk")]
pub(crate) mod disk;
#[allow(dead_code, reason = "not every test binary talks to a service")]
pub(crate) mod http;
#[allow(dead_code, reason = "not every test binary talks to a service")]
pub(crate) mod service;
#[allow(dead_code, reason = "not every test binary needs a server to talk to")]
pub(crate) mod stub;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The program, in a directory and an environment in which nothing is set.
pub(crate) fn tidegate(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.current_dir(dir).env_clear();
    command
}

/// A file of tests/data.
#[allow(dead_code, reason = "not every test binary reads a sample")]
pub(crate) fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ran {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_mins(4);

/// The rows that a query gives, as JSON objects.
#[allow(dead_code, reason = "not every test binary looks into the tables")]
pub(crate) fn query(dir: &Path, sql: &str) -> Vec<serde_json::Value> {
    let ran = run(tidegate(dir).args(["query", sql, "--format", "json", "--data-dir", "data"]));
    assert_eq!(ran.code, Some(0), "{sql}: {}", ran.err);
    ran.out.lines().map(|line| serde_json::from_str(line).expect("a row is an object")).collect()
}

/// Looks again and again until `found` gives something; `what` is said when it never does.
#[allow(dead_code, reason = "not every test binary waits")]
pub(crate) fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Starts a command and kills it as soon as `reached` says so. `false` when it ended before that.
#[allow(dead_code, reason = "not every test binary kills")]
pub(crate) fn kill_when(command: &mut Command, mut reached: impl FnMut() -> bool) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let ended = wait_for("the moment to kill", || match child.try_wait().expect("a child") {
        Some(status) => Some(Some(status)),
        None => reached().then_some(None),
    });
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(0), "it failed before it could be killed");
        return false;
    }
    child.kill().expect("a child");
    // It may have ended by itself in between.
    child.wait().expect("a child").code().is_none()
}

/// The machine's clock, in milliseconds; a service on the same machine has the same.
#[allow(dead_code, reason = "not every test binary sends events of now")]
#[expect(clippy::disallowed_methods, reason = "a client has a clock of its own")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_millis()).expect("it is")
}

/// The bytes of all files under a directory; 0 when there is none.
#[allow(dead_code, reason = "not every test binary measures")]
pub(crate) fn bytes_under(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// The tables of rows, the columns that say when a row came left out.
#[allow(dead_code, reason = "not every test binary compares tables")]
pub(crate) const TABLES: [(&str, &str); 5] = [
    ("event_metrics", "window_start, window_end, event_type, event_count, user_count"),
    ("session_metrics", "session_id, user_id, start_time, end_time, duration, page_count, device_category"),
    ("performance_metrics", "window_start, window_end, device_category, avg_load_time, p95_load_time"),
    (
        "session_window_metrics",
        "window_start, window_end, device_category, sessions, bounces, avg_duration, avg_page_count",
    ),
    ("dropped_events", "reason, job, partition, \"offset\", record"),
];

/// Everything that the data directory answers: each table but for the versions of its rows, and the ledger.
#[allow(dead_code, reason = "not every test binary compares tables")]
pub(crate) fn everything(dir: &Path, data_dir: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (table, columns) in TABLES {
        let columns = format!("{columns}, log_partition, log_offset");
        let sql = format!("SELECT {columns} FROM {table} ORDER BY {columns}");
        let ran = run(tidegate(dir).args(["query", &sql, "--format", "csv", "--data-dir", data_dir]));
        assert_eq!(ran.code, Some(0), "{sql}: {}", ran.err);
        all.push((table.to_owned(), ran.out));
    }
    let ledger = run(tidegate(dir).args(["ledger", "--format", "json", "--data-dir", data_dir]));
    assert_eq!(ledger.code, Some(0), "{}{}", ledger.out, ledger.err);
    all.push(("ledger".to_owned(), ledger.out));
    all
}

/// Fails with the first lines that differ, table by table.
#[allow(dead_code, reason = "not every test binary compares tables")]
pub(crate) fn assert_same(found: &[(String, String)], expected: &[(String, String)], when: &str) {
    assert_eq!(found.len(), expected.len());
    for ((table, found), (_, expected)) in found.iter().zip(expected) {
        if found != expected {
            let count = (found.lines().count(), expected.lines().count());
            let at = found.lines().zip(expected.lines()).position(|(found, expected)| found != expected);
            let at = at.unwrap_or(count.0.min(count.1));
            panic!(
                "{when}: {table} differs at line {at} of {count:?}:\n found    {:?}\n expected {:?}",
                found.lines().nth(at),
                expected.lines().nth(at)
            );
        }
    }
}

/// Numbers that look random and are the same in every run.
#[allow(dead_code, reason = "not every test binary makes an input")]
pub(crate) struct Seeded(pub(crate) u64);

#[allow(dead_code, reason = "not every test binary makes an input")]
impl Seeded {
    /// The next number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// One of `choices`.
    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).expect("a small number")]
    }
}

/// An event as a test sees it.
#[allow(dead_code, reason = "not every test binary makes an input")]
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) agent: String,
    pub(crate) load_time: Option<i64>,
    /// Milliseconds since 1970.
    pub(crate) time: i64,
}

#[allow(dead_code, reason = "not every test binary makes an input")]
impl Event {
    /// A page view of `user`, at `time`.
    pub(crate) fn page_view(user: &str, time: i64) -> Self {
        let (user, session) = (user.to_owned(), format!("s-{user}"));
        Self { kind: "page_view", user, session, agent: "a".to_owned(), load_time: None, time }
    }

    /// Its line, in the form of the tracking endpoint.
    pub(crate) fn line(&self) -> String {
        let Self { kind, user, session, agent, load_time, time } = self;
        let metrics = load_time.map_or(String::new(), |time| format!("\"load_time\":{time}"));
        format!(
            "{{\"event\":{{\"type\":\"{kind}\"}},\"user\":{{\"id\":\"{user}\"}},\"device\":\
             {{\"user_agent\":\"{agent}\",\"screen_width\":1,\"screen_height\":1}},\"context\":\
             {{\"url\":\"http://a.example/\",\"session_id\":\"{session}\"}},\"metrics\":{{{metrics}}},\
             \"timestamp\":{time}}}\n"
        )
    }
}

/// The lines of events, in their order.
#[allow(dead_code, reason = "not every test binary makes an input")]
pub(crate) fn lines(events: &[Event]) -> String {
    events.iter().map(Event::line).collect()
}
