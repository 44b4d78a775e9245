//! From facts to an explanation: a pure function.

use std::collections::BTreeMap;

use tidegate_dataflow::control::Statement;
use tidegate_dataflow::survey::{Holder, standings};
use tidegate_model::{Epoch, EventTime, Offset, Op, PartitionId};

use super::begun;
use super::bound::Place;
use super::explanation::{
    AsOf, Contribution, Explanation, LeftOut, NearestSpans, Offsets, RowStory, SaidRow, Share, Span,
    Standing, State, StoredRow, Unmoved, Waiting,
};
use super::facts::{At, Columns, Facts, Record, Said};
use super::groups::{Group, groups};
use super::subject::Subject;

/// A process that runs journals at least once a second while time moves. Beyond this age of the newest
/// binding none seems to run.
const STANDS_STILL_MS: i64 = 15_000;

/// Explains what was asked.
pub(crate) fn explain(facts: &Facts) -> Explanation {
    let newest = &facts.bindings.newest;
    let frontier = known(newest.close_to);
    let subject = facts.question.subject;
    let groups = groups(facts);
    let mut rows: Vec<RowStory> = groups.iter().map(|group| story(facts, group)).collect();
    let window = facts.rules.window_of(facts.question.instant);
    let asked = window.map_or(facts.question.instant, |window| window.start);
    let starts = groups.iter().map(|group| group.span.start).chain([asked]);
    let begun = starts.min().and_then(|start| begun::before(facts, start));
    let mut untold = facts.untold.clone();
    if facts.bindings.reaches_pruned()
        && let Some(first) = facts.bindings.pruned_before
    {
        let given_up = match begun {
            Some(begun) if begun.epoch <= first => {
                ", nor whether what has no row was given up when the job began anew"
            }
            _ => "",
        };
        untold.push(format!(
            "bindings before epoch {first} were pruned: which epochs the records before it came in, and since when \
             they count, cannot be told{given_up}"
        ));
    }
    if let Some(epoch) = facts.bindings.gap.filter(|_| begun.is_some()) {
        untold.push(format!(
            "what came before epoch {epoch} was given up (--accept-gap): its events, and the epochs that they came in, \
             are not told"
        ));
    }
    let may_come = rows.is_empty() && begun.is_none();
    if may_come && subject == Subject::SessionWindows && frontier < window.map(|window| window.end) {
        untold
            .push("which sessions are open and may yet end in this window is not in the journal".to_owned());
    }
    rows.sort_by(|a, b| (&a.key, a.span.start).cmp(&(&b.key, b.span.start)));
    let open = rows.iter().filter(|row| row.state == State::Open).map(|row| row.final_at).min();
    // Nothing is there yet, but something may still come.
    let empty = window.map(|window| facts.rules.final_at(window.end)).filter(|_| may_come);
    let must_reach = open.or(empty).filter(|final_at| newest.close_to < *final_at);
    let nothing = rows.iter().all(|row| row.state == State::Nothing);
    Explanation {
        table: subject.table(),
        job: subject.job(),
        instant: facts.question.instant,
        window: window.map(|window| Span { start: window.start, end: window.end }),
        key: facts.question.key.clone(),
        as_of: AsOf { epoch: newest.epoch, clock: newest.now, frontier },
        begun,
        waiting: must_reach.map(|must_reach| waiting(facts, must_reach)),
        nearest: nothing.then_some(NearestSpans { before: facts.nearest.before, after: facts.nearest.after }),
        rows,
        untold,
    }
}

/// The frontier, unless it has not moved yet.
fn known(frontier: EventTime) -> Option<EventTime> {
    (frontier > EventTime::MIN).then_some(frontier)
}

/// What becomes of a record of a row.
enum Verdict {
    Counts(Place),
    LeftOut(LeftOut),
}

