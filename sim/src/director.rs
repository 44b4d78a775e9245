//! Carries a plan out: one actor at a time, in an order that the seed decides.

mod settle;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rand::{Rng, RngExt as _};
use tidegate_dataflow::settings::JobSettings;
use tidegate_model::{EventTime, PartitionId};
use tidegate_runner::RunError;

use crate::check;
use crate::crew::{Panicked, said};
use crate::plan::send::Begin;
use crate::plan::{Plan, Send, Step};
use crate::process::{Runner, SINKS, Sinks, StartError, chain, is_expected, is_expected_of_a_zombie};
use crate::world::events::EventPartition;
use crate::world::{ProcessId, State, World};

/// When every run begins; it is aligned to no window.
const START: EventTime = EventTime::from_millis(1_772_452_807_000);

/// Turns that an end in order may take before it is cut short, as by a deadline.
const STOP_TURNS_MAX: u32 = 2_000;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A hash of everything that happened.
    pub trace: u64,
    /// Events that were acknowledged.
    pub events: u64,
    /// Epochs committed.
    pub epochs: u64,
    /// Rows committed, provisional ones and dropped records included.
    pub rows: u64,
    /// Faults that came to pass.
    pub faults: u64,
    /// Processes that ran the dataflow.
    pub processes: u64,
    /// Those of them that began from a snapshot.
    pub restored: u64,
    /// Processes that went on without events that were gone.
    pub gaps: u64,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise, in a few words.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.promise, self.seen.replace('\n', "\n  "))
    }
}

/// A violation, unless it holds.
pub(crate) fn violated<T>(promise: &'static str, seen: String) -> Result<T, Violation> {
    Err(Violation { promise, seen })
}

/// Runs a plan, and checks what came of it.
///
/// # Errors
/// The first promise that was found broken.
pub fn run(plan: &Plan) -> Result<Report, Violation> {
    let ran = std::panic::catch_unwind(|| carry_out(plan));
    ran.unwrap_or_else(|panic| violated("nothing panics", said(&*panic)))
}

fn carry_out(plan: &Plan) -> Result<Report, Violation> {
    let mut director = Director::new(plan);
    for (number, step) in &plan.steps {
        director.world.lock().rng = plan.rng_of(2 * number);
        let mut rng = plan.rng_of(2 * number + 1);
        director.step(step, &mut rng)?;
    }
    director.settle(&mut plan.rng_of(usize::MAX / 4))?;
    let report = director.report();
    check::all(plan, &director.world.lock())?;
    Ok(report)
}

struct Director<'p> {
    plan: &'p Plan,
    world: Arc<World>,
    runner: Option<Runner>,
    /// Processes that were paused when another one took over, and may have woken up.
    zombies: Vec<Runner>,
    sinks: Option<Sinks>,
    jobs: JobSettings,
    workers: usize,
    sink_rows_max: usize,
    processes: u32,
    runners: u64,
    /// The last event of each user and session.
    sent: BTreeMap<(u8, u8), EventTime>,
}

impl<'p> Director<'p> {
    fn new(plan: &'p Plan) -> Self {
        let world = World::new(plan.seed, START, plan.setup.partitions);
        world.lock().faults.short_reads = true;
        Self {
            plan,
            world,
            runner: None,
            zombies: Vec::new(),
            sinks: None,
            jobs: plan.setup.jobs.clone(),
            workers: plan.setup.workers,
            sink_rows_max: plan.setup.sink_rows_max,
            processes: 0,
            runners: 0,
            sent: BTreeMap::new(),
        }
    }

    fn report(&self) -> Report {
        let state = self.world.lock();
        Report {
            trace: state.trace,
            events: state.events.iter().map(|partition| partition.high).sum(),
            epochs: state.bindings.len() as u64,
            rows: state.topics.rows().count() as u64,
            faults: state.faults.happened,
            processes: self.runners,
            restored: state.restored,
            gaps: state.bindings.iter().filter(|binding| binding.gap.is_some()).count() as u64,
        }
    }

