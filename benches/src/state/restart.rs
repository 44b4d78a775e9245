//! A start of a run whose log holds open sessions: from the opening of its log until it is where the last run
//! ended, and goes on live.

use std::path::Path;
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

use anyhow::{Context, ensure};
use tidegate_dataflow::settings::JobSettings;
use tidegate_log::embedded::{EmbeddedLog, Options};
use tidegate_log::{EventAppender as _, NewEvent};
use tidegate_runner::clock::SystemClock;
use tidegate_runner::observer::CommitFacts;
use tidegate_runner::{
    Accept, Clock as _, Entropy, ObjectSnapshots, Observer, Parts, RunnerConfig, Running, Script,
    SnapshotLimits, SnapshotStore, recover, start,
};

use crate::measure::{By, Done, Group};
use crate::{Scale, Table, scratch};

/// Events of an append.
const APPEND_EVENTS: usize = 10_000;
/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(1);

struct Fixed;

impl Entropy for Fixed {
    fn secret(&mut self) -> (u64, u64) {
        (11, 7)
    }
}

struct Nobody;

impl Observer for Nobody {
    fn committed(&mut self, _: &CommitFacts<'_>) {}
}

/// Measures starts.
///
/// # Errors
/// When a file cannot be written or read, or a run fails.
pub(super) fn measure(scale: Scale, count: usize) -> anyhow::Result<Table> {
    let folder = scratch::folder()?;
    let dir = folder.path();
    fill(dir, count)?;
    let bytes = usize::try_from(read_objects(dir)?)?;
    let title = "A start with open sessions, until it is live, two workers";
    Group::new(title, By::Wall, "sessions", count, bytes)
        .ceiling("reading the snapshot's files", || {
            let mut read = Ok(0);
            let done = Done::by(|| read = read_objects(dir), |()| ());
            ensure!(read? == bytes as u64, "the files are as they were");
            Ok(done)
        })
        .case("from the snapshot", || started(dir, count, true))
        .case("by a replay of every event", || started(dir, count, false))
        .measure(scale)
}

/// A run that has an event for each session read, and ends with a snapshot.
fn fill(dir: &Path, count: usize) -> anyhow::Result<()> {
    let (log, running) = run(dir, true)?;
    let appender = log.appender();
    let now = SystemClock.now().as_millis();
    for first in (0..count).step_by(APPEND_EVENTS) {
        let event = |number: usize| {
            let user = format!("u{number:011}");
            let value = format!(
                r#"{{"event":{{"id":"00000000-0000-4000-8000-000000000000","type":"page_view"}},"user":{{"id":"{user}"}},"#,
            ) + &format!(
                r#""device":{{"user_agent":"Mobile","screen_width":1,"screen_height":1}},"context":{{"url":"http://a.example/","session_id":"s{number:019}"}},"properties":{{}},"metrics":{{}},"timestamp":{now}}}"#,
            );
            NewEvent { partition: appender.partition_of(&user), key: user, value: value.into() }
        };
        appender.append_blocking((first..count.min(first + APPEND_EVENTS)).map(event).collect())?;
    }
    wait(&running, || open_sessions(&running) == count)?;
    running.stop();
    running.join()?;
    Ok(())
}

/// Starts a run that goes on from there, and ends it without a trace.
fn started(dir: &Path, count: usize, with_snapshots: bool) -> anyhow::Result<Done> {
    let mut ran = Err(anyhow::anyhow!("it has not run"));
    let done = Done::by(
        || {
            ran = run(dir, with_snapshots).and_then(|(log, running)| {
                wait(&running, || running.status().progress().recovered)?;
                Ok((log, running))
            });
        },
        |()| (),
    );
    let (_log, running) = ran?;
    let open = open_sessions(&running);
    ensure!(open == count, "{open} of {count} sessions are open");
    running.handle().abort();
    running.join()?;
    let note = format!("{:.2} s", done.took.wall.as_secs_f64());
    Ok(done.noted(note))
}

fn run(dir: &Path, with_snapshots: bool) -> anyhow::Result<(EmbeddedLog, Running)> {
    let snapshots = if with_snapshots {
        Some(Arc::new(ObjectSnapshots::in_folder(&dir.join("snapshots"))?) as Arc<dyn SnapshotStore>)
    } else {
        None
    };
    let log = EmbeddedLog::open(dir, Options::default())?;
    let mut journal = log.journal();
    let jobs = JobSettings::default();
    let store = snapshots.as_deref();
    let recovery =
        recover(&mut journal, &jobs, Accept::default(), &mut log.reader(), store, &SystemClock, &mut Fixed)?;
    ensure!(
        recovery.snapshot.is_some() == (with_snapshots && recovery.origin.is_none()),
        "a run with snapshots starts from one"
    );
    let running = start(Parts {
        config: RunnerConfig {
            workers: 2,
            jobs,
            // One at the end.
            snapshots: SnapshotLimits {
                records: u64::MAX,
                every_ms: i64::MAX,
                history_epochs: 0,
                last_wait_ms: i64::MAX,
            },
            ..RunnerConfig::default()
        },
        recovery,
        journal,
        open_reader: || log.reader(),
        script: Script::Live,
        clock: Arc::new(SystemClock),
        snapshots,
        observer: Box::new(Nobody),
    })?;
    Ok((log, running))
}

fn open_sessions(running: &Running) -> usize {
    let open = running.status().progress().newest.map_or(0, |newest| newest.open.total().sessions);
    usize::try_from(open).expect("no fewer than none")
}

fn wait(running: &Running, done: impl Fn() -> bool) -> anyhow::Result<()> {
    while !done() {
        ensure!(!running.is_over(), "the run ended: {:?}", running.status().progress().failure);
        park_timeout(LOOK);
    }
    Ok(())
}

/// Reads all of the snapshot, and says how long it is.
fn read_objects(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir.join("snapshots")).context("a run ends with a snapshot")? {
        bytes += std::fs::read(entry?.path())?.len() as u64;
    }
    Ok(bytes)
}
