//! An explanation in print, for people. What does not fit on a screen is in the JSON form.

use std::fmt::{self, Write as _};

use super::explanation::{Contribution, Explanation, LeftOut, RowStory, SaidRow, Share, State, Waiting};
use super::facts::Columns;
use crate::config::show_span;
use crate::print::grouped;
use tidegate_model::EventTime;

/// Lines of one list, at most; what lies between its beginning and its end is counted.
const LINES_MAX: usize = 20;
/// Ranges of offsets in one line, at most.
const RANGES_MAX: usize = 3;

/// The explanation as text.
pub(crate) fn text(explanation: &Explanation) -> String {
    let mut text = String::new();
    write(&mut text, explanation).expect("a string takes everything");
    text
}

fn write(text: &mut String, explanation: &Explanation) -> fmt::Result {
    let Explanation { table, job, instant, window, key, as_of, .. } = explanation;
    match window {
        Some(window) => writeln!(text, "{table} ({job}), window {} to {}", window.start, window.end)?,
        None => writeln!(text, "{table} ({job}), {} at {instant}", key.as_deref().unwrap_or_default())?,
    }
    let frontier = as_of.frontier.map_or("has not moved yet".to_owned(), |frontier| format!("is {frontier}"));
    writeln!(text, "as of epoch {}, whose frontier {frontier}", as_of.epoch)?;
    if let Some(begun) = &explanation.begun {
        writeln!(
            text,
            "{begun}: of earlier ones, what was open then was given up, what came since is filtered, and rows that \
             there are may follow other settings"
        )?;
    }
    for row in &explanation.rows {
        writeln!(text)?;
        write_row(text, row, window.is_none())?;
    }
    if let Some(nearest) = &explanation.nearest {
        let of = key.as_ref().map_or(String::new(), |key| format!(" of {key}"));
        let what = if window.is_some() { "window" } else { "session" };
        writeln!(text, "\nno event{of} counts in this {what}, as far as the log goes")?;
        let found = [("before it", nearest.before), ("after it", nearest.after)];
        for (where_, start) in found.iter().filter_map(|(where_, start)| Some((where_, (*start)?))) {
            writeln!(text, "  the closest one{of} {where_} begins at {start}")?;
        }
        if found.iter().all(|(_, start)| start.is_none()) {
            writeln!(text, "  there is none{of} before or after it either")?;
        }
    }
    if let Some(waiting) = &explanation.waiting {
        writeln!(text)?;
        write_waiting(text, waiting)?;
    }
    for (index, sentence) in explanation.untold.iter().enumerate() {
        let first = if index == 0 { "\ncannot be told any more\n" } else { "" };
        writeln!(text, "{first}  {sentence}")?;
    }
    Ok(())
}

fn write_row(text: &mut String, row: &RowStory, is_session: bool) -> fmt::Result {
    writeln!(text, "{}: {}", printable(&row.key), meaning(row.state))?;
    if is_session {
        writeln!(text, "  events     from {} to {}", row.span.start, row.span.end)?;
    }
    for stored in &row.stored {
        writeln!(text, "  row        {} (version {})", columns(&stored.columns), stored.version)?;
    }
    let said: Vec<String> = row.said.iter().map(said_line).collect();
    list(text, "said", &said)?;
    match (row.state, row.final_epoch) {
        (State::Open, _) => writeln!(text, "  final      when the frontier comes to {}", row.final_at)?,
        (State::Nothing | State::Never, _) => {}
        (_, Some(epoch)) => {
            writeln!(text, "  final      when the frontier came to {}, in epoch {epoch}", row.final_at)?;
        }
        (_, None) => writeln!(text, "  final      when the frontier came to {}", row.final_at)?,
    }
    if row.records > 0 {
        let epochs = row.epochs.len();
        let head =
            format!("{} in {} {}", count(row.records, "record"), epochs, plural(epochs as u64, "epoch"));
        writeln!(text, "  made of    {head}")?;
    }
    let epochs: Vec<String> = row.epochs.iter().map(contribution).collect();
    list(text, "", &epochs)?;
    if !row.unbound.is_empty() {
        let places: Vec<String> = row.unbound.iter().map(share).collect();
        writeln!(text, "  not read   {}: in the log, but in no epoch yet", places.join("; "))?;
    }
    let left_out: Vec<String> = row.left_out.iter().map(left_out).collect();
    list(text, "left out", &left_out)
}

fn meaning(state: State) -> String {
    let more = match state {
        State::Open => "its row is not final yet",
        State::Final => "said once, and not changed since",
        State::Corrected => "said, and said anew",
        State::Retracted => "said, and taken back",
        State::Removed => "its row is kept nowhere any more",
        State::Never => "its row does not come, because the job began anew before it was final",
        State::Nothing => "no row, because no event counts",
    };
    format!("{}, {more}", state.as_str())
}

