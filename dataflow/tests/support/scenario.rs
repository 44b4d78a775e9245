//! Scenario files: input, ticks and the rows that each tick must commit, as a story.
//!
//! ```text
//! # A title: the rule that the story shows.
//! jobs gap=30s event_window=60s lateness=0      settings; what is not named has the values of `Story::parse`
//! time bound=10s idle=5s
//! partitions 2                                  1 unless said otherwise
//! show session_metrics                          only these tables and the drops of their jobs; all unless said;
//!                                               `provisional` asks for provisional rows as well
//! at 12:00:05 p0 page_view user=u1 session=s1 device=Mobile load=120 time=12:00:01
//!                                               the clock is the append time, and the event time unless said
//! at 12:00:05 p0 garbage                        a record that cannot be decoded
//! pause p1 · resume p1 · fail_looks p1 · heal_looks p1 · add_partition · finish · restart
//! tick 12:00:06
//!   frontier 11:59:55                           `none` before the first; not compared unless said
//!   not journaled                               exactly when it is not
//!   row event_metrics final 12:00:00 page_view count=1 users=1
//!   row session_metrics correct s1 u1 12:00:05 12:00:35 duration=30000 pages=2 Mobile
//!   row session_window_metrics final 12:00:00 Mobile sessions=1 bounces=0 avg_duration=30000 avg_pages=2
//!   row performance_metrics final 12:00:00 Mobile avg=120 p95=120
//!   provisional event_metrics 12:01:00 page_view count=1 users=1
//!   dropped EventAggregator p0 #3 expired
//!   ledger SessionTracker counted=3 expired=1   the named numbers only
//! ```
//!
//! After each tick the rows and drops listed are *exactly* those of the epoch. `restart` lets another
//! system, with another number of workers, recover from the bindings.

mod lines;
mod run;
mod words;

use tidegate_dataflow::settings::{JobSettings, SessionEnd, TimeSettings};
use tidegate_model::{DeviceCategory, EventTime, Offset, PartitionId};

use super::record::TestRecord;
pub use run::run;
use words::{Words, duration_ms};

/// A parsed file.
pub struct Story {
    file: String,
    jobs: JobSettings,
    time: TimeSettings,
    partitions: u32,
    /// Tables to compare; empty means all.
    show: Vec<String>,
    show_provisional: bool,
    /// Each with its line number.
    steps: Vec<(usize, Step)>,
}

enum Step {
    Append(TestRecord),
    Pause(PartitionId, bool),
    FailLooks(PartitionId, bool),
    AddPartition,
    Finish,
    Restart,
    Tick { now: EventTime, expected: Expected },
}

/// What a tick must bring.
#[derive(Default)]
struct Expected {
    not_journaled: bool,
    frontier: Option<EventTime>,
    /// Rows, provisional rows and drops, with their line numbers.
    lines: Vec<(usize, String)>,
    ledger: Vec<(usize, Words)>,
}

