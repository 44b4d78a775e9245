//! An answer that is given once, and can be awaited or waited for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
enum State<T> {
    Waiting(Option<Waker>),
    Answered(T),
    /// The answer was taken, or will never come.
    Over,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it holds the lock, so what a poisoned one guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, state: State<T>) {
        let before = std::mem::replace(&mut *self.lock(), state);
        self.changed.notify_all();
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// The side that answers.
#[derive(Debug)]
pub(super) struct Sender<T> {
    shared: Arc<Shared<T>>,
    sent: bool,
}

/// The side that waits; ready with `None` when the sender went without an answer.
#[derive(Debug)]
pub(super) struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// Makes the two sides.
pub(super) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared { state: Mutex::new(State::Waiting(None)), changed: Condvar::new() });
    (Sender { shared: Arc::clone(&shared), sent: false }, Receiver { shared })
}

impl<T> Sender<T> {
    /// Gives the answer.
    pub(super) fn send(mut self, answer: T) {
        self.sent = true;
        self.shared.settle(State::Answered(answer));
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if !self.sent {
            self.shared.settle(State::Over);
        }
    }
}

impl<T> Receiver<T> {
    /// Blocks the thread until there is an answer.
    pub(super) fn wait(self) -> Option<T> {
        let state = self.shared.lock();
        let waiting = |state: &mut State<T>| matches!(state, State::Waiting(_));
        let mut state =
            self.shared.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(answer) => Some(answer),
            State::Waiting(_) | State::Over => None,
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(answer) => Poll::Ready(Some(answer)),
            State::Over => Poll::Ready(None),
            State::Waiting(_) => {
                *state = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_arrives_at_a_waiting_thread() {
        let (sender, receiver) = oneshot();
        let waiting = std::thread::spawn(move || receiver.wait());
        sender.send(5);
        assert_eq!(waiting.join().expect("it does not panic"), Some(5));
    }

    #[test]
    fn a_sender_that_goes_away_ends_the_wait() {
        let (sender, receiver) = oneshot::<u8>();
        drop(sender);
        assert_eq!(receiver.wait(), None);
    }

    #[test]
    fn a_future_is_ready_after_the_answer() {
        let (sender, mut receiver) = oneshot();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(Pin::new(&mut receiver).poll(&mut context), Poll::Pending);
        sender.send(5);
        assert_eq!(Pin::new(&mut receiver).poll(&mut context), Poll::Ready(Some(5)));
    }
}