/// Writes some lines under one heading: the first and the last of them.
fn list(text: &mut String, heading: &str, lines: &[String]) -> fmt::Result {
    let hidden = lines.len().saturating_sub(LINES_MAX);
    for (index, line) in lines.iter().enumerate() {
        let heading = if index == 0 { heading } else { "" };
        if hidden > 0 && index == LINES_MAX / 2 {
            writeln!(text, "             … {} more; --format json shows all", grouped(hidden as u64))?;
        }
        if hidden == 0 || index < LINES_MAX / 2 || index >= LINES_MAX / 2 + hidden {
            writeln!(text, "  {heading:<9}  {line}")?;
        }
    }
    Ok(())
}

fn said_line(said: &SaidRow) -> String {
    format!("{:<8} in epoch {}: {}", said.op.as_str(), said.epoch, columns(&said.columns))
}

fn contribution(epoch: &Contribution) -> String {
    let mut line = match epoch.epoch {
        Some(number) => format!("epoch {number}"),
        None => "an epoch whose binding was pruned".to_owned(),
    };
    if let Some(clock) = epoch.clock {
        let _ = write!(line, ", clock {clock}, frontier {}", frontier(epoch.frontier));
    }
    let shares = epoch.partitions.iter().map(share);
    let sessions =
        epoch.sessions.iter().map(|said| format!("{} {}", said.op.as_str(), columns(&said.columns)));
    let parts: Vec<String> = shares.chain(sessions).collect();
    let _ = write!(line, ": {}", parts.join("; "));
    if epoch.late {
        line.push_str(" (late)");
    }
    line
}

fn share(share: &Share) -> String {
    let ranges = share.offsets.iter().map(|range| match range.to.since(range.from) {
        1 => range.from.to_string(),
        records => format!("{}-{}", range.from, range.from.plus(records - 1)),
    });
    let ranges: Vec<String> = ranges.collect();
    let offsets = match ranges.len() {
        0..=RANGES_MAX => ranges.join(", "),
        more => format!("{}, … {}, {}", ranges[0], grouped(more as u64 - 2), ranges[more - 1]),
    };
    format!("partition {} offsets {offsets} ({})", share.partition, count(share.records, "record"))
}

fn left_out(record: &LeftOut) -> String {
    let LeftOut { reason, time, partition, offset, epoch } = record;
    let epoch = epoch.map_or(String::new(), |epoch| format!(", in epoch {epoch}"));
    format!("{reason}: partition {partition} offset {offset}, of {time}{epoch}")
}

fn write_waiting(text: &mut String, waiting: &Waiting) -> fmt::Result {
    let short = waiting.short_ms.map_or(String::new(), |ms| format!(", {} further", show_span(ms)));
    writeln!(
        text,
        "the frontier is {} and must come to {}{short}",
        frontier(waiting.frontier),
        waiting.must_reach
    )?;
    let held = match waiting.held_by {
        "partitions" => {
            let holding =
                waiting.holding.iter().map(|(partition, reason)| format!("partition {partition} ({reason})"));
            holding.collect::<Vec<_>>().join(", ")
        }
        "clock" => "nothing: all partitions are idle, it goes on at the clock's rate".to_owned(),
        other => other.to_owned(),
    };
    writeln!(text, "  held by    {held}")?;
    let since = waiting.unmoved_since;
    let longer = if since.or_longer { ", or longer" } else { "" };
    writeln!(text, "  unmoved    since epoch {}, clock {}{longer}", since.epoch, since.clock)?;
    if waiting.stands_still {
        writeln!(
            text,
            "             the newest binding is {} old: unless a process writes this directory (`tidegate up`), nothing moves it",
            show_span(waiting.binding_age_ms)
        )?;
    }
    let bound = show_span(waiting.bound_ms);
    let partitions = waiting.partitions.iter().map(|standing| {
        let watermark = standing.watermark.map_or("no record yet".to_owned(), |watermark| {
            format!(
                "watermark {watermark} (its newest event minus {bound}), last record at clock {}",
                standing.last_record
            )
        });
        let end = standing.end_offset.map_or("unknown".to_owned(), |end| end.to_string());
        let idle = if standing.idle { ", idle" } else { "" };
        format!("partition {}: {watermark}, read to {} of {end}{idle}", standing.partition, standing.offset)
    });
    for (index, line) in partitions.enumerate() {
        writeln!(text, "  {:<9}  {line}", if index == 0 { "partitions" } else { "" })?;
    }
    Ok(())
}

fn frontier(frontier: Option<EventTime>) -> String {
    frontier.map_or("not moved yet".to_owned(), EventTime::to_rfc3339)
}

fn columns(columns: &Columns) -> String {
    let columns = columns.iter().map(|(name, value)| match value.as_str() {
        Some(text) => format!("{name} {}", printable(text)),
        None => format!("{name} {value}"),
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// Names of users and sessions come from outside: control characters are shown escaped.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn count(number: u64, what: &str) -> String {
    format!("{} {}", grouped(number), plural(number, what))
}

fn plural(number: u64, what: &str) -> String {
    if number == 1 { what.to_owned() } else { format!("{what}s") }
}
