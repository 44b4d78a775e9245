//! The threads that step the sinks, one each.

use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidegate_log::event::Wake;
use tidegate_model::EventTime;
use tidegate_runner::Clock;

use crate::exit::{CommandError, Exit};

/// How long a sink rests when nothing wakes it, and after an error.
const REST: Duration = Duration::from_millis(500);

/// How long an error that lasts is not said again: every try of every partition may have a text of its own.
const SAID_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// Something that is stepped until it has caught up with the log.
pub(super) trait Steps: Send + 'static {
    /// Why a step failed; the next one tries again, unless [`Steps::exit_of`] says otherwise.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What the log calls it when it has to wait.
    const NAME: &'static str;

    /// Has `wake` called after every commit.
    fn on_commit(&mut self, wake: Wake);

    /// How long rows are gathered before the next step, once it has caught up.
    fn gathers(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the next step is due at once, after one that has not caught up.
    fn is_behind(&self) -> bool {
        true
    }

    /// Takes a step, and says whether it has caught up.
    fn step(&mut self, now: EventTime) -> Result<bool, Self::Error>;

    /// How the process ends after an error that no step can mend; `None` after any other.
    fn exit_of(_error: &Self::Error) -> Option<Exit> {
        None
    }
}

/// A sink under way.
pub(super) struct SinkThread {
    thread: JoinHandle<Result<(), CommandError>>,
    wake: mpsc::SyncSender<()>,
    finish: Arc<OnceLock<Finish>>,
}

/// That a sink is to end, and when at the latest.
#[derive(Clone, Copy, Debug)]
struct Finish {
    until: Option<Instant>,
}

impl SinkThread {
    /// Starts stepping.
    pub(super) fn start(mut sink: impl Steps, clock: Arc<dyn Clock>) -> Result<Self, CommandError> {
        // One waiting call is enough: the step after it sees everything.
        let (wake, woken) = mpsc::sync_channel(1);
        let finish = Arc::new(OnceLock::new());
        let on_commit = wake.clone();
        sink.on_commit(Arc::new(move || {
            let _ = on_commit.try_send(());
        }));
        let last = Arc::clone(&finish);
        let thread = std::thread::Builder::new()
            .name("tidegate-sink".to_owned())
            .spawn(move || run(&mut sink, &woken, &last, &*clock))?;
        Ok(Self { thread, wake, finish })
    }

    /// Asks it to end once everything committed is stored; after `until`, when the step is over that it is in.
    /// Returns at once. Asked again, it keeps to what it was asked first.
    pub(super) fn begin_finish(&self, until: Option<Instant>) {
        let _ = self.finish.set(Finish { until });
        let _ = self.wake.try_send(());
    }

    /// Whether it has ended, told or by itself.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has ended.
    pub(super) fn join(self) -> Result<(), CommandError> {
        self.thread.join().expect("a sink that panics ends the process")
    }
}

/// Steps until it is told to finish and has caught up, or has no time left. An error is met by the same step,
/// later; only when the sink is to finish, or when no step can mend it, it ends the thread: the rows are in the log,
/// and the next run stores them.
fn run<S: Steps>(
    sink: &mut S,
    woken: &mpsc::Receiver<()>,
    finish: &OnceLock<Finish>,
    clock: &dyn Clock,
) -> Result<(), CommandError> {
    let mut waits = Waits::default();
    loop {
        // Asked for before the step: what was committed until now is seen by it.
        let last = finish.get().is_some();
        let stepped = sink.step(clock.now());
        let until = finish.get().and_then(|finish| finish.until);
        let is_overdue = until.is_some_and(|until| until <= Instant::now());
        match stepped {
            Ok(caught_up) => {
                if waits.ends() {
                    tracing::info!("{} goes on", S::NAME);
                }
                if last && caught_up {
                    return Ok(());
                }
                if is_overdue {
                    tracing::warn!(
                        "{} did not take everything in time (shutdown_deadline): the next start goes on with it",
                        S::NAME
                    );
                    return Ok(());
                }
                if !caught_up && (last || sink.is_behind()) {
                    continue;
                }
            }
            Err(error) => {
                let exit = S::exit_of(&error).or((last || is_overdue).then_some(Exit::Failure));
                if let Some(exit) = exit {
                    return Err(CommandError::new(exit, error));
                }
                if waits.is_to_be_said(Instant::now()) {
                    let error = CommandError::new(Exit::Failure, error);
                    tracing::warn!(%error, "{} has to wait", S::NAME);
                }
            }
        }
        let next = Instant::now() + sink.gathers();
        // A call, a rest or the other side gone: all mean to look again.
        let _ = woken.recv_timeout(REST);
        while finish.get().is_none() && Instant::now() < next {
            let _ = woken.recv_timeout(next.saturating_duration_since(Instant::now()));
        }
    }
}

