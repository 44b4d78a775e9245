//! The thread that steps the sink.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_log::embedded::EmbeddedRowReader;
use tidegate_runner::Clock;
use tidegate_sinks::{Config, Sink, SinkError, SqliteStore};

use crate::exit::{CommandError, Exit};

/// How long the sink rests when nothing wakes it, and after an error.
const REST: Duration = Duration::from_millis(500);

/// A sink under way.
pub(super) struct SinkThread {
    thread: JoinHandle<Result<(), SinkError>>,
    wake: mpsc::SyncSender<()>,
    finish: Arc<AtomicBool>,
}

impl SinkThread {
    /// Starts stepping.
    pub(super) fn start(
        reader: EmbeddedRowReader,
        store: SqliteStore,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CommandError> {
        // One waiting call is enough: the step after it sees everything.
        let (wake, woken) = mpsc::sync_channel(1);
        let finish = Arc::new(AtomicBool::new(false));
        let mut sink = Sink::new(reader, store, config);
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

    /// Waits until everything committed is stored.
    pub(super) fn finish(self) -> Result<(), CommandError> {
        self.finish.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        let stored = self.thread.join().expect("a sink that panics ends the process");
        stored.map_err(|error| CommandError::new(Exit::Failure, error))
    }
}

/// Steps until it is told to finish and has caught up. An error is met by the same step, later; only when
/// the sink is to finish it ends the thread: the rows are in the log, and the next run stores them.
fn run(
    sink: &mut Sink<EmbeddedRowReader, SqliteStore>,
    woken: &mpsc::Receiver<()>,
    finish: &AtomicBool,
    clock: &dyn Clock,
) -> Result<(), SinkError> {
    loop {
        // Asked for before the step: what was committed until now is seen by it.
        let last = finish.load(Ordering::Acquire);
        match sink.step(clock.now()) {
            Ok(progress) if !progress.caught_up => continue,
            Ok(_) if last => return Ok(()),
            Ok(_) => {}
            Err(error) if last => return Err(error),
            Err(error) => tracing::warn!(%error, "the metric store has to wait"),
        }
        // A call, a rest or the other side gone: all mean to look again.
        let _ = woken.recv_timeout(REST);
    }
}
