//! Being told to end: SIGINT and SIGTERM, and what a second one means.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that ended at once because it was told so twice; what a shell reports for
/// an interrupted one.
const INTERRUPTED: i32 = 130;

/// Cancels `stop` when the process is told to end. Told once more, it ends at once: nothing is lost by
/// that, because what was not committed is replayed by the next start.
///
/// # Errors
/// When the system has no room for a handler.
pub(crate) fn on_signal(stop: CancellationToken) -> io::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut told = false;
        loop {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
            if told {
                std::process::exit(INTERRUPTED);
            }
            told = true;
            tracing::info!("told to end: draining; once more ends at once");
            stop.cancel();
        }
    });
    Ok(())
}
