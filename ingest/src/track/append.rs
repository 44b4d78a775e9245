//! An append that is counted and answered even when its client goes away.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tidegate_log::{AppendError, EventAppender, NewEvent};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use crate::ingest::Shared;

type Running = Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send>>;

/// An append under way. To drop it, as happens when the client closes its connection, does not end it:
/// it goes on as a task, so that it stays within the limit of events under way and is counted. There is
/// no task where the client waits, which is nearly always.
pub(super) struct Append {
    running: Option<Running>,
    orphans: TaskTracker,
}

impl Append {
    /// Begins to append `event`, when it is first polled. `permit` is held until the log has answered.
    pub(super) fn begin<A: EventAppender>(
        shared: Arc<Shared<A>>,
        event: NewEvent,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let orphans = shared.orphans.clone();
        let running = async move {
            let began = Instant::now();
            let result = shared.parts.appender.append(vec![event]).await;
            let now = Instant::now();
            shared.metrics.appended(now.duration_since(began), &result);
            shared.health.note(&result, now);
            drop(permit);
            result.map(|_| ())
        };
        Self { running: Some(Box::pin(running)), orphans }
    }
}

impl Future for Append {
    type Output = Result<(), AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let running = self.running.as_mut().expect("a future is not polled after it was ready");
        let result = ready!(running.as_mut().poll(context));
        self.running = None;
        Poll::Ready(result)
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        // Outside of a runtime nothing can go on; that is when the process ends, and the log with it.
        if let Some(running) = self.running.take()
            && let Ok(runtime) = Handle::try_current()
        {
            self.orphans.spawn_on(running, &runtime);
        }
    }
}
