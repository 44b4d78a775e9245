//! Gathering the facts: the journal first, as of one moment, which is let go of as soon as that is read; then events
//! and metric store, which are never behind what it says of them, or say so themselves.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use tidegate_log::RowRef;
use tidegate_log::embedded::{EventsView, JournalView};
use tidegate_model::{Binding, DeviceCategory, Epoch, EventTime, JobStart, Offset, PartitionId};
use tidegate_sinks::METRICS_FILE;
use tidegate_sinks::query::Cell;

use super::bound::{Bindings, Follows, Picker};
use super::dropped::Sieve;
use super::facts::{At, Columns, Facts, Nearest, Question, Record, Said, Stored};
use super::groups::text;
use super::record::Reader;
use super::store::{ask, show};
use super::subject::{Rules, Subject};
use crate::assembly::{journal_error, topic_of, view_error};
use crate::config::{Config, show_span};
use crate::exit::{CommandError, Exit};

/// So far back is looked for the beginning of a session of which no row is known.
const SESSION_LOOK_BACK_MS: i64 = 24 * 3_600_000;

/// Refuses a question that no data directory can answer.
pub(crate) fn check(question: &Question) -> Result<(), CommandError> {
    let usage = |text: String| Err(CommandError::new(Exit::Usage, text));
    match (question.subject, &question.key) {
        (Subject::Sessions, None) => usage(
            "session_metrics needs --key SESSION_ID, because sessions have no windows in common; `tidegate query \
             \"SELECT session_id FROM session_metrics LIMIT 10\"` shows some"
                .to_owned(),
        ),
        (Subject::Performance | Subject::SessionWindows, Some(key))
            if DeviceCategory::from_name(key).is_none() =>
        {
            let all = DeviceCategory::ALL.map(DeviceCategory::as_str).join(", ");
            usage(format!("--key {key:?} is no device category; there are {all}"))
        }
        _ => Ok(()),
    }
}

/// What there is to know about the question, as of `clock`.
pub(crate) fn facts(
    question: Question,
    config: &Config,
    journal: &JournalView,
    clock: EventTime,
) -> Result<Facts, CommandError> {
    let moment = journal.hold().map_err(journal_error)?;
    let Some(newest) = journal.last_binding().map_err(journal_error)? else {
        let dir = config.data_dir.display();
        let text = format!("no event was committed yet in {dir}: there is no row, and nothing to explain");
        return Err(CommandError::new(Exit::Failure, text));
    };
    let rules = rules(&question, &newest)?;
    let start = newest.starts.get(question.subject.job()).copied().unwrap_or(JobStart::ORIGIN);
    let store = config.data_dir.join(METRICS_FILE);
    let mut gathered = Gathered { question: &question, rules: &rules, config, store, untold: Vec::new() };
    // Of the metric store that much is read while the moment lasts: it says how far back a session reaches.
    let stored = gathered.stored()?;
    let (from, settled_at) = gathered.interval(&stored);
    let mut picker = Picker::new(from, settled_at);
    let pick = &mut |binding: Binding| {
        let follows = Follows::of(&binding);
        picker.add(binding.into(), &follows);
    };
    journal.read_bindings(pick).map_err(journal_error)?;
    let bindings = picker.finish().expect("there is a newest one");
    let epochs = bindings.first.unwrap_or(newest.epoch.next())..=Epoch(u64::MAX);

    let mut sieve = Sieve::new(&question, &rules, &bindings);
    let is_removed = gathered.dropped(journal, bindings.dropped_from(), &mut sieve)?;
    let said = gathered.said(journal, question.subject, epochs.clone())?;
    let sessions = match question.subject {
        Subject::SessionWindows => gathered.said(journal, Subject::Sessions, epochs)?,
        _ => Vec::new(),
    };
    // What follows takes as long as there are events, and the writer's log of the journal would grow meanwhile.
    drop(moment);

    if is_removed {
        gathered.dropped_before(bindings.dropped_from(), &mut sieve)?;
    }
    let Sieve { dropped, mut records, .. } = sieve;
    let mut nearest = Nearest::default();
    let ends = gathered.events(&bindings, &mut records, &mut nearest)?;
    if stored.is_empty() {
        gathered.nearest(&mut nearest)?;
    }
    let untold = gathered.untold;
    let time = config.time_settings();
    Ok(Facts {
        question,
        rules,
        start,
        time,
        clock,
        bindings,
        records,
        dropped,
        said,
        stored,
        sessions,
        ends,
        nearest,
        untold,
    })
}