    fn step(&mut self, step: &Step, rng: &mut impl Rng) -> Result<(), Violation> {
        match step {
            Step::Send(send) => self.send(send),
            Step::Run { turns, starved } => return self.run(*turns, *starved, rng),
            Step::Kill { workers } => {
                self.runner = None;
                self.workers = *workers;
            }
            Step::Stop { drain, workers } => {
                self.workers = *workers;
                return self.stop(*drain, rng);
            }
            Step::LoseEvents { partition, quarters } => {
                self.runner = None;
                // One that wakes up would find its events gone before it finds out that it was fenced.
                self.zombies.clear();
                let mut state = self.world.lock();
                let partition = PartitionId(partition % u32::try_from(state.events.len()).expect("few"));
                state.lose_events(partition, *quarters);
            }
            Step::TakeOver { workers } => {
                self.workers = *workers;
                if let Some(mut runner) = self.runner.take() {
                    runner.paused = true;
                    self.zombies.push(runner);
                }
            }
            Step::Wake => self.zombies.iter_mut().for_each(|zombie| zombie.paused = false),
            Step::ChangeJobs(change) => {
                self.runner = None;
                change.apply(&mut self.jobs);
            }
            Step::KillSinks { rows_max } => {
                self.sinks = None;
                self.sink_rows_max = *rows_max;
            }
            Step::RetainEvents => {
                if let Some(runner) = &self.runner {
                    let from = runner.handle.status().progress().snapshots.events_from;
                    self.world.lock().retain_events(&from);
                }
            }
            world => self.change_world(world),
        }
        Ok(())
    }

    /// The steps that touch no process.
    fn change_world(&self, step: &Step) {
        let mut state = self.world.lock();
        let partition = |number: u32, state: &State| {
            PartitionId(number % u32::try_from(state.events.len()).expect("few"))
        };
        match step {
            Step::Replicate { partition: number } => {
                let partition = partition(*number, &state);
                state.replicate(partition);
            }
            Step::LoseLeader { partition: number } => {
                let partition = partition(*number, &state);
                state.lose_unreplicated(partition);
            }
            Step::Clock { by_ms } => state.now = state.now.plus_ms(*by_ms),
            Step::Arm(fault) => state.faults.arm(*fault),
            Step::Blind { partition: number, on } => {
                let partition = partition(*number, &state);
                set(&mut state.faults.blind, partition, *on);
            }
            Step::Unreadable { partition: number, on } => {
                let partition = partition(*number, &state);
                set(&mut state.faults.unreadable, partition, *on);
            }
            Step::Slow { partition: number, on } => {
                let partition = partition(*number, &state);
                set(&mut state.faults.slow, partition, *on);
            }
            Step::AddPartition => state.events.push(EventPartition::default()),
            Step::RetainRows => {
                let everything: &dyn Fn(&str) -> bool = &|topic| topic != "live_metrics";
                let cached: &dyn Fn(&str) -> bool = &|topic| {
                    ["event_metrics", "performance_metrics", "session_window_metrics", "live_metrics"]
                        .contains(&topic)
                };
                state.topics.retain(&[(SINKS[0], everything), (SINKS[1], cached)]);
            }
            Step::SpoilSnapshot { object, how } => state.spoil_snapshot(*object, *how),
            Step::BackUpCache => state.cache_backup = Some(state.cache.copy()),
            Step::RestoreCache => state.restore_cache(),
            Step::Send(_)
            | Step::Run { .. }
            | Step::Kill { .. }
            | Step::Stop { .. }
            | Step::LoseEvents { .. }
            | Step::TakeOver { .. }
            | Step::Wake
            | Step::RetainEvents
            | Step::ChangeJobs(_)
            | Step::KillSinks { .. } => unreachable!("the steps that touch processes come before"),
        }
    }

    fn send(&mut self, send: &Send) {
        let mut state = self.world.lock();
        let partition = PartitionId(send.partition % u32::try_from(state.events.len()).expect("few"));
        let own = self.sent.entry((send.user, send.session)).or_insert(state.now);
        let first = match send.begin {
            Begin::BehindClock(lag_ms) => state.now.minus_ms(lag_ms),
            Begin::AfterOwn(after_ms) => own.plus_ms(after_ms),
        };
        for number in 0..send.count {
            let time = first.plus_ms(send.spacing_ms * i64::from(number));
            *own = time;
            let (record, value) = send.event(partition, time);
            state.append(partition, record, value);
        }
        if send.acknowledged {
            state.replicate(partition);
        }
    }