/// `never` says that no row of the group comes.
fn verdict(facts: &Facts, group: &Group<'_>, never: bool, at: At, record: &Record) -> Verdict {
    let (partition, offset) = at;
    let left_out = |reason: &str, epoch| {
        let (reason, time) = (reason.to_owned(), record.time);
        Verdict::LeftOut(LeftOut { reason, time, partition, offset, epoch })
    };
    if let Some(dropped) = facts.dropped.get(&at) {
        return left_out(&dropped.reason, Some(dropped.epoch));
    }
    let place = facts.bindings.place(partition, offset);
    // The rules say it as well, should the journal and the store have forgotten it.
    let tolerated = |append_time: EventTime| record.time <= append_time.plus_ms(facts.rules.tolerance_ms);
    let epoch = match place {
        Place::Epoch(index) => Some(facts.bindings.range[index].epoch),
        Place::Pruned | Place::Unbound => None,
    };
    if epoch.is_some() && record.append_time.is_some_and(|append_time| !tolerated(append_time)) {
        return left_out("future", epoch);
    }
    if let Some(reason) = begun::left_out(facts, group, never, place) {
        return left_out(&reason, epoch);
    }
    let expires = facts.rules.windows.map(|_| facts.rules.settled_at(group.span.end));
    if let Place::Epoch(index) = place
        && expires.is_some_and(|expires| expires <= facts.bindings.frontier_before(index))
    {
        return left_out("expired", epoch);
    }
    Verdict::Counts(place)
}

fn story(facts: &Facts, group: &Group<'_>) -> RowStory {
    let is_window = facts.rules.windows.is_some();
    let never = begun::never_comes(facts, group);
    let (mut counted, mut unbound, mut left_out) = (BTreeMap::new(), Shares::default(), Vec::new());
    let (mut records, mut pruned) = (0, Shares::default());
    let mut last = None;
    for (at, record) in &group.records {
        match verdict(facts, group, never, *at, record) {
            Verdict::LeftOut(record) => left_out.push(record),
            Verdict::Counts(place) => {
                last = last.max(Some(record.time));
                match place {
                    Place::Unbound => {
                        unbound.add(*at);
                        continue;
                    }
                    Place::Pruned => pruned.add(*at),
                    Place::Epoch(index) => counted.entry(index).or_insert_with(Shares::default).add(*at),
                }
                records += 1;
            }
        }
    }
    // A session lasts as long as its records that count; rows know of those that are gone.
    let end = match last {
        Some(last) if !is_window && group.said.is_empty() && group.stored.is_empty() => last,
        _ => group.span.end,
    };
    let final_at = facts.rules.final_at(end);
    let epochs = match facts.question.subject {
        Subject::SessionWindows if never => Vec::new(),
        Subject::SessionWindows => closings(facts, group, final_at),
        _ => contributions(facts, pruned, counted, final_at),
    };
    let columns = |row: &Columns| values(facts.question.subject, row);
    let said: Vec<SaidRow> = group.said.iter().map(|said| said_row(said, columns)).collect();
    let stored = group.stored.iter();
    let has_input = records > 0 || !unbound.0.is_empty() || !epochs.is_empty();
    let mut story = RowStory {
        key: group.key.clone(),
        span: Span { start: group.span.start, end },
        state: State::Nothing,
        final_at,
        final_epoch: facts.bindings.reached(final_at),
        settled_at: facts.rules.settled_at(end),
        stored: stored
            .map(|stored| StoredRow { version: stored.epoch, columns: columns(&stored.row) })
            .collect(),
        said,
        records,
        epochs,
        unbound: unbound.finish(),
        left_out,
    };
    story.state =
        if never { State::Never } else { state(group, &story, has_input, facts.bindings.newest.close_to) };
    story
}

fn state(group: &Group<'_>, story: &RowStory, has_input: bool, frontier: EventTime) -> State {
    let mut standing = BTreeMap::new();
    for said in &group.said {
        standing.insert(row_name(&said.row), said.op != Op::Retract);
    }
    let stands = standing.values().any(|stands| *stands) || (standing.is_empty() && !story.stored.is_empty());
    let changed = group.said.iter().any(|said| said.op != Op::Final)
        || (group.said.is_empty()
            && story.stored.iter().any(|row| story.final_epoch.is_some_and(|epoch| row.version > epoch)));
    match (stands, changed) {
        (true, true) => State::Corrected,
        (true, false) => State::Final,
        (false, _) if frontier < story.final_at && has_input => State::Open,
        (false, _) if !group.said.is_empty() => State::Retracted,
        (false, _) if has_input && story.unbound.is_empty() => State::Removed,
        (false, _) if has_input => State::Open,
        (false, _) => State::Nothing,
    }
}

/// What tells rows of one group apart: only sessions have several.
fn row_name(row: &Columns) -> String {
    row.get("start_time").map(ToString::to_string).unwrap_or_default()
}

