//! A plan: everything that a seed decides, drawn before anything runs.
//!
//! What happens inside a step (which actor is next, how much a read gives) is drawn from a generator of
//! its own, by the seed and the step's number; so a plan from which steps are left out still does the
//! same in the others, and shrinking works.

mod draw;
pub mod send;
mod setup;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tidegate_dataflow::settings::JobSettings;

pub use self::send::Send;
pub use self::setup::Setup;
use crate::world::faults::Armed;
use crate::world::snapshots::Spoil;

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed that it was drawn from.
    pub seed: u64,
    /// Settings.
    pub setup: Setup,
    /// What happens, each step with its number.
    pub steps: Vec<(usize, Step)>,
}

/// What happens next. Partitions are counted modulo their number.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Somebody sends events.
    Send(Send),
    /// The records of a partition are replicated and acknowledged.
    Replicate {
        /// The partition.
        partition: u32,
    },
    /// The leader of a partition is lost with what was not replicated.
    LoseLeader {
        /// The partition.
        partition: u32,
    },
    /// The clock moves, back if negative.
    Clock {
        /// Milliseconds.
        by_ms: i64,
    },
    /// The actors run, one at a time, in an order that the seed decides.
    Run {
        /// So many turns.
        turns: u32,
        /// One of them hardly gets a turn.
        starved: Option<u8>,
    },
    /// Something will go wrong.
    Arm(Armed),
    /// The process that runs the dataflow is killed; the next one has so many workers.
    Kill {
        /// Workers of the next process.
        workers: usize,
    },
    /// The process that runs the dataflow is asked to stop, and does; the next one has so many workers.
    Stop {
        /// Whether it reads everything first.
        drain: bool,
        /// Workers of the next process.
        workers: usize,
    },
    /// The process that runs the dataflow is killed, and events of a partition are gone that nobody may have
    /// read yet; whoever starts then has been told to go on.
    LoseEvents {
        /// The partition.
        partition: u32,
        /// So many quarters of what is there.
        quarters: u8,
    },
    /// The process that runs the dataflow is paused, and another one takes over.
    TakeOver {
        /// Workers of the other process.
        workers: usize,
    },
    /// Paused processes wake up.
    Wake,
    /// The sinks are killed; the next ones read so many rows at a time.
    KillSinks {
        /// Rows a step.
        rows_max: usize,
    },
    /// The process that runs the dataflow is killed, and the next one has other settings of its jobs.
    ChangeJobs(JobChange),
    /// Nobody can look at a partition's end, or everybody again.
    Blind {
        /// The partition.
        partition: u32,
        /// Whether it begins.
        on: bool,
    },
    /// A partition cannot be read, or can again.
    Unreadable {
        /// The partition.
        partition: u32,
        /// Whether it begins.
        on: bool,
    },
    /// A partition is read a record at a time, or at full speed again.
    Slow {
        /// The partition.
        partition: u32,
        /// Whether it begins.
        on: bool,
    },
    /// The topic of events gets another partition.
    AddPartition,
    /// Rows that every sink has are removed from the log.
    RetainRows,
    /// Events that no start needs are removed from the log.
    RetainEvents,
    /// An object of a snapshot is lost or damaged.
    SpoilSnapshot {
        /// Which, modulo their number.
        object: u32,
        /// What becomes of it.
        how: Spoil,
    },
    /// The cache's state is kept for later.
    BackUpCache,
    /// The cache is restored from the state that was kept, or loses everything when there is none.
    RestoreCache,
}

/// Another setting of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobChange {
    /// The size of the windows of `event_metrics`.
    EventWindow(i64),
    /// The size of the windows of `session_window_metrics`.
    SessionWindow(i64),
    /// The gap of sessions.
    SessionGap(i64),
    /// The allowed lateness of every job.
    Lateness(i64),
}

impl JobChange {
    /// Makes the change.
    pub fn apply(self, jobs: &mut JobSettings) {
        match self {
            Self::EventWindow(ms) => jobs.event_window_ms = ms,
            Self::SessionWindow(ms) => jobs.session_window_ms = ms,
            Self::SessionGap(ms) => jobs.session_gap_ms = ms,
            Self::Lateness(ms) => jobs.allowed_lateness_ms = ms,
        }
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let setup = setup::draw(&mut rng);
        let steps = draw::steps(&mut rng, &setup).into_iter().enumerate().collect();
        Self { seed, setup, steps }
    }

    /// Only the steps with these numbers.
    #[must_use]
    pub fn keep(&self, numbers: &[usize]) -> Self {
        let steps = self.steps.iter().filter(|(number, _)| numbers.contains(number)).cloned();
        Self { steps: steps.collect(), ..self.clone() }
    }

    /// The generator of what is left open in a step.
    pub fn rng_of(&self, step: usize) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(1 + step as u64);
        rng
    }
}
