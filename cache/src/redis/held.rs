//! Answers that are held until Redis says that something of the cache changed: its client-side caching
//! (`CLIENT TRACKING`), over the connection that asks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::read::Ask;

/// So many answers are held. There are as many limits to ask for as windows, and nobody asks for all of them.
const HELD_MAX: usize = 64;

/// What may have made answers old: a word from Redis, or a connection that brings none any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    count: AtomicU64,
    /// The number of the latest update that somebody was told of.
    told: AtomicU64,
}

impl Changes {
    /// From now on no answer is held that was asked for before.
    pub(super) fn note(&self) {
        self.0.count.fetch_add(1, Ordering::AcqRel);
    }

    /// From now on no answer is held that does not have the update of that number.
    pub(super) fn note_update(&self, seq: u64) {
        self.0.told.fetch_max(seq, Ordering::AcqRel);
    }

    /// As [`Changes::note`], and updates may be numbered from an earlier number on: the server may be another one.
    pub(super) fn note_beginning(&self) {
        self.0.told.store(0, Ordering::Release);
        self.note();
    }

    /// So many were noted that do not say what they are about.
    pub(super) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Acquire)
    }

    fn told(&self) -> u64 {
        self.0.told.load(Ordering::Acquire)
    }
}

/// What is held has the updates up to a number.
pub(super) trait Numbered {
    /// That number.
    fn seq(&self) -> u64;
}

/// Answers about closed windows. Open ones change all the time, and whoever follows them begins at an answer: it must
/// have every change that was told before.
#[derive(Debug)]
pub(super) struct Held<T> {
    changes: Changes,
    /// None is held for longer: a connection may have died without a word.
    longest: Duration,
    answers: Mutex<Answers<T>>,
}

#[derive(Debug)]
struct Answers<T> {
    /// How many changes there had been when they were asked for.
    changes: u64,
    /// Each with the time when it was asked for.
    by_asks: HashMap<Vec<Ask>, (Instant, T)>,
}

impl<T: Clone + Numbered> Held<T> {
    pub(super) fn new(longest: Duration) -> Self {
        let answers = Answers { changes: 0, by_asks: HashMap::new() };
        Self { changes: Changes::default(), longest, answers: Mutex::new(answers) }
    }

    /// Who is told of changes.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The answer, where it is held.
    pub(super) fn get(&self, asks: &[Ask]) -> Option<T> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, answer) = answers.by_asks.get(asks)?;
        let is_new = answers.changes == self.changes.count() && answer.seq() >= self.changes.told();
        (is_new && asked.elapsed() < self.longest).then(|| answer.clone())
    }

    /// Holds an answer that was asked for at `asked`, when there had been `changes`.
    pub(super) fn keep(&self, asks: &[Ask], answer: &T, asked: Instant, changes: u64) {
        let is_closed = asks.iter().all(|ask| matches!(ask, Ask::Newest { .. }));
        if !is_closed || self.longest.is_zero() || changes != self.changes.count() {
            return;
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.changes != changes || answers.by_asks.len() >= HELD_MAX {
            answers.by_asks.clear();
            answers.changes = changes;
        }
        answers.by_asks.insert(asks.to_vec(), (asked, answer.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Numbered for usize {
        fn seq(&self) -> u64 {
            *self as u64
        }
    }

    const EVENTS: Ask = Ask::Newest { kind: "event", limit: 20 };
    const OPEN: Ask = Ask::Live { kind: "event" };

    #[test]
    fn an_answer_is_held_until_something_changes() {
        let held = Held::new(Duration::from_hours(1));
        held.keep(&[EVENTS], &1, Instant::now(), 0);
        assert_eq!((held.get(&[EVENTS]), held.get(&[])), (Some(1), None));
        held.changes().note();
        assert_eq!(held.get(&[EVENTS]), None);
        held.keep(&[EVENTS], &2, Instant::now(), 0);
        assert_eq!(held.get(&[EVENTS]), None, "it changed while the answer was under way");
        held.keep(&[EVENTS], &3, Instant::now(), 1);
        assert_eq!(held.get(&[EVENTS]), Some(3));
    }

    #[test]
    fn an_answer_is_held_while_it_has_what_was_told() {
        let held = Held::new(Duration::from_hours(1));
        held.keep(&[EVENTS], &6, Instant::now(), 0);
        held.changes().note_update(5);
        held.changes().note_update(6);
        held.changes().note_update(4);
        assert_eq!(held.get(&[EVENTS]), Some(6));
        held.changes().note_update(7);
        assert_eq!(held.get(&[EVENTS]), None);
        held.keep(&[EVENTS], &6, Instant::now(), 0);
        assert_eq!(held.get(&[EVENTS]), None, "it was under way when that was told");
        held.keep(&[EVENTS], &7, Instant::now(), 0);
        assert_eq!(held.get(&[EVENTS]), Some(7));
        held.changes().note_beginning();
        assert_eq!(held.get(&[EVENTS]), None);
        held.keep(&[EVENTS], &2, Instant::now(), 1);
        assert_eq!(held.get(&[EVENTS]), Some(2));
    }

    #[test]
    fn no_answer_is_held_for_too_long_nor_one_about_open_windows() {
        let held = Held::new(Duration::from_secs(1));
        let before = Instant::now().checked_sub(Duration::from_secs(1)).expect("the clock runs for longer");
        held.keep(&[EVENTS], &1, before, 0);
        held.keep(&[EVENTS, OPEN], &1, Instant::now(), 0);
        assert_eq!((held.get(&[EVENTS]), held.get(&[EVENTS, OPEN])), (None, None));
        let none = Held::new(Duration::ZERO);
        none.keep(&[EVENTS], &1, Instant::now(), 0);
        assert_eq!(none.get(&[EVENTS]), None);
    }

    #[test]
    fn only_so_many_are_held() {
        let held = Held::new(Duration::from_hours(1));
        for limit in 0..10 * HELD_MAX {
            held.keep(&[Ask::Newest { kind: "event", limit }], &limit, Instant::now(), 0);
            assert_eq!(held.get(&[Ask::Newest { kind: "event", limit }]), Some(limit));
        }
        assert!(held.answers.lock().unwrap().by_asks.len() <= HELD_MAX);
    }
}
