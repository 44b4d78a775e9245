//! Ids for events that come without one.

use std::sync::Arc;

use tidegate_model::EventTime;
use uuid::Uuid;

use crate::ingest::Ids;

/// The UUID v7 of an instant and of ten random bytes; an instant before 1970 counts as 1970.
pub fn uuid_v7(now: EventTime, random: &[u8; 10]) -> Uuid {
    let ms = u64::try_from(now.as_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(ms, random).into_uuid()
}

/// UUIDs v7 with the system's randomness: the edge, where tests hand in something else.
pub fn system() -> Ids {
    Arc::new(|now| {
        let mut random = [0; 10];
        getrandom::fill(&mut random).expect("the system has random bytes once it has started");
        uuid_v7(now, &random)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_form_of_version_7_and_sorts_by_time() {
        let random = [0xff; 10];
        let id = uuid_v7(EventTime::from_millis(1_700_000_000_000), &random);
        assert_eq!(id.to_string(), "018bcfe5-6800-7fff-bfff-ffffffffffff");
        assert!(id < uuid_v7(EventTime::from_millis(1_700_000_000_001), &[0; 10]));
        assert!(uuid_v7(EventTime::MIN, &random) < id);
    }

    #[test]
    fn the_systems_ids_differ() {
        let (ids, now) = (system(), EventTime::from_millis(1_700_000_000_000));
        assert_ne!(ids(now), ids(now));
    }
}
