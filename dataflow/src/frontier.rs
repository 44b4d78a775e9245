//! The operator around [`decide`]: on worker 0 it gathers the statements of an epoch and sends the
//! frontier to everyone. On the other workers it only passes that on.

use std::collections::BTreeMap;
use std::rc::Rc;

use tidegate_model::binding::LastRecord;
use tidegate_model::planted::{Bug, is_planted};
use tidegate_model::{Epoch, EventTime, PartitionId};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::{Capability, CapabilitySet};
use timely::dataflow::{Scope, StreamVec};

use crate::control::{Close, Decided, Statement, Tick};
use crate::decide::{Decision, TimeState, decide};
use crate::graph::Hold;
use crate::settings::TimeSettings;
use crate::survey::Survey;

/// What the frontier operator is made of.
pub(crate) struct FrontierParts {
    pub(crate) settings: TimeSettings,
    /// When everything is closed that events up to this time can have opened.
    pub(crate) all_closed_at: Rc<dyn Fn(EventTime) -> EventTime>,
    /// Provisional rows are left out while the frontier is further than this behind the clock.
    pub(crate) provisional_lag_max_ms: i64,
    pub(crate) hold: Rc<Hold>,
}

/// A decision, for the one who gathers the epoch.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) epoch: Epoch,
    pub(crate) commit: bool,
    pub(crate) snapshot: bool,
    pub(crate) state: TimeState,
    pub(crate) last_records: BTreeMap<PartitionId, LastRecord>,
    pub(crate) survey: Survey,
}

/// The streams that leave the operator: what every worker hears, and what only worker 0 needs.
pub(crate) struct Frontiers<'s> {
    pub(crate) decided: StreamVec<'s, u64, Decided>,
    pub(crate) settled: StreamVec<'s, u64, Settled>,
}

/// Decides the frontier of each epoch. `ticks` are those that were put in at this worker.
pub(crate) fn frontier<'s>(
    scope: Scope<'s, u64>,
    ticks: StreamVec<'s, u64, (u64, Tick)>,
    statements: StreamVec<'s, u64, Statement>,
    parts: FrontierParts,
) -> Frontiers<'s> {
    let mut builder = OperatorBuilder::new("Frontier".to_owned(), scope);
    let mut ticks = builder.new_input(ticks, Pipeline);
    let mut statements = builder.new_input(statements, Exchange::new(|_: &Statement| 0));
    let (decided_out, decided) = builder.new_output::<Vec<(u64, Decided)>>();
    let (settled_out, settled) = builder.new_output::<Vec<Settled>>();
    let mut decided_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(decided_out);
    let mut settled_out = OutputBuilder::<_, CapacityContainerBuilder<_>>::from(settled_out);
    let peers = scope.peers() as u64;
    let hold = Rc::clone(&parts.hold);

    builder.build(move |capabilities| {
        drop(capabilities);
        let mut clock = Clock { parts, state: TimeState::default() };
        let mut pending: BTreeMap<u64, (Tick, Capability<u64>, Capability<u64>)> = BTreeMap::new();
        let mut stated: BTreeMap<u64, Vec<Statement>> = BTreeMap::new();
        move |frontiers| {
            ticks.for_each(|time, ticks| {
                for (worker, tick) in ticks.drain(..) {
                    if worker == 0 {
                        let retain = |port| time.retain_least(port).expect("a message has a time");
                        pending.insert(tick.ends.0, (tick, retain(0), retain(1)));
                    }
                }
            });
            statements.for_each(|time, statements| {
                let epoch = *time.least().expect("a message has a time");
                stated.entry(epoch).or_default().append(statements);
            });
            while let Some(entry) = pending.first_entry() {
                if frontiers[1].less_equal(entry.key()) {
                    break;
                }
                let (epoch, (tick, for_all, for_gather)) = entry.remove_entry();
                let (decided, settled) = clock.settle(tick, &stated.remove(&epoch).unwrap_or_default());
                let mut output = decided_out.activate();
                let mut session = output.session(&for_all);
                session.give_iterator((0..peers).map(|worker| (worker, decided)));
                settled_out.activate().session(&for_gather).give(settled);
            }
        }
    });

    let pact = Exchange::new(|(worker, _): &(u64, Decided)| *worker);
    let decided = decided.unary(pact, "Frontiers", move |_, _| {
        move |input, output| {
            input.for_each(|time, frontiers| {
                let capability: CapabilitySet<u64> = time.retain_stamp(0);
                let mut session = output.session(&capability);
                for (_, decided) in frontiers.drain(..) {
                    hold.above.set(decided.hold_above);
                    session.give(decided);
                }
            });
        }
    });
    Frontiers { decided, settled }
}

/// Worker 0's knowledge of time.
struct Clock {
    parts: FrontierParts,
    state: TimeState,
}

impl Clock {
    fn settle(&mut self, tick: Tick, statements: &[Statement]) -> (Decided, Settled) {
        let close_before = self.state.frontier;
        let live = matches!(tick.close, Close::Decide | Close::DecideAndCloseAll);
        let emit = live || matches!(tick.close, Close::Again(_));
        let decision = match tick.close {
            Close::Journaled(_) if is_planted(Bug::FrontierRecomputed) && !statements.is_empty() => {
                Decision {
                    journal: false,
                    ..decide(&self.parts.settings, &self.state, statements, tick.now, None)
                }
            }
            Close::Journaled(journaled) | Close::Again(journaled) => {
                Decision::journaled(&self.parts.settings, tick.now, journaled, statements)
            }
            Close::Decide => decide(&self.parts.settings, &self.state, statements, tick.now, None),
            Close::DecideAndCloseAll => {
                let latest = statements.iter().map(|statement| statement.latest).max();
                let all_closed = (self.parts.all_closed_at)(latest.unwrap_or(EventTime::MIN));
                decide(&self.parts.settings, &self.state, statements, tick.now, Some(all_closed))
            }
        };
        let is_last = tick.snapshot && tick.next.is_none();
        self.state = decision.state;
        // A binding in which nothing happened; without a clock there is none to go on from.
        let commit = decision.journal || (live && is_last && self.state.now > EventTime::MIN);
        let lag_ms = self.state.now.since_ms(self.state.frontier);
        let decided = Decided {
            epoch: tick.ends,
            close_before,
            close_to: self.state.frontier,
            emit,
            provisional: live && lag_ms <= self.parts.provisional_lag_max_ms,
            hold_above: decision.hold_above,
            snapshot: tick.snapshot,
        };
        let settled = Settled {
            epoch: tick.ends,
            commit,
            snapshot: tick.snapshot,
            state: self.state.clone(),
            last_records: statements
                .iter()
                .filter_map(|statement| Some((statement.partition, statement.last?)))
                .collect(),
            survey: decision.survey,
        };
        (decided, settled)
    }
}
