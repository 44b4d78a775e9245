//! Operators that work epoch by epoch: everything of an epoch at once, in the order of epochs, when it
//! is complete and its frontier is known.
//!
//! Such an operator cannot depend on the order of arrival within an epoch, nor on how far the rest of
//! the graph has come. It drains its inputs before it looks at their frontiers.

use std::collections::BTreeMap;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

use crate::control::Decided;

/// A change to a collection, as differential dataflow writes it: what, in which epoch, how much.
pub(crate) type Change<D, R = isize> = (D, u64, R);

/// Calls `finish` with each epoch's frontier and changes, and sends what it leaves in its last argument.
///
/// A change belongs to the epoch that it names itself: a message of differential's may carry several.
pub(crate) fn per_epoch<'s, D, R, O, P>(
    name: &str,
    changes: StreamVec<'s, u64, Change<D, R>>,
    pact: P,
    decided: StreamVec<'s, u64, Decided>,
    mut finish: impl FnMut(&Decided, Vec<(D, R)>, &mut Vec<O>) + 'static,
) -> StreamVec<'s, u64, O>
where
    D: Clone + 'static,
    R: Clone + 'static,
    O: Clone + 'static,
    P: ParallelizationContract<u64, Vec<Change<D, R>>>,
{
    changes.binary_frontier(decided, pact, Pipeline, name, move |_, _| {
        let mut pending: BTreeMap<u64, Vec<(D, R)>> = BTreeMap::new();
        let mut frontiers: BTreeMap<u64, (Decided, Capability<u64>)> = BTreeMap::new();
        let mut out = Vec::new();
        move |(changes, changes_frontier), (decided, _), output| {
            changes.for_each(|_, changes| {
                for (data, epoch, diff) in changes.drain(..) {
                    pending.entry(epoch).or_default().push((data, diff));
                }
            });
            decided.for_each(|time, decided| {
                for decided in decided.drain(..) {
                    let capability = time.retain_least(0).expect("a message has a time");
                    frontiers.insert(decided.epoch.0, (decided, capability));
                }
            });
            while let Some(entry) = frontiers.first_entry() {
                if changes_frontier.less_equal(entry.key()) {
                    break;
                }
                let (epoch, (decided, capability)) = entry.remove_entry();
                let changes = pending.remove(&epoch).unwrap_or_default();
                finish(&decided, changes, &mut out);
                if !out.is_empty() {
                    output.session(&capability).give_iterator(out.drain(..));
                }
            }
        }
    })
}
