//! The words of a line of a scenario file.

use tidegate_model::{EventTime, PartitionId};

/// The day on which all stories happen; it does not matter which one.
const DAY: &str = "2026-03-02T";

/// A line, split at white space; what follows a `#` that stands alone is a comment.
#[derive(Clone)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn new(line: &str) -> Self {
        Self(line.split_whitespace().take_while(|word| *word != "#").map(str::to_owned).collect())
    }

    pub(super) fn at(&self, index: usize) -> Result<&str, String> {
        self.0.get(index).map(String::as_str).ok_or_else(|| "something is missing".to_owned())
    }

    pub(super) fn from(&self, index: usize) -> impl Iterator<Item = &str> {
        self.0.iter().skip(index).map(String::as_str)
    }

    pub(super) fn joined(&self) -> String {
        self.0.join(" ")
    }

    /// The words from `index` on, as `name=value`.
    pub(super) fn pairs(&self, index: usize) -> Result<Vec<(&str, &str)>, String> {
        let pair = |word| str::split_once(word, '=').ok_or_else(|| format!("name=value, not {word:?}"));
        self.from(index).map(pair).collect()
    }

    pub(super) fn instant(&self, index: usize) -> Result<EventTime, String> {
        instant(self.at(index)?)
    }

    /// `p3`
    pub(super) fn partition(&self, index: usize) -> Result<PartitionId, String> {
        let word = self.at(index)?;
        let number = word.strip_prefix('p').and_then(|number| number.parse().ok());
        number.map(PartitionId).ok_or_else(|| format!("a partition like p0, not {word:?}"))
    }
}

/// `12:00:05`, `12:00:05.001`, or `none` for "before everything".
pub(super) fn instant(word: &str) -> Result<EventTime, String> {
    if word == "none" {
        return Ok(EventTime::MIN);
    }
    EventTime::parse(&format!("{DAY}{word}Z")).map_err(|_| format!("a time like 12:00:05.001, not {word:?}"))
}

/// The opposite of [`instant`]; a time of another day is written in full.
pub(super) fn show_instant(instant: EventTime) -> String {
    if instant == EventTime::MIN {
        return "none".to_owned();
    }
    let text = instant.to_rfc3339();
    match text.strip_prefix(DAY).and_then(|time| time.strip_suffix('Z')) {
        Some(time) => time.strip_suffix(".000").unwrap_or(time).to_owned(),
        None => text,
    }
}

/// `30s`, `500ms`, `10m`, `0`.
pub(super) fn duration_ms(word: &str) -> Result<i64, String> {
    let unit_at = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (number, unit) = word.split_at(unit_at);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "" if number == "0" => 0,
        _ => return Err(format!("a duration like 30s, 500ms, 10m or 0, not {word:?}")),
    };
    number.parse::<i64>().map(|number| number * factor).map_err(|_| format!("a duration, not {word:?}"))
}