/// Whether a sink has to wait, and when that was last said.
#[derive(Debug, Default)]
struct Waits {
    said: Option<Instant>,
}

impl Waits {
    /// It failed at `now`. Says whether that is to be told: at first, and now and then while it lasts.
    fn is_to_be_said(&mut self, now: Instant) -> bool {
        let is_due = self.said.is_none_or(|said| now.duration_since(said) >= SAID_AGAIN_AFTER);
        if is_due {
            self.said = Some(now);
        }
        is_due
    }

    /// It goes on. Says whether it had to wait.
    fn ends(&mut self) -> bool {
        self.said.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_runner::clock::SystemClock;

    use super::*;

    /// Steps when it is told to, and has caught up or fails when it is told that.
    struct Told(mpsc::Receiver<Result<bool, Failed>>);

    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("it failed")]
    struct Failed {
        is_final: bool,
    }

    impl Steps for Told {
        type Error = Failed;

        const NAME: &'static str = "a sink of a test";

        fn on_commit(&mut self, _wake: Wake) {}

        fn step(&mut self, _now: EventTime) -> Result<bool, Failed> {
            self.0.recv().expect("it is told before it ends")
        }

        fn exit_of(error: &Failed) -> Option<Exit> {
            error.is_final.then_some(Exit::Fenced)
        }
    }

    fn start() -> (mpsc::Sender<Result<bool, Failed>>, SinkThread) {
        let (tell, told) = mpsc::channel();
        (tell, SinkThread::start(Told(told), Arc::new(SystemClock)).expect("a thread"))
    }

    #[test]
    fn an_error_that_lasts_is_said_once_a_minute() {
        let (mut waits, began) = (Waits::default(), Instant::now());
        let said = |waits: &mut Waits, half_seconds: u32| {
            waits.is_to_be_said(began + half_seconds * Duration::from_millis(500))
        };
        let times: Vec<u32> = (0..=300).filter(|at| said(&mut waits, *at)).collect();
        assert_eq!(times, [0, 120, 240]);
        assert!(waits.ends(), "it goes on, and says so");
        assert!(!waits.ends(), "once");
        assert!(said(&mut waits, 301), "the next one is another one");
    }

    #[test]
    fn a_sink_that_never_catches_up_ends_with_the_step_that_it_is_in() {
        let (tell, sink) = start();
        sink.begin_finish(Some(Instant::now()));
        tell.send(Ok(false)).expect("it steps");
        sink.join().expect("it ends in order");
        assert!(tell.send(Ok(false)).is_err(), "it takes one more step");
    }

    #[test]
    fn a_sink_without_a_deadline_takes_everything() {
        let (tell, sink) = start();
        sink.begin_finish(None);
        for caught_up in [false, false, true] {
            tell.send(Ok(caught_up)).expect("it has not ended before it has caught up");
        }
        sink.join().expect("it ends in order");
    }

    #[test]
    fn an_error_that_no_step_can_mend_ends_a_sink_that_nobody_told_to() {
        let (tell, sink) = start();
        for is_final in [false, true] {
            assert!(!sink.is_over());
            tell.send(Err(Failed { is_final })).expect("it steps");
        }
        let error = sink.join().expect_err("it cannot go on");
        assert_eq!((error.exit, error.to_string()), (Exit::Fenced, "it failed".to_owned()));
    }
}
