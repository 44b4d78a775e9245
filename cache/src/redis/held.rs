//! Answers that are held until Redis says that something of the cache changed: its client-side caching
//! (`CLIENT TRACKING`), over the connection that asks. For a moment longer one is given while it is asked for anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::read::Ask;

/// So many answers are held. There are as many limits to ask for as windows, and nobody asks for all of them.
const HELD_MAX: usize = 64;

/// So long after a change the answer before it is given, at most: longer than it takes to ask anew.
const GIVEN_AFTER_MAX: Duration = Duration::from_millis(20);

/// What makes answers old: a word from Redis, or a connection that brings none any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// So many were noted that do not say what they are about.
    count: u64,
    /// When the first one of the latest was noted, and how many there had been before. The latest are those that came within
    /// [`GIVEN_AFTER_MAX`].
    latest: Option<(Instant, u64)>,
    /// The number of the latest update that somebody was told of.
    told: u64,
}

impl Changes {
    /// From now on every answer is old that was asked for before.
    pub(super) fn note(&self) {
        self.note_at(Instant::now());
    }

    fn note_at(&self, now: Instant) {
        let mut known = self.known();
        if !known.is_latest(now) {
            known.latest = Some((now, known.count));
        }
        known.count += 1;
    }

    /// From now on no answer is given that does not have the update of that number.
    pub(super) fn note_update(&self, seq: u64) {
        let mut known = self.known();
        known.told = known.told.max(seq);
    }

    /// From now on no answer is given that was asked for before: nobody knows what changed.
    pub(super) fn note_end(&self) {
        self.known().end();
    }

    /// As [`Changes::note_end`], and updates may be numbered from an earlier number on: the server may be another one.
    pub(super) fn note_beginning(&self) {
        let mut known = self.known();
        known.told = 0;
        known.end();
    }

    /// How many were noted that do not say what they are about.
    pub(super) fn count(&self) -> u64 {
        self.known().count
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn end(&mut self) {
        self.latest = None;
        self.count += 1;
    }

    /// Whether the latest changes began so short ago that another one is one of them.
    fn is_latest(&self, now: Instant) -> bool {
        self.latest.is_some_and(|(began, _)| now.saturating_duration_since(began) < GIVEN_AFTER_MAX)
    }

    /// Whether what was asked for when there had been `changes` is old, and only since the latest of them.
    fn is_old_since_the_latest(&self, changes: u64, now: Instant) -> bool {
        self.is_latest(now) && self.latest.is_some_and(|(_, before)| changes >= before)
    }
}

/// What is held has the updates up to a number.
pub(super) trait Numbered {
    /// That number.
    fn seq(&self) -> u64;
}

/// An answer that may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given<T> {
    /// Nothing is known to have changed.
    New(T),
    /// Something changed just now, and the answer has to be asked for anew. Only one of those who get it is told so.
    Old(T, AskAnew),
}

/// Whether to ask anew, or somebody else does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AskAnew {
    Yes,
    Somebody,
}

/// Answers about closed windows. Open ones change all the time, and whoever follows them begins at an answer: it must
/// have every change that was told before.
#[derive(Debug)]
pub(super) struct Held<T> {
    changes: Changes,
    /// None is held for longer: a connection may have died without a word.
    longest: Duration,
    answers: Mutex<HashMap<Vec<Ask>, HeldAnswer<T>>>,
}

#[derive(Debug)]
struct HeldAnswer<T> {
    asked: Instant,
    /// How many changes there had been then.
    changes: u64,
    answer: T,
    /// Whether somebody was told to ask for it anew.
    is_asked_anew: bool,
}

impl<T: Clone + Numbered> Held<T> {
    pub(super) fn new(longest: Duration) -> Self {
        Self { changes: Changes::default(), longest, answers: Mutex::default() }
    }

    /// Who is told of changes.
    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// The answer, where it is held.
    pub(super) fn get(&self, asks: &[Ask]) -> Option<Given<T>> {
        self.get_at(asks, Instant::now())
    }

    fn get_at(&self, asks: &[Ask], now: Instant) -> Option<Given<T>> {
        let mut answers = self.answers();
        let held = answers.get_mut(asks)?;
        let known = self.changes.known();
        if held.answer.seq() < known.told || now.saturating_duration_since(held.asked) >= self.longest {
            return None;
        }
        if held.changes == known.count {
            return Some(Given::New(held.answer.clone()));
        }
        if !known.is_old_since_the_latest(held.changes, now) {
            return None;
        }
        let was_asked = std::mem::replace(&mut held.is_asked_anew, true);
        let ask_anew = if was_asked { AskAnew::Somebody } else { AskAnew::Yes };
        Some(Given::Old(held.answer.clone(), ask_anew))
    }