impl Story {
    /// Reads a story; the error names file and line.
    pub fn parse(file: &str, text: &str) -> Result<Self, String> {
        if !text.starts_with("# ") {
            return Err(format!("{file}:1: a story begins with its title, \"# …\""));
        }
        let mut story = Self {
            file: file.to_owned(),
            jobs: JobSettings {
                event_window_ms: 60_000,
                performance_window_ms: 60_000,
                session_window_ms: 60_000,
                session_gap_ms: 30_000,
                allowed_lateness_ms: 0,
                ..JobSettings::default()
            },
            time: TimeSettings::default(),
            partitions: 1,
            show: Vec::new(),
            show_provisional: false,
            steps: Vec::new(),
        };
        let mut processing_time = false;
        for (number, line) in (1..).zip(text.lines()) {
            if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                let words = Words::new(line);
                let read = if line.starts_with(' ') {
                    story.expect(number, &words)
                } else {
                    story.step(number, &words, &mut processing_time)
                };
                read.map_err(|why| format!("{file}:{number}: {why}: {}", line.trim()))?;
            }
        }
        Ok(story)
    }

    /// A line that begins at the margin.
    fn step(&mut self, number: usize, words: &Words, processing_time: &mut bool) -> Result<(), String> {
        let partition = || words.partition(1);
        let step = match words.at(0)? {
            "jobs" => return self.jobs(words),
            "time" => return self.time(words, processing_time),
            "partitions" => {
                self.partitions = words.at(1)?.parse().map_err(|_| "a number of partitions".to_owned())?;
                return Ok(());
            }
            "show" => {
                self.show_provisional = words.from(1).any(|word| word == "provisional");
                self.show = words.from(1).filter(|word| *word != "provisional").map(str::to_owned).collect();
                return Ok(());
            }
            "at" => Step::Append(record(words, *processing_time)?),
            "pause" => Step::Pause(partition()?, true),
            "resume" => Step::Pause(partition()?, false),
            "fail_looks" => Step::FailLooks(partition()?, true),
            "heal_looks" => Step::FailLooks(partition()?, false),
            "add_partition" => Step::AddPartition,
            "finish" => Step::Finish,
            "restart" => Step::Restart,
            "tick" => Step::Tick { now: words.instant(1)?, expected: Expected::default() },
            other => return Err(format!("unknown step {other:?}")),
        };
        self.steps.push((number, step));
        Ok(())
    }

    fn jobs(&mut self, words: &Words) -> Result<(), String> {
        for (name, value) in words.pairs(1)? {
            match name {
                "gap" => self.jobs.session_gap_ms = duration_ms(value)?,
                "lateness" => self.jobs.allowed_lateness_ms = duration_ms(value)?,
                "event_window" => self.jobs.event_window_ms = duration_ms(value)?,
                "performance_window" => self.jobs.performance_window_ms = duration_ms(value)?,
                "session_window" => self.jobs.session_window_ms = duration_ms(value)?,
                "types" => {
                    self.jobs.allowed_event_types = value.split(',').map(str::to_owned).collect();
                }
                "session_end" => {
                    self.jobs.session_end = match value {
                        "last_event" => SessionEnd::LastEvent,
                        "window_end" => SessionEnd::WindowEnd,
                        other => return Err(format!("unknown session_end {other:?}")),
                    }
                }
                other => return Err(format!("unknown setting {other:?}")),
            }
        }
        Ok(())
    }

    fn time(&mut self, words: &Words, processing_time: &mut bool) -> Result<(), String> {
        if words.at(1)? == "processing" {
            *processing_time = true;
            self.time.bound_ms = 0;
            return Ok(());
        }
        for (name, value) in words.pairs(1)? {
            match name {
                "bound" => self.time.bound_ms = duration_ms(value)?,
                "idle" => self.time.idle_timeout_ms = duration_ms(value)?,
                "tolerance" => self.jobs.future_tolerance_ms = duration_ms(value)?,
                "quiet" => self.time.quiet_journal_ms = duration_ms(value)?,
                other => return Err(format!("unknown setting {other:?}")),
            }
        }
        Ok(())
    }

    /// A line that belongs to the tick above.
    fn expect(&mut self, number: usize, words: &Words) -> Result<(), String> {
        let Some((_, Step::Tick { expected, .. })) = self.steps.last_mut() else {
            return Err("what is expected belongs to a tick".to_owned());
        };
        match words.at(0)? {
            "frontier" => expected.frontier = Some(words.instant(1)?),
            "not" => expected.not_journaled = true,
            "row" | "dropped" => expected.lines.push((number, words.joined())),
            "provisional" => {
                self.show_provisional = true;
                expected.lines.push((number, words.joined()));
            }
            "ledger" => expected.ledger.push((number, words.clone())),
            other => return Err(format!("unknown expectation {other:?}")),
        }
        Ok(())
    }
}

/// `at 12:00:05 p0 page_view user=u1 …`
fn record(words: &Words, processing_time: bool) -> Result<TestRecord, String> {
    let append_time = words.instant(1)?;
    let mut record = TestRecord {
        partition: words.partition(2)?,
        offset: Offset::ZERO,
        append_time,
        time: append_time,
        event_type: words.at(3)?.to_owned(),
        user_id: "u1".to_owned(),
        session_id: "s1".to_owned(),
        device: DeviceCategory::Desktop,
        load_time: None,
        undecodable: words.at(3)? == "garbage",
    };
    for (name, value) in words.pairs(4)? {
        match name {
            "user" => value.clone_into(&mut record.user_id),
            "session" => value.clone_into(&mut record.session_id),
            "time" if !processing_time => record.time = words::instant(value)?,
            "time" => {}
            "load" => {
                let number = value.parse().map_err(|_| format!("a load time in milliseconds, not {value:?}"));
                record.load_time = Some(number?);
            }
            "device" => {
                let device = DeviceCategory::ALL.into_iter().find(|device| device.as_str() == value);
                record.device = device.ok_or_else(|| format!("unknown device {value:?}"))?;
            }
            other => return Err(format!("unknown field {other:?}")),
        }
    }
    Ok(record)
}
