//! The threads that step the sinks, one each.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_log::event::Wake;
use tidegate_model::EventTime;
use tidegate_runner::Clock;

use crate::exit::{CommandError, Exit};

/// How long a sink rests when nothing wakes it, and after an error.
const REST: Duration = Duration::from_millis(500);

/// Something that is stepped until it has caught up with the log.
pub(super) trait Steps: Send + 'static {
    /// Why a step failed; the next one tries again.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What the log calls it when it has to wait.
    const NAME: &'static str;

    /// Has `wake` called after every commit.
    fn on_commit(&mut self, wake: Wake);

    /// Takes a step, and says whether it has caught up.
    fn step(&mut self, now: EventTime) -> Result<bool, Self::Error>;
}

/// A sink under way.
pub(super) struct SinkThread {
    thread: JoinHandle<Result<(), CommandError>>,
    wake: mpsc::SyncSender<()>,
    finish: Arc<AtomicBool>,
}

impl SinkThread {
    /// Starts stepping.
    pub(super) fn start(mut sink: impl Steps, clock: Arc<dyn Clock>) -> Result<Self, CommandError> {
        // One waiting call is enough: the step after it sees everything.
        let (wake, woken) = mpsc::sync_channel(1);
        let finish = Arc::new(AtomicBool::new(false));
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

    /// Asks it to end once everything committed is stored. Returns at once.
    pub(super) fn begin_finish(&self) {
        self.finish.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
    }

    /// Waits until everything committed is stored.
    pub(super) fn finish(self) -> Result<(), CommandError> {
        self.begin_finish();
        self.thread.join().expect("a sink that panics ends the process")
    }
}

/// Steps until it is told to finish and has caught up. An error is met by the same step, later; only when
/// the sink is to finish it ends the thread: the rows are in the log, and the next run stores them.
fn run<S: Steps>(
    sink: &mut S,
    woken: &mpsc::Receiver<()>,
    finish: &AtomicBool,
    clock: &dyn Clock,
) -> Result<(), CommandError> {
    let mut waits: Option<String> = None;
    loop {
        // Asked for before the step: what was committed until now is seen by it.
        let last = finish.load(Ordering::Acquire);
        match sink.step(clock.now()) {
            Ok(caught_up) => {
                if waits.take().is_some() {
                    tracing::info!("{} goes on", S::NAME);
                }
                if !caught_up {
                    continue;
                }
                if last {
                    return Ok(());
                }
            }
            Err(error) if last => return Err(CommandError::new(Exit::Failure, error)),
            Err(error) => {
                let reason = error.to_string();
                // Said once, and not with every try.
                if waits.as_ref() != Some(&reason) {
                    tracing::warn!(%error, "{} has to wait", S::NAME);
                }
                waits = Some(reason);
            }
        }
        // A call, a rest or the other side gone: all mean to look again.
        let _ = woken.recv_timeout(REST);
    }
}
