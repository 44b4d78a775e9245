//! What belongs to one row: the records and rows of one key in a window, or of one session.
//!
//! A session has no interval before it is found. Its records, and the rows that were said of it, chain
//! together wherever they are at most the gap apart; the chain that the instant lies in is what is meant.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_model::EventTime;

use super::explanation::Span;
use super::facts::{At, Columns, Facts, Record, Said, Stored};
use super::subject::{Rules, Subject};

/// Everything of one row.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    pub(crate) key: String,
    pub(crate) span: Span,
    pub(crate) records: Vec<(At, &'a Record)>,
    pub(crate) said: Vec<&'a Said>,
    pub(crate) stored: Vec<&'a Stored>,
    pub(crate) sessions: Vec<&'a Said>,
}

impl Group<'_> {
    fn new(key: String, span: Span) -> Self {
        let (records, said, stored, sessions) = Default::default();
        Self { key, span, records, said, stored, sessions }
    }
}

/// The groups that the question is about, by key.
pub(crate) fn groups(facts: &Facts) -> Vec<Group<'_>> {
    if facts.question.subject == Subject::Sessions { sessions(facts) } else { windows(facts) }
}

fn windows(facts: &Facts) -> Vec<Group<'_>> {
    let window = facts.rules.window_of(facts.question.instant).expect("only sessions have no window");
    let column = facts.question.subject.key_column();
    let mut groups: BTreeMap<String, Group<'_>> = BTreeMap::new();
    let span = Span { start: window.start, end: window.end };
    let fresh = |key: &str| Group::new(key.to_owned(), span);
    for (at, record) in &facts.records {
        if window.start <= record.time && record.time < window.end {
            let group = groups.entry(record.key.clone()).or_insert_with(|| fresh(&record.key));
            group.records.push((*at, record));
        }
    }
    for said in &facts.said {
        let key = text(&said.row, column);
        groups.entry(key.to_owned()).or_insert_with(|| fresh(key)).said.push(said);
    }
    for stored in &facts.stored {
        let key = text(&stored.row, column);
        groups.entry(key.to_owned()).or_insert_with(|| fresh(key)).stored.push(stored);
    }
    for session in &facts.sessions {
        let key = text(&session.row, column);
        groups.entry(key.to_owned()).or_insert_with(|| fresh(key)).sessions.push(session);
    }
    groups.into_values().collect()
}

/// A stretch of time in which a session had events.
type Stretch = (EventTime, EventTime);

fn sessions(facts: &Facts) -> Vec<Group<'_>> {
    let session = facts.question.key.as_deref().unwrap_or_default();
    let mut users: BTreeSet<&str> = facts.records.values().map(|record| record.key.as_str()).collect();
    let rows = facts.said.iter().map(|said| &said.row).chain(facts.stored.iter().map(|stored| &stored.row));
    users.extend(rows.map(|row| text(row, "user_id")));
    let mut found = Vec::new();
    for user in users {
        let of_user = |row: &Columns| text(row, "user_id") == user;
        let records = facts.records.iter().filter(|(_, record)| record.key == user);
        let said = facts.said.iter().filter(|said| of_user(&said.row));
        let stored = facts.stored.iter().filter(|stored| of_user(&stored.row));
        let mut stretches: Vec<Stretch> =
            records.clone().map(|(_, record)| (record.time, record.time)).collect();
        stretches.extend(said.clone().filter_map(|said| stretch(&said.row, &facts.rules)));
        stretches.extend(stored.clone().filter_map(|stored| stretch(&stored.row, &facts.rules)));
        let instant = facts.question.instant;
        let gap_ms = facts.rules.gap_ms;
        for (start, end) in chains(stretches, gap_ms, facts.start.after) {
            if instant < start || end.plus_ms(gap_ms) <= instant {
                continue;
            }
            let inside = |row: &Columns| {
                stretch(row, &facts.rules).is_some_and(|(from, _)| start <= from && from <= end)
            };
            found.push(Group {
                records: records
                    .clone()
                    .filter(|(_, record)| start <= record.time && record.time <= end)
                    .map(|(at, record)| (*at, record))
                    .collect(),
                said: said.clone().filter(|said| inside(&said.row)).collect(),
                stored: stored.clone().filter(|stored| inside(&stored.row)).collect(),
                ..Group::new(format!("{session}|{user}"), Span { start, end })
            });
        }
    }
    found
}

/// First and last event of the session that a row speaks of.
fn stretch(row: &Columns, rules: &Rules) -> Option<Stretch> {
    let instant = |column: &str| EventTime::parse(text(row, column)).ok();
    Some((instant("start_time")?, rules.last_event(instant("end_time")?)))
}

/// Joins what is at most the gap apart; but nothing after the job began with what was before.
fn chains(mut stretches: Vec<Stretch>, gap_ms: i64, after: EventTime) -> Vec<Stretch> {
    stretches.sort_unstable();
    let mut chains: Vec<Stretch> = Vec::new();
    for (start, end) in stretches {
        match chains.last_mut() {
            Some(open) if start <= open.1.plus_ms(gap_ms) && (open.0 > after || start <= after) => {
                open.1 = open.1.max(end);
            }
            _ => chains.push((start, end)),
        }
    }
    chains
}

/// A text column; empty where it is none.
pub(crate) fn text<'a>(row: &'a Columns, column: &str) -> &'a str {
    row.get(column).and_then(serde_json::Value::as_str).unwrap_or_default()
}