/// The columns that are not the window's and not the key's.
fn values(subject: Subject, row: &Columns) -> Columns {
    let told = ["window_start", "window_end", subject.key_column(), "user_id"];
    row.iter()
        .filter(|(name, _)| !told.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn said_row(said: &Said, columns: impl Fn(&Columns) -> Columns) -> SaidRow {
    SaidRow { epoch: said.epoch, op: said.op, columns: columns(&said.row) }
}

fn contributions(
    facts: &Facts,
    pruned: Shares,
    counted: BTreeMap<usize, Shares>,
    final_at: EventTime,
) -> Vec<Contribution> {
    let unknown = (!pruned.0.is_empty()).then(|| Contribution {
        epoch: None,
        clock: None,
        frontier: None,
        late: false,
        partitions: pruned.finish(),
        sessions: Vec::new(),
    });
    let known = counted.into_iter().map(|(index, shares)| {
        let bound = &facts.bindings.range[index];
        Contribution {
            epoch: Some(bound.epoch),
            clock: Some(bound.now),
            frontier: known(bound.close_to),
            late: final_at <= facts.bindings.frontier_before(index),
            partitions: shares.finish(),
            sessions: Vec::new(),
        }
    });
    unknown.into_iter().chain(known).collect()
}

/// What the epochs brought to a window over sessions: rows of sessions that end in it.
fn closings(facts: &Facts, group: &Group<'_>, final_at: EventTime) -> Vec<Contribution> {
    let begun = begun::before(facts, group.span.start);
    let mut epochs: BTreeMap<Epoch, Vec<SaidRow>> = BTreeMap::new();
    for said in group.sessions.iter().filter(|said| begun.is_none_or(|begun| said.epoch < begun.epoch)) {
        epochs.entry(said.epoch).or_default().push(said_row(said, Clone::clone));
    }
    let final_epoch = facts.bindings.reached(final_at);
    let contribution = |(epoch, sessions): (Epoch, Vec<SaidRow>)| {
        let bound = facts.bindings.of(epoch);
        Contribution {
            epoch: Some(epoch),
            clock: bound.map(|bound| bound.now),
            frontier: bound.and_then(|bound| known(bound.close_to)),
            late: final_epoch.is_some_and(|first| epoch > first),
            partitions: Vec::new(),
            sessions,
        }
    };
    epochs.into_iter().map(contribution).collect()
}

/// Offsets, gathered into ranges; they come in order.
#[derive(Debug, Default)]
struct Shares(BTreeMap<PartitionId, Share>);

impl Shares {
    fn add(&mut self, (partition, offset): At) {
        let new = || Share { partition, ..Share::default() };
        let share = self.0.entry(partition).or_insert_with(new);
        share.records += 1;
        match share.offsets.last_mut() {
            Some(range) if range.to == offset => range.to = offset.plus(1),
            _ => share.offsets.push(Offsets { from: offset, to: offset.plus(1) }),
        }
    }

    fn finish(self) -> Vec<Share> {
        self.0.into_values().collect()
    }
}

/// What the frontier waits for.
fn waiting(facts: &Facts, must_reach: EventTime) -> Waiting {
    let newest = &facts.bindings.newest;
    let statement = |(partition, end): (&PartitionId, &Offset)| Statement {
        partition: *partition,
        position: *end,
        largest: EventTime::MIN,
        latest: EventTime::MIN,
        look: Some(*end),
        records: 0,
        appended: None,
        last: None,
    };
    let looks: Vec<Statement> = facts.ends.iter().map(statement).collect();
    // The clock goes on while nothing is journaled.
    let now = newest.now.max(facts.clock);
    let standings = standings(&facts.time, &newest.partitions, &looks, now);
    let holder = Holder::of(&standings);
    let holding = match &holder {
        Holder::Partitions(holding) => {
            holding.iter().map(|(partition, reason)| (*partition, reason.as_str())).collect()
        }
        _ => BTreeMap::new(),
    };
    let frontier = known(newest.close_to);
    let (epoch, clock) = facts.bindings.moved_at;
    let binding_age_ms = facts.clock.since_ms(newest.now).max(0);
    Waiting {
        frontier,
        must_reach,
        short_ms: frontier.map(|frontier| must_reach.since_ms(frontier)),
        held_by: holder.as_str(),
        holding,
        unmoved_since: Unmoved { epoch, clock, or_longer: facts.bindings.moved_earlier },
        binding_age_ms,
        stands_still: binding_age_ms > STANDS_STILL_MS,
        bound_ms: facts.time.bound_ms,
        partitions: standings
            .iter()
            .map(|standing| Standing {
                partition: standing.partition,
                watermark: known(standing.watermark),
                last_record: newest.partitions[&standing.partition].active_at,
                offset: standing.position,
                end_offset: standing.look,
                idle: standing.idle,
            })
            .collect(),
    }
}
