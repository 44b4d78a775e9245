//! Attempts at the same thing that come while one is under way share the next one: however many ask, one is on its way.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// Held by whoever makes the attempt: what became of the one before, and when that began.
type Turn<T> = tokio::sync::Mutex<Option<(Instant, T)>>;

/// Attempts by what they are at.
#[derive(Debug)]
pub(super) struct Turns<K, T> {
    /// Those that somebody makes or waits for.
    turns: Mutex<HashMap<K, Weak<Turn<T>>>>,
}

impl<K, T> Default for Turns<K, T> {
    fn default() -> Self {
        Self { turns: Mutex::default() }
    }
}

impl<K: Eq + Hash, T: Clone> Turns<K, T> {
    /// What became of `attempt`, or of another one at `key`, which began later than this was called. One that is not
    /// waited for to its end leaves the turn to the next.
    pub(super) async fn share(&self, key: K, attempt: impl Future<Output = T>) -> T {
        let came = Instant::now();
        let turn = self.at(key);
        let mut last = turn.lock().await;
        if let Some((_, made)) = last.as_ref().filter(|(began, _)| *began >= came) {
            return made.clone();
        }
        let began = Instant::now();
        let made = attempt.await;
        *last = Some((began, made.clone()));
        made
    }

    fn at(&self, key: K) -> Arc<Turn<T>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    /// Numbers attempts, each of which lets everybody else go on once.
    async fn attempt(made: &AtomicU32) -> u32 {
        let number = made.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        number
    }

    #[tokio::test]
    async fn those_that_come_meanwhile_share_the_next() {
        let (turns, made) = (Turns::default(), AtomicU32::new(0));
        let one = join_all((0..50).map(|_| turns.share("a", attempt(&made)))).await;
        assert_eq!(one[0], 0, "nobody was before it");
        assert_eq!(one[1..], [1; 49], "the first one began before they came");
        assert_eq!(turns.share("a", attempt(&made)).await, 2, "what is over is not shared");
    }

    #[tokio::test]
    async fn each_thing_has_a_turn_of_its_own() {
        let (turns, made) = (Turns::default(), AtomicU32::new(0));
        let all = join_all([1, 2, 3].map(|key| turns.share(key, attempt(&made)))).await;
        assert_eq!(all, [0, 1, 2]);
        turns.share(4, attempt(&made)).await;
        assert_eq!(turns.turns.lock().unwrap().len(), 1, "nobody waits for the others any more");
    }

    #[tokio::test]
    async fn one_that_is_given_up_leaves_its_turn_to_the_next() {
        let turns = Turns::default();
        let mut hung = Box::pin(turns.share((), std::future::pending()));
        let waiting = turns.share((), async { 7 });
        assert!(tokio::time::timeout(Duration::ZERO, &mut hung).await.is_err());
        let (answer, ()) = tokio::join!(waiting, async {
            tokio::task::yield_now().await;
            drop(hung);
        });
        assert_eq!(answer, 7);
    }
}