    /// Starts what does not run, unless it is not to be.
    fn start(&mut self) -> Result<(), Violation> {
        self.start_sinks();
        if self.runner.is_none() {
            let id = self.next_process();
            match Runner::start(&self.world, id, &self.plan.setup, &self.jobs, self.workers) {
                Ok(runner) => {
                    self.runners += 1;
                    self.runner = Some(runner);
                }
                Err(StartError::Again) => {}
                Err(StartError::Wrong(seen)) => return violated("a process starts", seen),
            }
        }
        Ok(())
    }

    fn start_sinks(&mut self) {
        if self.sinks.is_none() {
            let id = self.next_process();
            self.sinks = Some(Sinks::start(&self.world, id, self.sink_rows_max));
        }
    }

    fn next_process(&mut self) -> ProcessId {
        self.processes += 1;
        ProcessId(self.processes)
    }

    /// Gives so many turns.
    fn run(&mut self, turns: u32, starved: Option<u8>, rng: &mut impl Rng) -> Result<(), Violation> {
        self.start()?;
        for _ in 0..turns {
            let actors = self.actors();
            let mut actor = rng.random_range(0..actors);
            if starved.is_some_and(|starved| usize::from(starved) % actors == actor)
                && rng.random_ratio(19, 20)
            {
                actor = rng.random_range(0..actors);
            }
            self.turn(actor)?;
        }
        Ok(())
    }

    fn actors(&self) -> usize {
        let runners = self.runner.iter().chain(&self.zombies);
        runners.map(Runner::actors).sum::<usize>() + 2
    }

    /// Gives an actor a turn: one of the sinks, or a part of one of the processes.
    fn turn(&mut self, mut actor: usize) -> Result<(), Violation> {
        self.world.lock().note("turn", actor as u64);
        if actor < 2 {
            if let Some(sinks) = &mut self.sinks {
                let stepped = if actor == 0 { sinks.step_metrics() } else { sinks.step_cache() };
                if let Err(seen) = stepped {
                    return violated("sinks go on", seen);
                }
            }
            self.bury();
            return Ok(());
        }
        actor -= 2;
        for runner in self.runner.iter_mut().chain(&mut self.zombies) {
            if actor >= runner.actors() {
                actor -= runner.actors();
                continue;
            }
            if !runner.paused {
                if let Err(Panicked(seen)) = runner.turn(actor) {
                    return violated("nothing panics", seen);
                }
                self.world.lock().watch(&runner.handle);
            }
            break;
        }
        self.bury();
        self.ended()
    }

    /// Lets go of processes that were killed in the middle of an I/O.
    fn bury(&mut self) {
        let killed = std::mem::take(&mut self.world.lock().faults.killed);
        if killed.is_empty() {
            return;
        }
        self.sinks.take_if(|sinks| killed.contains(&sinks.id));
        self.runner.take_if(|runner| killed.contains(&runner.id));
        self.zombies.retain(|zombie| !killed.contains(&zombie.id));
    }

    /// Lets go of processes that have come to an end, and says if one should not have.
    fn ended(&mut self) -> Result<(), Violation> {
        let mut wrong = None;
        let mut is_over = |runner: &Runner, is_expected: fn(&RunError) -> bool| {
            let failure = runner.failure();
            let over = failure.is_some() || runner.is_over();
            if let Some(error) = failure.filter(|error| !is_expected(error)) {
                wrong = Some(format!("process {} ended: {}", runner.id.0, chain(&error)));
            }
            over
        };
        self.runner.take_if(|runner| is_over(runner, is_expected));
        self.zombies.retain(|zombie| !is_over(zombie, is_expected_of_a_zombie));
        wrong.map_or(Ok(()), |seen| violated("a process goes on", seen))
    }

    /// Ends the process in order, or by a deadline.
    fn stop(&mut self, drain: bool, rng: &mut impl Rng) -> Result<(), Violation> {
        let Some(runner) = &self.runner else { return Ok(()) };
        if drain {
            runner.handle.begin_drain();
        } else {
            runner.handle.stop();
        }
        let id = runner.id;
        for _ in 0..STOP_TURNS_MAX {
            match &self.runner {
                Some(runner) if runner.id == id => {
                    let actor = 2 + rng.random_range(0..runner.actors());
                    self.turn(actor)?;
                }
                _ => break,
            }
        }
        self.runner = None;
        Ok(())
    }
}

fn set(partitions: &mut std::collections::BTreeSet<PartitionId>, partition: PartitionId, on: bool) {
    if on {
        partitions.insert(partition);
    } else {
        partitions.remove(&partition);
    }
}
