//! The end has one deadline. Every step of it has to be over at an instant that is counted from there, and a
//! process that is stuck in one ends without it.
//!
//! A step that is cut off costs nothing but time: what was not committed or stored is read again by the next
//! start.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::show_span;
use crate::exit::Exit;

/// What a step may be late: it has to notice that its time is over. Beyond it the process ends by force.
const GRACE: Duration = Duration::from_millis(1_500);

/// So long may it take to say why; a log that nobody reads may take for ever.
const SAYING: Duration = Duration::from_millis(500);

/// The steps of the end, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// It was told to end, and is not at it yet.
    Noticing,
    /// Events under way are answered.
    Intake,
    /// The engine reads what the log holds.
    Reading,
    /// It commits what it has read.
    Committing,
    /// The sinks store what is committed.
    Storing,
    /// Readers get their last answers.
    Answers,
    /// The log is closed, what serves is over, and the ledger is printed.
    Closing,
}

impl Step {
    /// How much of the deadline is left when it has to be over, in sixteenths.
    const fn left(self) -> u32 {
        match self {
            Self::Noticing => 16,
            Self::Intake => 12,
            Self::Reading => 5,
            Self::Committing => 3,
            Self::Storing => 2,
            Self::Answers => 1,
            Self::Closing => 0,
        }
    }

    /// What a process does that is stuck in it.
    const fn doing(self) -> &'static str {
        match self {
            Self::Noticing => "starting, or tidying the log",
            Self::Intake => "answering the events under way",
            Self::Reading | Self::Committing => "reading and committing what the log holds",
            Self::Storing => "storing what is committed in the tables and the cache",
            Self::Answers => "answering readers",
            Self::Closing => "closing the log, or printing the ledger",
        }
    }
}

/// The end of a service, from when it was told to.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    deadline: Duration,
    told: Arc<OnceLock<Instant>>,
    step: Arc<Mutex<Step>>,
}

impl Ending {
    /// An end that takes `deadline` at most, from when `stop` is cancelled; the process is watched from now on.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(super) fn watched(deadline: Duration, stop: CancellationToken, runtime: Handle) -> io::Result<Self> {
        let ending = Self::new(deadline);
        let watched = ending.clone();
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            runtime.block_on(stop.cancelled());
            let until = watched.end_of(Step::Closing) + GRACE;
            while Instant::now() < until {
                std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
            }
            watched.give_up();
        })?;
        Ok(ending)
    }

    fn new(deadline: Duration) -> Self {
        let step = Arc::new(Mutex::new(Step::Noticing));
        Self { deadline, told: Arc::default(), step }
    }

    /// When it was told to end: the first time that this is asked.
    fn told(&self) -> Instant {
        *self.told.get_or_init(Instant::now)
    }

    /// Begins a step.
    pub(super) fn begin(&self, step: Step) {
        *self.step.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// When a step has to be over.
    pub(super) fn end_of(&self, step: Step) -> Instant {
        self.told() + self.deadline / 16 * (16 - step.left())
    }

    /// How much time a step has left.
    pub(super) fn left(&self, step: Step) -> Duration {
        self.end_of(step).saturating_duration_since(Instant::now())
    }

    /// Ends the process, wherever it is stuck.
    fn give_up(&self) -> ! {
        let step = *self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = i64::try_from(self.deadline.as_millis()).unwrap_or(i64::MAX);
        let (deadline, doing) = (show_span(deadline), step.doing());
        let say = move || {
            tracing::error!(
                "the end took longer than shutdown_deadline ({deadline}) and is cut off while {doing}: what was \
                 not committed or stored is read again by the next start, and nothing counts twice; raise \
                 shutdown_deadline if the disk needs longer"
            );
        };
        // Where there is no thread either, the exit code has to say it.
        if let Ok(saying) = std::thread::Builder::new().spawn(say) {
            let until = Instant::now() + SAYING;
            while !saying.is_finished() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
        std::process::exit(Exit::Overdue.code().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_ends_by_the_one_deadline() {
        let steps =
            [Step::Intake, Step::Reading, Step::Committing, Step::Storing, Step::Answers, Step::Closing];
        let deadline = Duration::from_secs(16);
        let ending = Ending::new(deadline);
        let told = ending.told();
        assert_eq!(ending.told(), told, "it begins once");
        let until = told + deadline;
        let left = steps.map(|step| until.duration_since(ending.end_of(step)).as_secs());
        assert_eq!(left, [12, 5, 3, 2, 1, 0]);
        assert!(steps.is_sorted());
        assert!(ending.left(Step::Closing) <= deadline);
        let over = Ending::new(Duration::ZERO);
        assert_eq!(steps.map(|step| over.left(step)), [Duration::ZERO; 6]);
    }
}