/// The rules that the newest binding carries; and whether there can be rows of the key at all.
fn rules(question: &Question, newest: &Binding) -> Result<Rules, CommandError> {
    let job = question.subject.job();
    let definition = newest.definitions.get(job).ok_or_else(|| {
        let text = format!("the newest binding, of epoch {}, knows no {job}", newest.epoch);
        CommandError::new(Exit::Failure, text)
    })?;
    let rules = Rules::read(question.subject, definition).map_err(failure)?;
    match &question.key {
        Some(key) if question.subject == Subject::Events && !rules.types.contains(key) => {
            let listed = rules.types.join(", ");
            let text = format!(
                "--key {key:?} is no event type that {job} counts; it counts {listed} (jobs.allowed_event_types)"
            );
            Err(CommandError::new(Exit::Usage, text))
        }
        _ => Ok(rules),
    }
}

/// What is the same for every step of the gathering, and what the steps found missing.
struct Gathered<'a> {
    question: &'a Question,
    rules: &'a Rules,
    config: &'a Config,
    store: PathBuf,
    untold: Vec<String>,
}

impl Gathered<'_> {
    /// From which event time on records are looked for, and the frontier at which nothing changes any more.
    fn interval(&mut self, stored: &[Stored]) -> (EventTime, EventTime) {
        if let Some(window) = self.rules.window_of(self.question.instant) {
            // An event counts up to the tolerance before it is due.
            let from = window.start.minus_ms(self.rules.tolerance_ms);
            return (from, self.rules.settled_at(window.end));
        }
        let instants = |column: &'static str| {
            stored.iter().filter_map(move |stored| EventTime::parse(text(&stored.row, column)).ok())
        };
        let (first, last) = (instants("start_time").min(), instants("end_time").max());
        let Some((first, last)) = first.zip(last) else {
            let from = self.question.instant.minus_ms(SESSION_LOOK_BACK_MS);
            return (from, EventTime::MAX);
        };
        let from = first.minus_ms(self.rules.gap_ms + self.rules.tolerance_ms);
        // A record that touches a closed session may open another one, which belongs to the same chain.
        let settled_at = self.rules.settled_at(self.rules.last_event(last));
        (from, settled_at.plus_ms(2 * self.rules.gap_ms))
    }

    /// The rows of the metric store.
    fn stored(&mut self) -> Result<Vec<Stored>, CommandError> {
        let subject = self.question.subject;
        let (table, column) = (subject.table(), subject.key_column());
        let key = self.question.key.as_deref();
        let found = if let Some(window) = self.rules.window_of(self.question.instant) {
            let start = window.start.to_table_text();
            let sql =
                format!("SELECT * FROM {table} WHERE window_start = ?1 AND (?2 IS NULL OR {column} = ?2)");
            let key = key.map_or(Cell::Null, Cell::Text);
            ask(&self.store, subject, &sql, &[Cell::Text(&start), key])
        } else {
            let (instant, gap_ms) = (self.question.instant, self.rules.gap_ms);
            let (at, ends) = (instant.to_table_text(), instant.minus_ms(gap_ms).to_table_text());
            let sql = format!(
                "SELECT * FROM {table} WHERE session_id = ?1 AND start_time <= ?2 AND end_time >= ?3"
            );
            let key = key.unwrap_or_default();
            ask(&self.store, subject, &sql, &[Cell::Text(key), Cell::Text(&at), Cell::Text(&ends)])
        };
        let Some(rows) = found.map_err(failure)? else {
            self.untold.push(format!(
                "there is no metric store {} yet: what it holds is not told",
                self.store.display()
            ));
            return Ok(Vec::new());
        };
        let stored = |mut row: Columns| {
            let version = row.remove("version").and_then(|version| version.as_u64()).unwrap_or(0);
            row.retain(|name, _| !["log_partition", "log_offset"].contains(&name.as_str()));
            Stored { epoch: Epoch(version), row }
        };
        Ok(rows.into_iter().map(stored).collect())
    }

    /// The rows of a table that the journal still has, as far as they are asked for.
    fn said(
        &mut self,
        journal: &JournalView,
        of: Subject,
        epochs: RangeInclusive<Epoch>,
    ) -> Result<Vec<Said>, CommandError> {
        let topic = topic_of(self.config, of.table());
        let removed = journal.removed_until(topic).map_err(journal_error)?;
        if let Some(until) = removed.filter(|until| until >= epochs.start()) {
            let until = if until.0 == u64::MAX { String::new() } else { format!(" up to epoch {until}") };
            self.untold.push(format!(
                "rows of {topic}{until} were removed from the log (log.retention): what was said of them before, \
                 and when, cannot be told; the metric store has what they came to"
            ));
        }
        let (mut said, mut damaged) = (Vec::new(), None);
        let mut visit = |row: RowRef<'_>| match serde_json::from_slice::<Columns>(row.value) {
            Ok(columns) if self.asks_for(of, &columns) => {
                said.push(Said { epoch: row.epoch, op: row.op, row: columns });
            }
            Ok(_) => {}
            Err(error) => damaged = Some((row.offset, error)),
        };
        journal.read_rows(topic, epochs, &mut visit).map_err(journal_error)?;
        if let Some((offset, error)) = damaged {
            self.untold.push(format!("row {offset} of topic {topic} cannot be read: {error}"));
        }
        Ok(said)
    }

    fn asks_for(&self, of: Subject, row: &Columns) -> bool {
        let column = self.question.subject.key_column();
        let has_key = self.question.key.as_deref().is_none_or(|key| text(row, column) == key);
        let within = match (self.rules.window_of(self.question.instant), of) {
            (None, _) => true,
            (Some(window), Subject::Sessions) => {
                let end = EventTime::parse(text(row, "end_time"));
                end.is_ok_and(|end| window.start <= end && end < window.end)
            }
            (Some(window), _) => {
                EventTime::parse(text(row, "window_start")).is_ok_and(|start| start == window.start)
            }
        };
        has_key && within
    }

    /// Shows the sieve the records that the job dropped in the epoch `from` and later ones. Says whether the journal
    /// may lack some of them.
    fn dropped(
        &self,
        journal: &JournalView,
        from: Epoch,
        sieve: &mut Sieve<'_>,
    ) -> Result<bool, CommandError> {
        if self.question.subject == Subject::SessionWindows {
            return Ok(false);
        }
        let job = self.question.subject.job();
        let topic = &self.config.topic_dropped_events;
        let removed = journal.removed_until(topic).map_err(journal_error)?;
        let mut visit = |row: RowRef<'_>| {
            let header = |name: &str| {
                row.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
            };
            let partition = header("partition").and_then(|text| text.parse().ok()).map(PartitionId);
            let offset = header("offset").and_then(|text| text.parse().ok()).map(Offset);
            if let (Some(at), Some(reason)) = (partition.zip(offset), header("reason"))
                && header("job").is_some_and(|by| by == job || by == "*")
            {
                sieve.add(at, row.epoch, reason, row.value);
            }
        };
        journal.read_rows(topic, from..=Epoch(u64::MAX), &mut visit).map_err(journal_error)?;
        Ok(removed.is_some_and(|until| until >= from))
    }

    /// The same of the metric store, which still has what was removed from the journal.
    fn dropped_before(&self, from: Epoch, sieve: &mut Sieve<'_>) -> Result<(), CommandError> {
        let version = Cell::Integer(i64::try_from(from.0).unwrap_or(i64::MAX));
        let sql = "SELECT partition, \"offset\", reason, record, version FROM dropped_events \
                   WHERE job IN (?1, '*') AND version >= ?2";
        let mut visit = |row: Columns| {
            let number = |column: &str| row.get(column).and_then(serde_json::Value::as_u64);
            let partition = number("partition").and_then(|partition| u32::try_from(partition).ok());
            let at = partition.map(PartitionId).zip(number("offset").map(Offset));
            if let Some((at, version)) = at.zip(number("version")) {
                sieve.add(at, Epoch(version), text(&row, "reason"), text(&row, "record").as_bytes());
            }
        };
        let parameters = [Cell::Text(self.question.subject.job()), version];
        show(&self.store, self.question.subject, sql, &parameters, &mut visit).map_err(failure)?;
        Ok(())
    }

    /// Reads the events that may be asked for. Returns where the log of each partition ends, as far as it was
    /// read.
    fn events(
        &mut self,
        bindings: &Bindings,
        records: &mut BTreeMap<At, Record>,
        nearest: &mut Nearest,
    ) -> Result<BTreeMap<PartitionId, Offset>, CommandError> {
        let view = EventsView::open(Path::new(&self.config.data_dir)).map_err(view_error)?;
        let (mut ends, mut untold) = (BTreeMap::new(), Vec::new());
        let mut reader = Reader::new(self.question, self.rules);
        for partition in view.partitions() {
            let bound_end = bindings.newest.end(partition);
            let mut offsets = bindings.offsets(partition);
            if self.question.subject == Subject::SessionWindows {
                // Its rows are made of rows; only the end is of interest.
                offsets.start = bound_end;
            }
            let oldest = view.start(partition);
            if offsets.start < oldest {
                untold.push(format!(
                    "events of partition {partition} before offset {oldest} were removed (log.retention): those \
                     that fell into it are missing here"
                ));
            }
            let offsets = offsets.start.max(oldest)..offsets.end.max(oldest);
            let end = view.read(partition, offsets, bound_end, &mut |found| {
                let Some(record) = reader.read(found.value, Some(found.append_time)) else { return };
                if self.rules.is_near(self.question.instant, record.time) {
                    records.insert((partition, found.offset), record);
                } else if let Some(windows) = self.rules.windows {
                    let start = windows.window_of(record.time).start;
                    nearest.take(start, self.question.instant);
                }
            });
            ends.insert(partition, end.map_err(failure)?);
        }
        self.untold.extend(untold);
        if self.rules.windows.is_none()
            && let Some(first) = records.values().map(|record| record.time).min()
            && first < self.question.instant.minus_ms(SESSION_LOOK_BACK_MS - self.rules.gap_ms)
        {
            let back = show_span(SESSION_LOOK_BACK_MS);
            self.untold.push(format!(
                "no row of the session is known, and its events were looked for from {back} before that instant on: \
                 it may have begun earlier"
            ));
        }
        Ok(ends)
    }

    /// Asks the metric store for the closest windows or sessions.
    fn nearest(&self, nearest: &mut Nearest) -> Result<(), CommandError> {
        let subject = self.question.subject;
        let (table, column) = (subject.table(), subject.key_column());
        let window = self.rules.window_of(self.question.instant);
        let start = window.map_or(self.question.instant, |window| window.start);
        let first = if window.is_some() { "window_start" } else { "start_time" };
        for (best, order) in [("max", "<"), ("min", ">")] {
            let sql = format!(
                "SELECT {best}({first}) AS {first} FROM {table} WHERE {first} {order} ?1 AND (?2 IS NULL OR {column} = ?2)"
            );
            let key = self.question.key.as_deref().map_or(Cell::Null, Cell::Text);
            let at = start.to_table_text();
            let found = ask(&self.store, subject, &sql, &[Cell::Text(&at), key]).map_err(failure)?;
            let found =
                found.into_iter().flatten().filter_map(|row| EventTime::parse(text(&row, first)).ok());
            found.for_each(|at| nearest.take(at, start));
        }
        Ok(())
    }
}

impl Nearest {
    /// Something is at `start`; `asked` is what was asked for.
    fn take(&mut self, start: EventTime, asked: EventTime) {
        if start < asked {
            self.before = self.before.max(Some(start));
        } else {
            self.after = Some(self.after.map_or(start, |after| after.min(start)));
        }
    }
}

fn failure(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CommandError {
    CommandError::new(Exit::Failure, error)
}
