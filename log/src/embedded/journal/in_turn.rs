//! A lock that is given in the order in which it was asked for.
//!
//! A plain mutex goes to whoever happens to run: one who gives it back and asks again at once mostly gets
//! it before one who sleeps has woken. Retention does just that, and a commit would wait for all of it.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the lock guards, and whose turn it is.
pub(super) struct InTurn<T> {
    queue: Mutex<Queue>,
    moved: Condvar,
    value: Mutex<T>,
}

/// Numbers are given out from 0 on.
#[derive(Default)]
struct Queue {
    /// The number of the next one to ask.
    next: u64,
    /// The number of the one whose turn it is.
    turn: u64,
}

/// The lock, held.
pub(super) struct Held<'a, T> {
    // Given back before the turn ends: fields are dropped in this order.
    value: MutexGuard<'a, T>,
    _turn: Turn<'a, T>,
}

/// A turn; the next one begins when it is dropped.
struct Turn<'a, T>(&'a InTurn<T>);

impl<T> InTurn<T> {
    pub(super) fn new(value: T) -> Self {
        Self { queue: Mutex::default(), moved: Condvar::new(), value: Mutex::new(value) }
    }

    /// Waits until everybody who asked before has had a turn. A panic of theirs ends their turn too, and
    /// leaves the value as it was then.
    pub(super) fn lock(&self) -> Held<'_, T> {
        let mut queue = self.queue();
        let own = queue.next;
        queue.next += 1;
        let others = |queue: &mut Queue| queue.turn != own;
        drop(self.moved.wait_while(queue, others).unwrap_or_else(PoisonError::into_inner));
        let turn = Turn(self);
        Held { value: self.value.lock().unwrap_or_else(PoisonError::into_inner), _turn: turn }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait, while somebody holds it.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        let queue = self.queue();
        (queue.next - queue.turn).saturating_sub(1)
    }
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.0.queue().turn += 1;
        self.0.moved.notify_all();
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn who_asked_first_is_first_also_before_one_who_asks_again_at_once() {
        let order = InTurn::new(Vec::new());
        std::thread::scope(|scope| {
            let mut held = order.lock();
            for other in 1..=3 {
                let order = &order;
                scope.spawn(move || order.lock().push(other));
                let deadline = Instant::now() + Duration::from_secs(30);
                while order.waiting() < other {
                    assert!(Instant::now() < deadline, "it never asks");
                    std::thread::yield_now();
                }
            }
            for _ in 0..100 {
                held.push(0);
                drop(held);
                held = order.lock();
            }
        });
        assert_eq!(order.lock()[..5], [0, 1, 2, 3, 0]);
    }

    #[test]
    fn a_panic_ends_its_turn() {
        let value = InTurn::new(7);
        let panics = || {
            let _held = value.lock();
            panic!("amid its turn");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(*value.lock(), 7);
    }
}