    /// Holds an answer that was asked for at `asked`, when there had been `changes`.
    pub(super) fn keep(&self, asks: &[Ask], answer: &T, asked: Instant, changes: u64) {
        let is_closed = asks.iter().all(|ask| matches!(ask, Ask::Newest { .. }));
        if !is_closed || self.longest.is_zero() {
            return;
        }
        let mut answers = self.answers();
        if answers.len() >= HELD_MAX && !answers.contains_key(asks) {
            answers.clear();
        }
        let held = HeldAnswer { asked, changes, answer: answer.clone(), is_asked_anew: false };
        answers.insert(asks.to_vec(), held);
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Vec<Ask>, HeldAnswer<T>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Given::{New, Old};
    use super::*;

    impl Numbered for usize {
        fn seq(&self) -> u64 {
            *self as u64
        }
    }

    const EVENTS: Ask = Ask::Newest { kind: "event", limit: 20 };
    const OPEN: Ask = Ask::Live { kind: "event" };

    fn held() -> (Held<usize>, Instant) {
        (Held::new(Duration::from_hours(1)), Instant::now())
    }

    #[test]
    fn an_answer_is_held_until_something_changes() {
        let (held, began) = held();
        held.keep(&[EVENTS], &1, began, 0);
        assert_eq!((held.get_at(&[EVENTS], began), held.get_at(&[], began)), (Some(New(1)), None));
        held.changes().note_at(began);
        let later = began + GIVEN_AFTER_MAX;
        assert_eq!(held.get_at(&[EVENTS], later), None);
        held.keep(&[EVENTS], &2, later, 0);
        assert_eq!(held.get_at(&[EVENTS], later), None, "it changed while the answer was under way");
        held.keep(&[EVENTS], &3, later, 1);
        assert_eq!(held.get_at(&[EVENTS], later), Some(New(3)));
    }

    #[test]
    fn an_answer_that_is_old_is_given_for_a_moment_while_one_asks_anew() {
        let (held, began) = held();
        let after = |ms| began + Duration::from_millis(ms);
        held.keep(&[EVENTS], &1, began, 0);
        held.changes().note_at(after(100));
        held.changes().note_at(after(110));
        assert_eq!(held.get_at(&[EVENTS], after(110)), Some(Old(1, AskAnew::Yes)));
        assert_eq!(held.get_at(&[EVENTS], after(119)), Some(Old(1, AskAnew::Somebody)));
        assert_eq!(held.get_at(&[EVENTS], after(120)), None, "the first change is too long ago");
        held.keep(&[EVENTS], &2, after(110), 1);
        assert_eq!(
            held.get_at(&[EVENTS], after(119)),
            Some(Old(2, AskAnew::Yes)),
            "there was another one since"
        );
        held.keep(&[EVENTS], &3, after(119), 2);
        assert_eq!(held.get_at(&[EVENTS], after(130)), Some(New(3)));
    }

    #[test]
    fn an_answer_that_was_old_before_the_latest_change_is_not_given() {
        let (held, began) = held();
        let after = |ms| began + Duration::from_millis(ms);
        held.keep(&[EVENTS], &1, began, 0);
        held.changes().note_at(after(100));
        held.changes().note_at(after(200));
        assert_eq!(held.get_at(&[EVENTS], after(201)), None);
        held.keep(&[EVENTS], &2, after(150), 1);
        assert_eq!(held.get_at(&[EVENTS], after(201)), Some(Old(2, AskAnew::Yes)));
    }

    #[test]
    fn no_old_answer_is_given_when_nobody_knows_what_changed() {
        let (held, began) = held();
        held.keep(&[EVENTS], &1, began, 0);
        held.changes().note_at(began);
        assert_eq!(held.get_at(&[EVENTS], began), Some(Old(1, AskAnew::Yes)));
        held.changes().note_end();
        assert_eq!(held.get_at(&[EVENTS], began), None);
        held.changes().note_at(began);
        assert_eq!(held.get_at(&[EVENTS], began), None, "it was old before");
        held.keep(&[EVENTS], &2, began, 2);
        assert_eq!(held.get_at(&[EVENTS], began), Some(Old(2, AskAnew::Yes)));
    }

    #[test]
    fn an_answer_is_held_while_it_has_what_was_told() {
        let (held, began) = held();
        held.keep(&[EVENTS], &6, began, 0);
        for seq in [5, 6, 4] {
            held.changes().note_update(seq);
        }
        assert_eq!(held.get_at(&[EVENTS], began), Some(New(6)));
        held.changes().note_at(began);
        assert_eq!(held.get_at(&[EVENTS], began), Some(Old(6, AskAnew::Yes)));
        held.changes().note_update(7);
        assert_eq!(held.get_at(&[EVENTS], began), None, "not for a moment");
        held.keep(&[EVENTS], &6, began, 1);
        assert_eq!(held.get_at(&[EVENTS], began), None, "it was under way when that was told");
        held.keep(&[EVENTS], &7, began, 1);
        assert_eq!(held.get_at(&[EVENTS], began), Some(New(7)));
        held.changes().note_beginning();
        assert_eq!(held.get_at(&[EVENTS], began), None);
        held.keep(&[EVENTS], &2, began, 2);
        assert_eq!(held.get_at(&[EVENTS], began), Some(New(2)), "another server counts from elsewhere");
    }

    #[test]
    fn no_answer_is_held_for_too_long_nor_one_about_open_windows() {
        let (held, began) = (Held::new(Duration::from_secs(1)), Instant::now());
        held.keep(&[EVENTS], &1, began, 0);
        held.keep(&[EVENTS, OPEN], &1, began, 0);
        let later = began + Duration::from_secs(1);
        assert_eq!((held.get_at(&[EVENTS], later), held.get_at(&[EVENTS, OPEN], began)), (None, None));
        let none = Held::new(Duration::ZERO);
        none.keep(&[EVENTS], &1, began, 0);
        assert_eq!(none.get_at(&[EVENTS], began), None);
    }

    #[test]
    fn only_so_many_are_held() {
        let (held, began) = held();
        for limit in 0..10 * HELD_MAX {
            held.keep(&[Ask::Newest { kind: "event", limit }], &limit, began, 0);
            assert_eq!(held.get_at(&[Ask::Newest { kind: "event", limit }], began), Some(New(limit)));
        }
        assert!(held.answers().len() <= HELD_MAX);
    }
}
