//! Live runs on the embedded log: committed once, replayed by any number of workers.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tidegate_dataflow::settings::JobSettings;
use tidegate_log::embedded::{EmbeddedLog, Options};
use tidegate_log::{EventAppender as _, EventReader as _, Journal as _, NewEvent, RowReader as _};
use tidegate_model::{EventTime, Offset, PartitionId};
use tidegate_runner::{Clock, Cut, Cuts, Entropy, Parts, RunnerConfig, Running, Script, recover, start};

const NOON_MS: i64 = 1_600_000_200_000;

/// A clock that a test moves.
#[derive(Clone)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> EventTime {
        EventTime::from_millis(self.0.load(Ordering::SeqCst))
    }
}

struct Fixed;

impl Entropy for Fixed {
    fn secret(&mut self) -> (u64, u64) {
        (5, 6)
    }
}

struct Deployment {
    log: EmbeddedLog,
    running: Running,
    clock: Hand,
}

fn open(dir: &Path, workers: usize, clock_ms: i64) -> Deployment {
    open_with(dir, workers, clock_ms, Script::Live)
}

fn open_with(dir: &Path, workers: usize, clock_ms: i64, script: Script) -> Deployment {
    let clock = Hand(Arc::new(AtomicI64::new(clock_ms)));
    let log_clock = clock.clone();
    let options = Options { partitions: 3, ..Options::default() };
    let files = Arc::new(tidegate_log::embedded::files::Disk::default());
    let log = EmbeddedLog::open_with(dir, options, files, Arc::new(move || log_clock.now())).expect("opens");
    let mut journal = log.journal();
    let recovered = journal.recover().expect("reads");
    let jobs = JobSettings { session_gap_ms: 30_000, ..JobSettings::default() };
    let recovery = recover(recovered, &jobs, &mut log.reader(), &clock, &mut Fixed).expect("recovers");
    let parts = Parts {
        // The hand moves the clock faster than any worker works.
        config: RunnerConfig {
            epoch_timeout_ms: i64::MAX,
            workers,
            jobs,
            tick_ms: 0,
            ..RunnerConfig::default()
        },
        recovery,
        journal,
        open_reader: || log.reader(),
        script,
        clock: Arc::new(clock.clone()) as Arc<dyn Clock>,
    };
    let running = start(parts).expect("starts");
    Deployment { log, running, clock }
}

impl Deployment {
    fn append(&self, user: &str, time_ms: i64) {
        let appender = self.log.appender();
        let value = format!(
            r#"{{"event":{{"id":"00000000-0000-4000-8000-000000000000","type":"page_view"}},"user":{{"id":"{user}"}},
            "device":{{"user_agent":"Mobile","screen_width":1,"screen_height":1}},
            "context":{{"url":"http://a.example/","session_id":"s"}},"properties":{{}},
            "metrics":{{"load_time":{}}},"timestamp":{time_ms}}}"#,
            time_ms % 1000
        );
        let partition = appender.partition_of(user);
        appender.append_blocking(vec![NewEvent { partition, value: value.into() }]).expect("appends");
    }

    /// Moves the clock until `done`; fails when that takes too long.
    fn until(&self, what: &str, step_ms: i64, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !done(self) {
            assert!(!self.running.is_over(), "the run ended before {what}");
            assert!(
                Instant::now() < deadline,
                "{what} took too long: {:?}",
                self.running.status().progress()
            );
            self.clock.0.fetch_add(step_ms, Ordering::SeqCst);
            std::thread::yield_now();
        }
    }

    fn accepted(&self) -> u64 {
        let progress = self.running.status().progress();
        assert!(progress.ledger.adds_up(), "{:?}", progress.ledger);
        progress.ledger.jobs.get("SessionTracker").map_or(0, |counts| counts.accepted)
    }

    fn frontier_ms(&self) -> i64 {
        self.running.status().progress().frontier.as_millis()
    }

    fn stop(self) -> Vec<String> {
        self.running.stop();
        self.running.join().expect("ends in order");
        rows(&self.log)
    }
}

/// All rows of the log: topic, op, JSON; provisional ones left aside.
fn rows(log: &EmbeddedLog) -> Vec<String> {
    let mut reader = log.row_reader().expect("opens");
    let mut rows = Vec::new();
    for topic in [
        "event_metrics",
        "session_metrics",
        "performance_metrics",
        "session_window_metrics",
        "dropped_events",
    ] {
        let mut from = Offset::ZERO;
        loop {
            let next = reader
                .read(topic, PartitionId(0), from, 1_000, &mut |row| {
                    let value = String::from_utf8_lossy(row.value).into_owned();
                    rows.push(format!("{topic} {} {value}", row.op.as_str()));
                })
                .expect("reads");
            if next == from {
                break;
            }
            from = next;
        }
    }
    rows
}

