//! Windowed views: small aggregates by window, kept as differential collections.
//!
//! What comes in are changes of partial aggregates, from every worker and in any epoch. Differential
//! sums them and turns each change of a sum into a retraction and an addition. The `gate` lets a
//! window's row out when it is final, and what changes afterwards as corrections, until the window's
//! horizon. One epoch later `retire` takes the window out of the collection again: state is freed by
//! retraction, and such a retraction is no correction, so the gate drops changes beyond the horizon.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::rc::Rc;

use differential_dataflow::difference::{Abelian, Semigroup};
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::CountTotal;
use differential_dataflow::{AsCollection, ExchangeData};
use tidegate_model::{EventTime, MetricRow, Op};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};

use crate::control::Decided;
use crate::epochs::{Change, per_epoch};
use crate::job::Building;
use crate::open::{OpenCounts, OpenReporter};
use crate::report::{OutRow, Report};
use crate::snapshot::{Restored, SumRow, Windows};

/// What a view knows of its windows.
pub trait Windowed: Clone + 'static {
    /// Names a row; contains its window.
    type Key: ExchangeData + Hashable;
    /// What the row is made of.
    type Value: Clone + 'static;
    /// The row.
    type Row: MetricRow + PartialEq;

    /// Whether provisional rows are wanted.
    const PROVISIONAL: bool;

    /// The window's row is final when the frontier has come here.
    fn final_at(&self, key: &Self::Key) -> EventTime;

    /// How long a final row may still be corrected; the window's horizon is so much after `final_at`.
    fn grace_ms(&self) -> i64;

    /// The row, from what it is made of.
    fn row(&self, key: &Self::Key, value: &Self::Value) -> Self::Row;
}

/// A view whose value is the sum of all changes.
pub trait Summed: Windowed<Value: ExchangeData + Semigroup + Abelian> {
    /// A sum as a snapshot has it.
    fn sum_row(key: &Self::Key, sum: &Self::Value) -> SumRow;

    /// The other way round.
    fn sum_of(row: &SumRow) -> (Self::Key, Self::Value);

    /// Where a snapshot has its sums.
    fn sums_in(windows: &Windows) -> &Vec<SumRow>;

    /// The same, to add to them.
    fn sums_in_mut(windows: &mut Windows) -> &mut Vec<SumRow>;
}

/// Adds a summed view to the graph.
pub(crate) fn summed_view<'s, W: Summed>(
    name: &'static str,
    changes: StreamVec<'s, u64, Change<W::Key, W::Value>>,
    view: &W,
    graph: &mut Building<'_, 's>,
) {
    let sums = retire(name, changes, view.clone(), graph).as_collection().count_total();
    graph.reports.push(gate(name, sums.inner, graph.decided.clone(), view.clone()));
}

/// Passes changes on, and one epoch after a window's horizon takes all of them back.
///
/// After a snapshot was restored, what it held is passed on in the first epoch.
fn retire<'s, W: Summed>(
    name: &'static str,
    changes: StreamVec<'s, u64, Change<W::Key, W::Value>>,
    view: W,
    graph: &Building<'_, 's>,
) -> StreamVec<'s, u64, Change<W::Key, W::Value>> {
    let mut sums: BTreeMap<(EventTime, W::Key), W::Value> = BTreeMap::new();
    let pact = Exchange::new(|(key, _, _): &Change<W::Key, W::Value>| key.hashed().into());
    let restored = graph.restored_for(name).into_iter().flat_map(Restored::windows);
    let is_own = own::<W::Key>(|key| key.hashed().into(), graph);
    let restored = restored.flat_map(|windows| W::sums_in(windows)).map(W::sum_of);
    let mut restored: Vec<_> = restored.filter(|(key, _)| is_own(key)).collect();
    let captures = Rc::clone(graph.captures);
    captures.register();
    let decided = graph.decided.clone();
    per_epoch(&format!("{name}: retire"), changes, pact, decided, move |decided, changes, out| {
        let epoch = decided.epoch.0;
        let mut summed: BTreeMap<W::Key, W::Value> = BTreeMap::new();
        for (key, change) in std::mem::take(&mut restored).into_iter().chain(changes) {
            add(summed.entry(key), change);
        }
        for (key, change) in summed {
            let horizon = view.final_at(&key).plus_ms(view.grace_ms());
            debug_assert!(horizon > decided.close_before, "folds change nothing beyond the horizon");
            add(sums.entry((horizon, key.clone())), change.clone());
            out.push((key, epoch, change));
        }
        while let Some(oldest) = sums.first_entry() {
            if oldest.key().0 > decided.close_before {
                break;
            }
            let ((_, key), mut sum) = oldest.remove_entry();
            sum.negate();
            out.push((key, epoch, sum));
        }
        if decided.snapshot {
            captures.add(decided.epoch, |captured| {
                let rows = sums.iter().map(|((_, key), sum)| W::sum_row(key, sum));
                W::sums_in_mut(&mut captured.windows).extend(rows);
            });
        }
    })
}

