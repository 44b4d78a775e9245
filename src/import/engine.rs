//! The bounded run behind `tidegate import`: lines into the log, cut into epochs at fixed numbers of
//! events, until the end of the input closes every window.
//!
//! Where epochs are cut, and the clock that they are cut with, follow from the lines alone. So the rows
//! of an import are a function of its input, however often it was interrupted: a resumed run meets the
//! same events at the same offsets, leaves out those that the log holds already, and cuts where the
//! first one would have cut. (One thing is not in the lines: when they were appended. It matters to events
//! of the last minutes before the import, and to those of the future.)

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tidegate_log::embedded::{EmbeddedAppender, EmbeddedLog, ImportBegun, ImportState, Receipt};
use tidegate_log::{AppendError, EventAppender as _, EventReader as _, NewEvent};
use tidegate_model::{Epoch, EventTime, Ledger, Offset, PartitionId};
use tidegate_runner::clock::SystemClock;
use tidegate_runner::{Accept, Clock as _, Cut, Cuts, Recovery, Running, Script};

use super::progress::Bar;
use super::{Fingerprint, LineEvent, LineEvents};
use crate::assembly::{Dataflow, Log, Pipeline, Watchers, open_log, recover_from, tidy};
use crate::config::Config;
use crate::exit::{CommandError, Exit};

/// Events of one epoch, and bytes of one epoch, whichever is reached first.
const CUT_EVENTS: u64 = 65_536;
const CUT_BYTES: usize = 64 << 20;
/// Events of one append, and bytes of one append, whichever is reached first.
const APPEND_EVENTS: usize = 8_192;
const APPEND_BYTES: usize = 4 << 20;
/// How often a full queue of cuts is looked at again.
const CUT_PATIENCE: Duration = Duration::from_millis(200);

/// An import under way.
pub(crate) struct Engine {
    log: Log,
    appender: EmbeddedAppender,
    pipeline: Pipeline,
    cuts: Cuts,
    name: String,
    /// The end of each partition when the import began, its own earlier runs left out.
    base: BTreeMap<PartitionId, Offset>,
    /// Records of this import that an earlier run appended.
    done: BTreeMap<PartitionId, u64>,
    /// Records of this import met so far.
    met: BTreeMap<PartitionId, u64>,
    /// Ends that are bound already: cuts up to here were made by an earlier run.
    bound: BTreeMap<PartitionId, Offset>,
    waiting: Vec<NewEvent>,
    waiting_bytes: usize,
    /// The append that is under way. There is never more than one: were a later one to succeed where an
    /// earlier one failed, the log would have a hole that no count of records could tell.
    under_way: Option<Receipt>,
    epoch_events: u64,
    epoch_bytes: usize,
    /// The clock of the input: the largest event time met, but never ahead of the machine's.
    now: EventTime,
    /// The newest epoch that is not of this import.
    before: Epoch,
}

/// What an import left behind.
#[derive(Debug)]
pub(crate) struct Imported {
    /// Totals of the data directory.
    pub(crate) ledger: Ledger,
    /// Rows with a greater version are of this import.
    pub(crate) before: Epoch,
    /// Events that an earlier run had appended.
    pub(crate) resumed: u64,
}

