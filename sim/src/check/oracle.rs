//! The rows of every epoch, against those of the oracle.

use std::collections::BTreeMap;
use std::fmt::Debug;

use tidegate_log::RowRecord;
use tidegate_model::binding::Gap;
use tidegate_model::{Binding, Epoch, JobStart, Offset, PartitionId, Schema, names};
use tidegate_oracle::record::{Dropped, OutRow, Reason, TestRecord, complete};
use tidegate_oracle::{Oracle, OracleEpoch};

use crate::director::{Violation, violated};
use crate::world::State;

const PROMISE: &str = "rows, drops and ledger of every epoch are those of the oracle";

/// What the log holds of an epoch.
#[derive(Debug, Default)]
pub(super) struct EpochRows {
    /// Sorted.
    pub(super) rows: Vec<OutRow>,
    /// Sorted.
    pub(super) dropped: Vec<Dropped>,
}

/// What the log holds, by epoch; provisional rows are not promised.
pub(super) fn committed(state: &State) -> BTreeMap<Epoch, EpochRows> {
    let mut epochs: BTreeMap<Epoch, EpochRows> = BTreeMap::new();
    for row in state.topics.rows() {
        let epoch = epochs.entry(row.epoch).or_default();
        if let Some(schema) = Schema::of_table(&row.topic) {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("rows are text");
            let (key, json) = (text(&row.key), text(&row.value));
            epoch.rows.push(OutRow { table: schema.table, key, json, op: row.op });
        } else if *row.topic == *names::DROPPED_EVENTS {
            epoch.dropped.push(dropped(row));
        }
    }
    for epoch in epochs.values_mut() {
        epoch.rows.sort();
        epoch.dropped.sort();
    }
    epochs
}

