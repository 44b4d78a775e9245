//! Which events are settled, although answers come out of order: what is known when sending ends in the middle.

use std::collections::BTreeMap;

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of its file.
    pub(super) file: usize,
    /// Its line, counted from 1.
    pub(super) line: u64,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was surely not taken: not sent yet, or turned away for now.
    NotTaken,
    /// It is under way, or nobody knows.
    Unknown,
    /// It is durable.
    Acknowledged,
    /// It was turned away for good.
    Refused,
}

/// The events from the first one that is not settled. No more of them than are under way, and those that were
/// settled ahead of them.
#[derive(Debug, Default)]
pub(super) struct Order {
    next: u64,
    open: BTreeMap<u64, (Place, Fate)>,
}

/// What is known of the events from the first one that is not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Where that one stands; `None` when all are settled. Every event before it is acknowledged or refused.
    pub(super) from: Option<Place>,
    /// How many behind it are acknowledged all the same.
    pub(super) acknowledged: u64,
    /// Of how many, itself included, nobody knows.
    pub(super) unknown: u64,
}

impl Order {
    /// Takes the next event in, which gets a number. It is not sent yet.
    pub(super) fn begin(&mut self, place: Place) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, (place, Fate::NotTaken));
        number
    }

    /// It is being sent.
    pub(super) fn sending(&mut self, number: u64) {
        self.end(number, Fate::Unknown);
    }

    /// What became of it.
    pub(super) fn end(&mut self, number: u64, fate: Fate) {
        if let Some((_, own)) = self.open.get_mut(&number) {
            *own = fate;
        }
        while let Some(first) = self.open.first_entry() {
            if matches!(first.get().1, Fate::NotTaken | Fate::Unknown) {
                break;
            }
            first.remove();
        }
    }

    /// Where an event stands that is not settled.
    pub(super) fn place(&self, number: u64) -> Option<Place> {
        self.open.get(&number).map(|(place, _)| *place)
    }

    /// What is known.
    pub(super) fn standing(&self) -> Standing {
        let count = |wanted: Fate| self.open.values().filter(|(_, fate)| *fate == wanted).count() as u64;
        Standing {
            from: self.open.first_key_value().map(|(_, (place, _))| *place),
            acknowledged: count(Fate::Acknowledged),
            unknown: count(Fate::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u64) -> Place {
        Place { file: 0, line }
    }

    #[test]
    fn the_first_event_that_is_not_settled_is_where_to_go_on() {
        let mut order = Order::default();
        for line in 1..=6 {
            let number = order.begin(place(line));
            order.sending(number);
        }
        for (number, fate) in
            [(1, Fate::Acknowledged), (0, Fate::Refused), (4, Fate::Acknowledged), (5, Fate::NotTaken)]
        {
            order.end(number, fate);
        }
        let standing = Standing { from: Some(place(3)), acknowledged: 1, unknown: 2 };
        assert_eq!(order.standing(), standing);
        assert_eq!((order.place(1), order.place(2)), (None, Some(place(3))));
        for number in [2, 3, 5] {
            order.end(number, Fate::Acknowledged);
        }
        assert_eq!(order.standing(), Standing::default());
        assert_eq!(order.begin(place(9)), 6);
    }
}