impl Engine {
    /// Opens the data directory, and refuses where the rows would be wrong.
    pub(crate) fn start(
        config: &Config,
        lines: &LineEvents,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Self, CommandError> {
        let name = name_of(config, fingerprint);
        let log = Log::from(open_beside_nothing(config, &name)?);
        let recovered = recover_from(&log, config, config.import_job_settings(), Accept::default())?;
        let recovery = &recovered.recovery;
        let state = own(&log).import_state(&name).map_err(failure)?;
        if state != ImportState::Unfinished {
            refuse_what_is_past(recovery, lines, state, &config.data_dir)?;
        }
        let bound = recovery.time.partitions.iter().map(|(id, state)| (*id, state.end)).collect();
        let replay = Replay::of(recovery);
        let newest = Epoch(recovery.next.0 - 1);
        let cuts = Cuts::default();
        let script = Script::Bounded(cuts.clone());
        let pipeline = Pipeline::start(
            &log,
            config,
            config.import_time_settings(),
            Dataflow::First(Box::new(recovered), None),
            script,
            Watchers::none(),
        )?;
        // Only now is it sure that something will be appended.
        let ImportBegun { done, before } = own(&log).import_begin(&name, newest).map_err(failure)?;
        let mut reader = log.reader();
        let mut base = BTreeMap::new();
        for partition in reader.partitions().map_err(failure)? {
            let end = reader.bounds(partition).map_err(failure)?.end;
            let own = done.get(&partition).copied().unwrap_or(0);
            base.insert(partition, Offset(end.0 - own));
        }
        replay.wait(&pipeline);
        let appender = own(&log).appender();
        Ok(Self {
            log,
            appender,
            pipeline,
            cuts,
            name,
            base,
            done,
            met: BTreeMap::new(),
            bound,
            waiting: Vec::with_capacity(APPEND_EVENTS),
            waiting_bytes: 0,
            under_way: None,
            epoch_events: 0,
            epoch_bytes: 0,
            now: EventTime::MIN,
            before,
        })
    }

    /// Takes the next event.
    pub(crate) fn event(&mut self, event: &LineEvent<'_>) -> Result<(), CommandError> {
        let partition = self.appender.partition_of(event.user_id);
        let met = self.met.entry(partition).or_default();
        *met += 1;
        if *met > self.done.get(&partition).copied().unwrap_or(0) {
            self.waiting_bytes += event.json.len();
            self.waiting.push(NewEvent {
                partition,
                key: event.user_id.to_owned(),
                value: event.json.to_vec(),
            });
            if self.waiting.len() == APPEND_EVENTS || self.waiting_bytes >= APPEND_BYTES {
                self.append()?;
            }
        }
        self.now = self.now.max(event.time);
        self.epoch_events += 1;
        self.epoch_bytes += event.json.len();
        if self.epoch_events == CUT_EVENTS || self.epoch_bytes >= CUT_BYTES {
            self.cut(false)?;
        }
        Ok(())
    }

    /// Ends the input: everything is closed, committed and stored.
    pub(crate) fn finish(mut self, config: &Config) -> Result<Imported, CommandError> {
        self.cut(true)?;
        running(&self.pipeline).handle().wake();
        let progress = self.pipeline.finish()?.expect("an import runs the dataflow");
        own(&self.log).import_finish(&self.name).map_err(failure)?;
        while tidy(own(&self.log), config, progress.snapshots.events_from.clone(), false)? {}
        drop(self.log);
        let resumed = self.done.values().sum();
        Ok(Imported { ledger: progress.ledger, before: self.before, resumed })
    }

    /// Sends what waits to the log, once everything before it is durable.
    fn append(&mut self) -> Result<(), CommandError> {
        self.settle()?;
        if !self.waiting.is_empty() {
            let events = std::mem::replace(&mut self.waiting, Vec::with_capacity(APPEND_EVENTS));
            self.waiting_bytes = 0;
            self.under_way = Some(self.appender.submit_blocking(events).map_err(not_appended)?);
        }
        Ok(())
    }

    /// Waits until everything sent is durable.
    fn settle(&mut self) -> Result<(), CommandError> {
        if let Some(receipt) = self.under_way.take() {
            receipt.wait().map_err(not_appended)?;
        }
        Ok(())
    }

    /// Ends an epoch here, unless an earlier run has.
    fn cut(&mut self, last: bool) -> Result<(), CommandError> {
        (self.epoch_events, self.epoch_bytes) = (0, 0);
        self.append()?;
        self.settle()?;
        let end = |(partition, base): (&PartitionId, &Offset)| {
            (*partition, base.plus(self.met.get(partition).copied().unwrap_or(0)))
        };
        let ends: BTreeMap<_, _> = self.base.iter().map(end).collect();
        let is_bound = ends.iter().all(|(id, end)| self.bound.get(id).is_some_and(|bound| end <= bound));
        if is_bound && !last {
            return Ok(());
        }
        let mut cut = Cut { ends, now: self.now.min(SystemClock.now()), last };
        while let Err(back) = self.cuts.push(cut, CUT_PATIENCE) {
            if running(&self.pipeline).is_over() {
                // Whatever ended it is told by the end of the run.
                return Ok(());
            }
            cut = back;
        }
        running(&self.pipeline).handle().wake();
        Ok(())
    }
}

/// What an import is recognised by: its input, and every setting that decides which records it makes, where
/// they go, or which of them are late. Standard input comes only once: no second run is the same import.
fn name_of(config: &Config, fingerprint: Option<Fingerprint>) -> String {
    let input = match fingerprint {
        Some(fingerprint) => fingerprint.to_string(),
        None => format!("{STDIN}{:016x}", crate::assembly::random()),
    };
    let (partitions, disorder_ms) = (config.topic_partitions, config.import_max_disorder_ms);
    format!("{input} partitions={partitions} max_disorder_ms={disorder_ms}")
}

/// How the names of imports from standard input begin.
const STDIN: &str = "stdin-";

/// Opens the log, unless another import into it was interrupted: that one goes on only while nothing else
/// was appended after it, its windows are open, and users belong to the partitions that they belonged to.
fn open_beside_nothing(config: &Config, name: &str) -> Result<EmbeddedLog, CommandError> {
    let wanted = u32::try_from(config.topic_partitions).unwrap_or(u32::MAX);
    // Whatever is wrong with the directory, opening it says so.
    let there = EmbeddedLog::partitions_of(&config.data_dir).ok().flatten();
    // Partitions are added only when it is sure that they may be.
    let log = open_log(config, there.map_or(wanted, |there| there.min(wanted)))?;
    match log.unfinished_import().map_err(failure)? {
        Some(other) if other != name => return Err(refuse_beside(&other, &config.data_dir)),
        _ => {}
    }
    if log.partitions() == wanted {
        return Ok(log);
    }
    log.close();
    open_log(config, wanted)
}

fn refuse_beside(other: &str, data_dir: &Path) -> CommandError {
    let dir = data_dir.display();
    let text = if other.starts_with(STDIN) {
        format!(
            "an import from standard input into {dir} was interrupted, and what comes from there cannot be \
             asked for again: import into an empty data directory"
        )
    } else {
        format!(
            "another import into {dir} was interrupted: run its command again, with the same files and \
             options (--max-disorder and topics.partitions included), until it is finished; or import into \
             an empty data directory"
        )
    };
    CommandError::new(Exit::Refused, text)
}

/// Windows that the frontier has passed are closed: what belongs into them would be dropped.
fn refuse_what_is_past(
    recovery: &Recovery,
    lines: &LineEvents,
    state: ImportState,
    data_dir: &Path,
) -> Result<(), CommandError> {
    let frontier = recovery.time.frontier;
    let first = lines.files().iter().filter_map(|file| file.first_event).min();
    let Some(first) = first.filter(|first| *first < frontier) else { return Ok(()) };
    let before = match state {
        ImportState::Finished => "this input was imported before; ",
        _ => "",
    };
    let text = format!(
        "{before}windows in {} are closed up to {frontier}, but the first event of the input is of \
         {first}: it would be dropped. Import into an empty data directory, all files in one run",
        data_dir.display()
    );
    Err(CommandError::new(Exit::Refused, text))
}

/// The progress of a replay, shown while the lines have to wait for it.
struct Replay {
    events: u64,
    /// The last bound epoch ends only when the next one is known, so this is all there is to wait for.
    wait_for: u64,
}

impl Replay {
    fn of(recovery: &Recovery) -> Self {
        let replay = &recovery.replay;
        let wait_for = replay.len().checked_sub(2).and_then(|nth| replay.iter().nth(nth));
        let sum = |ends: BTreeMap<PartitionId, Offset>| ends.values().map(|end| end.0).sum::<u64>();
        let before = recovery.snapshot.as_ref().map_or(0, |snapshot| sum(snapshot.ends()));
        let wait_for = wait_for.map_or(0, |bound| sum(bound.ends()) - before);
        Self { events: recovery.replay_events, wait_for }
    }

