//! Runs a story against a system.

use super::words::show_instant;
use super::{Expected, Step, Story, lines};
use crate::support::hand::Hand;
use crate::support::system::{EpochOutcome, SystemFactory};
use crate::support::systems::WORKERS;

/// Runs the story; the error says where it went another way, and what was expected there.
pub fn run(story: &Story, factory: &dyn SystemFactory, workers: usize) -> Result<(), String> {
    let Story { file, jobs, time, partitions, .. } = story;
    let mut workers = workers;
    let mut hand = Hand::start(factory, jobs, time, workers, *partitions);
    for (number, step) in &story.steps {
        match step {
            Step::Append(record) => {
                hand.append(record.clone());
            }
            Step::Pause(partition, paused) => hand.pause(*partition, *paused),
            Step::FailLooks(partition, failing) => hand.fail_looks(*partition, *failing),
            Step::AddPartition => {
                hand.add_partition();
            }
            Step::Finish => hand.finish(),
            Step::Restart => {
                let at = WORKERS.iter().position(|number| *number == workers).unwrap_or(0);
                workers = WORKERS[(at + 1) % WORKERS.len()];
                hand.recover(factory, jobs, time, workers);
            }
            Step::Tick { now, expected } => {
                let compared = hand.tick(*now).and_then(|outcome| compare(story, &outcome, expected));
                compared.map_err(|why| {
                    let tick = show_instant(*now);
                    format!("{file}:{number}: tick {tick}, {}, {workers} worker(s): {why}", factory.name())
                })?;
            }
        }
    }
    Ok(())
}

fn compare(story: &Story, outcome: &EpochOutcome, expected: &Expected) -> Result<(), String> {
    let mut faults = Vec::new();
    if outcome.journaled == expected.not_journaled {
        let was = if outcome.journaled { "" } else { "not " };
        faults.push(format!("the epoch is {was}journaled"));
    }
    if let Some(frontier) = expected.frontier.filter(|frontier| *frontier != outcome.frontier) {
        let (expected, actual) = (show_instant(frontier), show_instant(outcome.frontier));
        faults.push(format!("frontier: expected {expected}, actual {actual}"));
    }
    let mut actual = shown(story, outcome);
    for (number, line) in &expected.lines {
        match actual.iter().position(|other| other == line) {
            Some(at) => drop(actual.swap_remove(at)),
            None => faults.push(format!("expected {line}   ({}:{number})", story.file)),
        }
    }
    actual.sort();
    faults.extend(actual.into_iter().map(|line| format!("actual   {line}")));
    for (number, words) in &expected.ledger {
        let counts = outcome.ledger.jobs[words.at(1)?];
        for (name, value) in words.pairs(2)? {
            let number_of = match name {
                "accepted" => counts.accepted,
                "counted" => counts.counted,
                "expired" => counts.expired,
                "future" => counts.future,
                "filtered" => counts.filtered,
                "rejected" => counts.rejected,
                other => return Err(format!("line {number}: unknown count {other:?}")),
            };
            if number_of.to_string() != value {
                faults.push(format!("line {number}: {name}: expected {value}, actual {number_of}"));
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(format!("\n  {}\n", faults.join("\n  "))) }
}

/// The lines that the story wants to see.
fn shown(story: &Story, outcome: &EpochOutcome) -> Vec<String> {
    let is_shown = |table: &str| story.show.is_empty() || story.show.iter().any(|shown| shown == table);
    let rows = outcome.rows.iter().filter(|row| is_shown(row.table)).map(lines::row);
    let dropped = outcome.dropped.iter();
    let dropped = dropped.filter(|dropped| lines::table_of(&dropped.job).is_none_or(is_shown));
    let provisional = outcome.provisional.iter().filter(|row| story.show_provisional && is_shown(row.table));
    rows.chain(dropped.map(lines::dropped)).chain(provisional.map(lines::provisional)).collect()
}
