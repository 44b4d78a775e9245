//! The newest events, for every reader. The oldest make room; nobody waits for anybody.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::watch;

/// What readers are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// These bytes.
    Frame(Bytes),
    /// Changes are missing here: a snapshot takes their place.
    Resync,
}

/// The newest events. They are numbered from 1.
#[derive(Debug)]
pub(super) struct Ring {
    events: Mutex<Events>,
    capacity: usize,
    /// The number of the next event, for those who wait for it.
    next: watch::Sender<u64>,
}

#[derive(Debug)]
struct Events {
    /// Each with the number of the update that it is about.
    newest: VecDeque<(u64, Event)>,
    /// The number of the next event.
    next: u64,
}

/// What a reader finds at its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An event, and the number of the update that it is about.
    Event(u64, Event),
    /// Nothing yet.
    End,
    /// Nothing any more.
    Gone,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        let events = Events { newest: VecDeque::new(), next: 1 };
        Self { events: Mutex::new(events), capacity: capacity.max(1), next: watch::Sender::new(1) }
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().expect("nothing panics while it holds the ring")
    }

    /// Adds the event that `make` makes of its number. One task does.
    pub(super) fn push(&self, update: u64, make: impl FnOnce(u64) -> Event) {
        // Made outside of the lock: readers need not wait for JSON.
        let id = self.next();
        let event = make(id);
        let mut events = self.lock();
        if events.newest.len() == self.capacity {
            events.newest.pop_front();
        }
        events.newest.push_back((update, event));
        events.next = id + 1;
        drop(events);
        self.next.send_replace(id + 1);
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.lock().next
    }

    /// What is at `place`, and the number of the next event.
    pub(super) fn look(&self, place: u64) -> (Found, u64) {
        let events = self.lock();
        let next = events.next;
        if place >= next {
            return (Found::End, next);
        }
        let from_end = usize::try_from(next - place).unwrap_or(usize::MAX);
        let at = events.newest.len().checked_sub(from_end);
        let found = at.map(|at| events.newest[at].clone());
        (found.map_or(Found::Gone, |(update, event)| Found::Event(update, event)), next)
    }

    /// Is told of every new event.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_make_room() {
        let ring = Ring::new(2);
        assert_eq!(ring.look(1), (Found::End, 1));
        for update in 11..=13 {
            ring.push(update, |id| Event::Frame(Bytes::from(id.to_string())));
        }
        assert_eq!(ring.look(1), (Found::Gone, 4));
        assert_eq!(ring.look(2), (Found::Event(12, Event::Frame(Bytes::from("2"))), 4));
        assert_eq!(ring.look(3).0, Found::Event(13, Event::Frame(Bytes::from("3"))));
        assert_eq!(ring.look(4).0, Found::End);
        assert_eq!(*ring.subscribe().borrow(), 4);
    }
}
