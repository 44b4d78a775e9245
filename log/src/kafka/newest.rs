//! The newest binding of which every row can be read, and who tells of newer ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidegate_model::{AsOf, Epoch, Offset};

use super::bindings::binding_of;
use super::ends::Place;
use super::stream::{Nothing, Stream};
use crate::event::Wake;

/// How long it is believed that nothing was committed, unless something says otherwise.
const AGE_MAX: Duration = Duration::from_millis(50);

/// The same, for whoever is told of bindings as they come.
const WATCHED_AGE_MAX: Duration = Duration::from_millis(500);

/// What is known of it.
#[derive(Default)]
pub(super) struct Newest {
    pub(super) as_of: Option<AsOf>,
    /// When somebody last found out that there was no newer one.
    looked_at: Option<Instant>,
    /// A newer one.
    told: Option<AsOf>,
    /// A newer one, some rows of which could not be read yet.
    pub(super) open: Option<Open>,
    /// The newest epoch of a row that was read: there is a binding of it.
    row: Epoch,
}

/// A binding whose transaction may not have ended in every partition.
pub(super) struct Open {
    pub(super) as_of: AsOf,
    /// The partitions in which it may not have, and where they ended after the binding was there.
    pub(super) until: BTreeMap<Place, Offset>,
    pub(super) since: Instant,
    /// Whether it was looked for the ends of the transaction before.
    pub(super) is_awaited: bool,
}

impl Newest {
    /// A binding that is newer than what is known, if one was told.
    pub(super) fn told(&self) -> Option<AsOf> {
        self.told
    }

    /// Whether nobody needs to ask for a newer one now. `is_watched` says that a [`Watch`] tells of each.
    pub(super) fn is_known(&self, is_watched: bool) -> bool {
        let epoch = self.as_of.map_or(Epoch::default(), |as_of| as_of.epoch);
        let age_max = if is_watched { WATCHED_AGE_MAX } else { AGE_MAX };
        self.row <= epoch && self.looked_at.is_some_and(|at| at.elapsed() < age_max)
    }

    /// Every row up to there can be read.
    pub(super) fn is(&mut self, as_of: Option<AsOf>) {
        (self.as_of, self.looked_at, self.open) = (as_of, Some(Instant::now()), None);
        let is_newer = |told: &AsOf| as_of.is_none_or(|as_of| as_of.epoch < told.epoch);
        self.told = self.told.filter(is_newer);
    }

    /// A row of that epoch was read.
    pub(super) fn saw_row(&mut self, epoch: Epoch) {
        self.row = self.row.max(epoch);
    }

    /// Another log may be there: it is asked anew.
    pub(super) fn forget(&mut self) {
        *self = Self { as_of: self.as_of, ..Self::default() };
    }

    fn tell(&mut self, as_of: AsOf) {
        let is_newer = |than: Option<AsOf>| than.is_none_or(|than| than.epoch < as_of.epoch);
        if is_newer(self.as_of) && is_newer(self.told) {
            self.told = Some(as_of);
        }
    }
}

/// Watches the topic of bindings.
pub(super) struct Watch {
    pub(super) wake: Wake,
    /// Begins at the end that the topic had; none when it could not, or was refused.
    stream: Option<Stream>,
}

impl Watch {
    pub(super) fn new(wake: Wake) -> Self {
        Self { wake, stream: None }
    }

    /// The next look begins at the end that the topic has then.
    pub(super) fn forget(&mut self) {
        self.stream = None;
    }

    /// Whether bindings are told of as they come.
    pub(super) fn is_listening(&self) -> bool {
        self.stream.is_some()
    }

    /// Takes in what was bound. Only what arrives in an empty queue wakes anybody. `start` begins to read at the end.
    pub(super) fn hear(&mut self, newest: &mut Newest, start: impl FnOnce(Wake) -> Option<Stream>) {
        if self.stream.is_none() {
            self.stream = start(self.wake.clone());
            // What was bound until then is not heard.
            newest.looked_at = None;
        }
        let Some(stream) = &mut self.stream else { return };
        loop {
            match stream.next(Duration::ZERO) {
                Ok(message) => {
                    // What cannot be understood is met by whoever asks.
                    if let Some(binding) = binding_of(message) {
                        newest.tell(binding.as_of());
                    }
                    stream.pass();
                }
                Err(Nothing::Yet | Nothing::End) => break,
                Err(Nothing::Refused(_)) => return self.forget(),
            }
        }
        stream.go_to(stream.position());
    }
}

#[cfg(test)]
mod tests {
    use tidegate_model::EventTime;

    use super::*;

    fn as_of(epoch: u64) -> AsOf {
        AsOf { epoch: Epoch(epoch), frontier: EventTime::from_millis(0) }
    }

    #[test]
    fn only_what_is_newer_is_told() {
        let mut newest = Newest::default();
        newest.tell(as_of(3));
        newest.tell(as_of(2));
        assert_eq!(newest.told(), Some(as_of(3)));
        newest.is(Some(as_of(2)));
        assert_eq!(newest.told(), Some(as_of(3)), "it is still newer");
        newest.is(Some(as_of(3)));
        newest.tell(as_of(3));
        assert_eq!(newest.told(), None);
    }

    #[test]
    fn a_newer_row_has_it_asked_for_its_binding() {
        let mut newest = Newest::default();
        assert!(!newest.is_known(false), "nobody looked");
        newest.is(Some(as_of(2)));
        newest.saw_row(Epoch(2));
        assert!(newest.is_known(false));
        newest.saw_row(Epoch(3));
        assert!(!newest.is_known(false));
        newest.is(Some(as_of(3)));
        assert!(newest.is_known(false));
        newest.forget();
        assert!(!newest.is_known(false));
        assert_eq!(newest.as_of, Some(as_of(3)));
    }
}