/// No key of a table may be final twice.
fn assert_no_duplicates(rows: &[String]) {
    let mut seen = BTreeMap::new();
    for row in rows {
        *seen.entry(row).or_insert(0) += 1;
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:#?}");
}

#[test]
fn restarts_with_other_workers_say_nothing_twice_and_forget_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = open(dir.path(), 2, NOON_MS);
    for second in 0..90 {
        first.append(&format!("u{}", second % 5), NOON_MS + second * 1_000);
        first.clock.0.store(NOON_MS + second * 1_000, Ordering::SeqCst);
    }
    first.until("the events are committed", 0, |it| it.accepted() == 90);
    let frontier = first.frontier_ms();
    let rows_before = first.stop();
    assert_no_duplicates(&rows_before);

    // Another number of workers replays what is bound and goes on; nothing is said again.
    let now = NOON_MS + 90_000;
    let second = open(dir.path(), 4, now);
    second.until("the replay", 0, |it| it.running.status().progress().live());
    assert!(second.frontier_ms() >= frontier);
    second.append("u0", now);
    second.until("the new event is committed", 0, |it| it.accepted() == 91);
    second.until("every session is closed", 20, |it| it.frontier_ms() > now + 30_000 + 330_000);
    let rows_after = second.stop();
    assert_no_duplicates(&rows_after);
    assert!(rows_before.iter().all(|row| rows_after.contains(row)), "what was said stands");
    let sessions: Vec<_> = rows_after.iter().filter(|row| row.starts_with("session_metrics")).collect();
    assert_eq!(sessions.len(), 5, "{sessions:#?}");
    assert!(
        sessions.iter().any(|row| row.contains(r#""user_id":"u0""#) && row.contains(r#""page_count":19"#))
    );

    // Nothing new: a third start changes nothing at all.
    let third = open(dir.path(), 1, now + 1_000_000);
    third.until("the replay", 0, |it| it.running.status().progress().live());
    assert_eq!(third.stop(), rows_after);
}

#[test]
fn an_event_of_the_future_and_a_broken_one_are_kept_as_they_came() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = open(dir.path(), 2, NOON_MS);
    run.append("u1", NOON_MS + 61_000);
    let appender = run.log.appender();
    let broken = NewEvent { partition: PartitionId(0), value: b"{\"event\":".to_vec() };
    appender.append_blocking(vec![broken]).expect("the log takes any bytes");
    run.until("both are committed", 0, |it| it.accepted() == 2);
    let progress = run.running.status().progress();
    let counts = progress.ledger.jobs["EventAggregator"];
    assert_eq!((counts.future, counts.rejected, counts.counted), (1, 1, 0));
    let rows = run.stop();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    assert!(rows.iter().any(|row| row == "dropped_events final {\"event\":"), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("\"user\":{\"id\":\"u1\"}")), "{rows:#?}");
}

/// A bounded run over cuts of which each holds ten events of one busy user; a second user, in another
/// partition, has a single event in the fourth. Returns the frontier of every binding.
fn frontiers_of_bounded_run(all_appended_first: bool) -> Vec<i64> {
    let dir = tempfile::tempdir().expect("a directory");
    let cuts = Cuts::default();
    let run = open_with(dir.path(), 2, NOON_MS + 1_000_000, Script::Bounded(cuts.clone()));
    let appender = run.log.appender();
    let other = (0..1_000)
        .map(|i| format!("u{i}"))
        .find(|user| appender.partition_of(user) != appender.partition_of("busy"));
    let other = other.expect("there are three partitions");
    let mut ends = Vec::new();
    for cut in 0..6_i64 {
        for event in 0..10 {
            run.append("busy", NOON_MS + cut * 100_000 + event * 10_000);
        }
        if cut == 3 {
            run.append(&other, NOON_MS + cut * 100_000);
        }
        let mut reader = run.log.reader();
        let partitions = reader.partitions().expect("there are some");
        let end = |id| (id, reader.bounds(id).expect("it is there").end);
        ends.push(partitions.into_iter().map(end).collect::<BTreeMap<_, _>>());
        if !all_appended_first {
            push(&run, &cuts, cut, ends[ends.len() - 1].clone());
        }
    }
    if all_appended_first {
        for (cut, ends) in (0..).zip(ends) {
            push(&run, &cuts, cut, ends);
        }
    }
    run.running.waker().wake();
    run.running.join().expect("ends in order");
    let bindings = run.log.journal().recover().expect("reads").bindings;
    bindings.iter().map(|binding| binding.close_to.as_millis()).collect()
}

fn push(run: &Deployment, cuts: &Cuts, cut: i64, ends: BTreeMap<PartitionId, Offset>) {
    let now = EventTime::from_millis(NOON_MS + cut * 100_000 + 90_000);
    cuts.push(Cut { ends, now, last: cut == 5 }, Duration::ZERO).expect("there is room");
    run.running.waker().wake();
}

#[test]
fn a_bounded_run_does_not_depend_on_how_far_its_writer_is_ahead() {
    let step_by_step = frontiers_of_bounded_run(false);
    assert_eq!(step_by_step.len(), 6, "{step_by_step:?}");
    assert_eq!(frontiers_of_bounded_run(true), step_by_step);
}