/// Whether this worker keeps a key that is exchanged by `hash`.
pub(crate) fn own<K>(hash: impl Fn(&K) -> u64, graph: &Building<'_, '_>) -> impl Fn(&K) -> bool {
    let (index, peers) = (graph.scope.index() as u64, graph.scope.peers() as u64);
    // This is how timely distributes what it exchanges.
    move |key| hash(key) % peers == index
}

fn add<K: Ord, V: Semigroup>(place: Entry<'_, K, V>, change: V) {
    match place {
        Entry::Vacant(place) => {
            place.insert(change);
        }
        Entry::Occupied(mut place) => place.get_mut().plus_equals(&change),
    }
}

/// A window at the gate.
struct Held<V> {
    value: Option<V>,
    /// What the last row said, if the row stands.
    emitted: Option<V>,
}

impl<V: Clone> Held<V> {
    /// What has to be said now that the row is final, if anything: nothing when the row says the same.
    fn emit<R: PartialEq>(&mut self, row: impl Fn(&V) -> R) -> Option<(R, Op)> {
        let before = std::mem::replace(&mut self.emitted, self.value.clone());
        match (before.as_ref().map(&row), self.value.as_ref().map(&row)) {
            (None, Some(row)) => Some((row, Op::Final)),
            (Some(before), Some(row)) => (before != row).then_some((row, Op::Correct)),
            (Some(before), None) => Some((before, Op::Retract)),
            (None, None) => None,
        }
    }
}

/// Changes of the values of a view.
pub(crate) type Values<'s, W> = StreamVec<'s, u64, Change<(<W as Windowed>::Key, <W as Windowed>::Value)>>;

/// Turns changes of values into rows. The changes of a key must all arrive at one worker.
pub(crate) fn gate<'s, W: Windowed>(
    name: &'static str,
    changes: Values<'s, W>,
    decided: StreamVec<'s, u64, Decided>,
    view: W,
) -> StreamVec<'s, u64, Report> {
    // Ordered by finality, so that an epoch looks only at windows that become final in it.
    let mut held: BTreeMap<EventTime, BTreeMap<W::Key, Held<W::Value>>> = BTreeMap::new();
    let mut open = OpenReporter::new(name);
    per_epoch(&format!("{name}: rows"), changes, Pipeline, decided, move |decided, mut changes, out| {
        let moved = !changes.is_empty() || decided.close_before < decided.close_to;
        let (mut rows, mut provisional) = (Vec::new(), Vec::new());
        // An addition overwrites what the retraction beside it took away.
        changes.sort_by_key(|(_, diff)| *diff);
        let mut touched = Vec::with_capacity(changes.len());
        for ((key, value), diff) in changes {
            let final_at = view.final_at(&key);
            if final_at.plus_ms(view.grace_ms()) <= decided.close_before {
                continue;
            }
            let windows = held.entry(final_at).or_default();
            let window = windows.entry(key.clone()).or_insert(Held { value: None, emitted: None });
            window.value = (diff > 0).then_some(value);
            touched.push((final_at, key));
        }
        touched.sort();
        touched.dedup();

        let newly_final = (Excluded(decided.close_before), Included(decided.close_to));
        if decided.close_before < decided.close_to {
            for (key, window) in held.range_mut(newly_final).flat_map(|(_, windows)| windows) {
                rows.extend(window.emit(|value| view.row(key, value)));
            }
        }
        for (final_at, key) in &touched {
            let Some(window) = held.get_mut(final_at).and_then(|windows| windows.get_mut(key)) else {
                continue;
            };
            if *final_at <= decided.close_before {
                rows.extend(window.emit(|value| view.row(key, value)));
            } else if W::PROVISIONAL && decided.provisional && *final_at > decided.close_to {
                provisional.extend(window.value.as_ref().map(|value| (view.row(key, value), Op::Final)));
            }
            if window.value.is_none() && window.emitted.is_none() {
                held.get_mut(final_at).expect("just found").remove(key);
            }
        }
        while let Some(oldest) = held.first_entry() {
            if oldest.key().plus_ms(view.grace_ms()) > decided.close_to {
                break;
            }
            oldest.remove();
        }
        if moved {
            let not_final = held.range((Excluded(decided.close_to), Unbounded));
            let windows = not_final.map(|(_, windows)| windows.len()).sum::<usize>();
            let windows = i64::try_from(windows).expect("fewer windows than i64 can count");
            out.extend(open.report(OpenCounts { windows, ..OpenCounts::default() }));
        }
        if decided.emit {
            let out_row = |(row, op): &(W::Row, Op)| OutRow::new(row, *op);
            out.extend(report(rows.iter().map(out_row), Report::Rows));
            out.extend(report(provisional.iter().map(out_row), Report::Provisional));
        }
    })
}

/// Serialised rows, sorted where they are made. Nothing where there are none.
pub(crate) fn report(rows: impl Iterator<Item = OutRow>, kind: fn(Vec<OutRow>) -> Report) -> Option<Report> {
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    (!rows.is_empty()).then(|| kind(rows))
}