fn dropped(row: &RowRecord) -> Dropped {
    let header = |name: &str| {
        let found = row.headers.iter().find(|(header, _)| *header == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let number = |name: &str| header(name).parse::<u64>().expect("a number");
    let reasons = [Reason::Expired, Reason::Future, Reason::Rejected];
    let reason = reasons.into_iter().find(|reason| reason.as_str() == header("reason"));
    Dropped {
        job: header("job").to_owned(),
        partition: PartitionId(u32::try_from(number("partition")).expect("small")),
        offset: Offset(number("offset")),
        reason: reason.expect("a reason"),
    }
}

/// What `binding` says was read since `before`, as the oracle takes it.
pub(super) fn epoch_of(state: &State, before: Option<&Binding>, binding: &Binding) -> OracleEpoch {
    let mut records = Vec::new();
    for (partition, bound) in &binding.partitions {
        let from = before.and_then(|before| before.partitions.get(partition));
        let from = from.map_or(Offset::ZERO, |bound| bound.end);
        let jumps = binding.gap.as_ref().and_then(|gap| gap.get(partition));
        let from = jumps.map_or(from, |gap| gap.resumed);
        records.extend(state.records(*partition, from..bound.end.max(from)).cloned());
    }
    OracleEpoch { epoch: binding.epoch, close_to: binding.close_to, records }
}

/// How many events were gone that nobody had read.
pub(super) fn missing(gap: &Gap) -> u64 {
    gap.resumed.0.saturating_sub(gap.bound.0)
}

pub(super) fn rows_are_those_of_the_oracle(state: &State) -> Result<(), Violation> {
    let Some(first) = state.bindings.first() else { return Ok(()) };
    let jobs = &state.jobs[&first.generation];
    let mut oracle = Oracle::new(jobs, jobs.future_tolerance_ms);
    let mut committed = committed(state);
    let mut before: Option<&Binding> = None;
    let mut lost = 0;
    for binding in &state.bindings {
        lost += binding.gap.iter().flat_map(BTreeMap::values).map(missing).sum::<u64>();
        for (job, start) in &binding.starts {
            if before.is_none_or(|before| before.starts.get(job) != Some(start)) {
                windows_begin_after_everything_read(state, before, job, *start)?;
                windows_begin_after_everything_gone(state, binding, job, *start)?;
                oracle.begin_anew(job, &state.jobs[&binding.generation], start.after);
            }
        }
        let expected = oracle.epoch(&epoch_of(state, before, binding));
        let actual = committed.remove(&binding.epoch).unwrap_or_default();
        let place = format!("epoch {}, generation {}", binding.epoch, binding.generation);
        same(PROMISE, &place, "rows", &expected.rows, &actual.rows)?;
        same(PROMISE, &place, "dropped", &expected.dropped, &actual.dropped)?;
        let mut ledger = complete(expected.ledger.clone());
        ledger.jobs.values_mut().for_each(|counts| counts.missing = lost);
        if ledger != complete(binding.ledger.clone()) {
            let seen = format!("{place}:\nexpected {:?}\nactual   {:?}", expected.ledger, binding.ledger);
            return violated(PROMISE, seen);
        }
        before = Some(binding);
    }
    match committed.into_iter().find(|(_, rows)| !rows.rows.is_empty() || !rows.dropped.is_empty()) {
        Some((epoch, rows)) => {
            violated("rows are visible with their binding only", format!("epoch {epoch}: {rows:?}"))
        }
        None => Ok(()),
    }
}

/// A job that begins anew knows nothing of what was read before, so no window of its may need it.
fn windows_begin_after_everything_read(
    state: &State,
    before: Option<&Binding>,
    job: &str,
    start: JobStart,
) -> Result<(), Violation> {
    let Some(before) = before else { return Ok(()) };
    let tolerance_ms = state.jobs[&before.generation].future_tolerance_ms;
    for (partition, bound) in &before.partitions {
        let until = state.bindings.iter().take_while(|binding| binding.epoch <= before.epoch);
        let gaps: Vec<&Gap> = until.filter_map(|binding| binding.gap.as_ref()?.get(partition)).collect();
        let was_read = |record: &&TestRecord| {
            !gaps.iter().any(|gap| gap.bound <= record.offset && record.offset < gap.resumed)
        };
        let read = state.records(*partition, Offset::ZERO..bound.end).filter(was_read);
        let counts = read
            .filter(|record| !record.undecodable && record.time <= record.append_time.plus_ms(tolerance_ms));
        if let Some(record) = counts.into_iter().find(|record| record.time > start.after) {
            let seen = format!("{job} begins after {}, and {record:?} had been read", start.after);
            return violated("a job that begins anew has whole windows", seen);
        }
    }
    Ok(())
}

/// Nor may one need what is gone. Of events that were appended later than the clock says, because it was set
/// back, nobody knows.
fn windows_begin_after_everything_gone(
    state: &State,
    begin: &Binding,
    job: &str,
    start: JobStart,
) -> Result<(), Violation> {
    let tolerance_ms = state.jobs[&begin.generation].future_tolerance_ms;
    for (partition, gap) in begin.gap.iter().flatten() {
        let gone = state.records(*partition, gap.bound..gap.resumed.max(gap.bound));
        let mut counts = gone.filter(|record| {
            !record.undecodable
                && record.time <= record.append_time.plus_ms(tolerance_ms)
                && record.append_time <= begin.now
        });
        if let Some(record) = counts.find(|record| record.time > start.after) {
            let seen = format!("{job} begins after {}, and {record:?} is gone", start.after);
            return violated("a job that begins anew has whole windows", seen);
        }
    }
    Ok(())
}

/// Compares two sorted lists, and names what one has and the other has not.
pub(super) fn same<T: Debug + PartialEq>(
    promise: &'static str,
    place: &str,
    what: &str,
    expected: &[T],
    actual: &[T],
) -> Result<(), Violation> {
    if expected == actual {
        return Ok(());
    }
    let missing = expected.iter().filter(|one| !actual.contains(one)).map(|one| format!("expected {one:?}"));
    let surplus = actual.iter().filter(|one| !expected.contains(one)).map(|one| format!("actual   {one:?}"));
    let mut lines: Vec<String> = missing.chain(surplus).collect();
    if lines.is_empty() {
        lines = vec![format!("the same, in another number: expected {expected:?}\nactual {actual:?}")];
    }
    violated(promise, format!("{place}, {what}:\n{}", lines.join("\n")))
}