    fn wait(&self, pipeline: &Pipeline) {
        if self.wait_for == 0 {
            return;
        }
        tracing::info!(events = self.events, "replaying what was committed before");
        let bar = Bar::replay(self.events);
        loop {
            let replayed = running(pipeline).status().progress().replayed_events;
            bar.update(replayed, replayed, 0);
            if replayed >= self.wait_for || running(pipeline).is_over() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        bar.finish();
    }
}

/// The run of an import's pipeline.
fn running(pipeline: &Pipeline) -> &Running {
    pipeline.running().expect("an import runs the dataflow")
}

/// The log, which is the one of the data directory.
fn own(log: &Log) -> &EmbeddedLog {
    log.embedded().expect("an import opens that one")
}

fn failure(error: impl std::error::Error + Send + Sync + 'static) -> CommandError {
    CommandError::new(Exit::Failure, error)
}

/// Names the remedy: everything before is safe.
#[expect(clippy::needless_pass_by_value, reason = "it is called by `map_err`")]
fn not_appended(error: AppendError) -> CommandError {
    let again = "then run the same command again: it goes on where it stopped";
    let text = match &error {
        AppendError::DiskFull { path } => format!("no space is left under {path}; free some, {again}"),
        other => format!("{other}; {again}"),
    };
    CommandError::new(Exit::Failure, text)
}
