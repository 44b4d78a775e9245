//! A batch between workers that do not share memory: a frame of its rows, then one of its names.
//!
//! The frames find what was damaged on the way. What they cannot know is checked here, so that a row that is
//! none is an error at once and not a panic later.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_codec::{decode, decode_bytes, encode, encode_bytes};
use tidegate_model::DeviceCategory;

use super::{Batch, Row};

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        encode(&self.rows, &mut bytes);
        encode_bytes(self.names.as_bytes(), &mut bytes);
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Frames)
    }
}

struct Frames;

impl Visitor<'_> for Frames {
    type Value = Batch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame of rows and one of names")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Batch, E> {
        let (rows, used) = decode::<Row>(bytes).map_err(E::custom)?;
        let (names, of_names) = decode_bytes(&bytes[used..]).map_err(E::custom)?;
        if used + of_names != bytes.len() {
            return Err(E::custom(format_args!("{} bytes follow the frames", bytes.len() - used - of_names)));
        }
        let names = std::str::from_utf8(names).map_err(|error| E::custom(format_args!("names: {error}")))?;
        match rows.iter().find_map(|row| Some((row, fault_of(row, names)?))) {
            Some((row, fault)) => {
                let at = row.position();
                let (partition, offset) = (at.partition, at.offset);
                Err(E::custom(format_args!("the row of partition {partition}, offset {offset}: {fault}")))
            }
            None => Ok(Batch { rows, names: names.to_owned() }),
        }
    }
}

/// What is wrong with a row that belongs to these names.
fn fault_of(row: &Row, names: &str) -> Option<String> {
    if usize::from(row.device) >= DeviceCategory::ALL.len() {
        return Some(format!("there is no device category {}", row.device));
    }
    if row.page_view > 1 || row.reserved != 0 {
        return Some(format!("page view {} and reserved {} are no flags", row.page_view, row.reserved));
    }
    let session = row.names as usize;
    let user = session + row.session_len as usize;
    let end = user + row.user_len as usize;
    let are_ends = [session, user, end].into_iter().all(|at| names.is_char_boundary(at));
    (!are_ends).then(|| format!("its names end at {session}, {user} and {end} of {} bytes", names.len()))
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{BytesDeserializer, Error};

    use super::*;
    use crate::batch::{Decoded, Position, Router, RowRules};
    use crate::hash::HashKey;
    use tidegate_model::{EventTime, Offset, PartitionId};

    fn batch() -> Batch {
        let rules = RowRules { hash_key: HashKey(1, 2), event_types: ["click".to_owned()].into() };
        let mut router = Router::new(rules, 1);
        for (n, event_type) in (0..5).zip(["page_view", "click", "page_view", "scroll", "page_view"]) {
            let event = Decoded {
                time: EventTime::from_millis(1_431_857_103_000 + n),
                event_type,
                user_id: "Zoë",
                session_id: "s-1",
                device: DeviceCategory::ALL[1],
                load_time: Some(n),
            };
            let offset = Offset(n.unsigned_abs());
            router.push(&event, Position { partition: PartitionId(3), offset });
        }
        let (_, batch) = router.flush().pop().expect("one worker, one batch");
        Batch::clone(&batch)
    }

    fn frames(batch: &Batch) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(&batch.rows, &mut bytes);
        encode_bytes(batch.names.as_bytes(), &mut bytes);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Batch, Error> {
        let deserializer: BytesDeserializer<'_, Error> = bytes.into_deserializer();
        Batch::deserialize(deserializer)
    }

    #[test]
    fn a_batch_comes_back() {
        let sent = batch();
        let found = read(&frames(&sent)).expect("it is whole");
        assert_eq!(found.names, sent.names);
        assert_eq!(frames(&found), frames(&sent));
        assert_eq!(found.names(&found.rows()[2]), ("s-1", "Zoë"));
    }

    #[test]
    fn rows_that_are_none_are_errors_and_no_panics() {
        let with = |change: fn(&mut Row)| {
            let mut batch = batch();
            change(&mut batch.rows[2]);
            read(&frames(&batch)).expect_err("the row is none").to_string()
        };
        for (error, said) in [
            (with(|row| row.device = 4), "partition 3, offset 2: there is no device category 4"),
            (with(|row| row.page_view = 7), "page view 7"),
            (with(|row| row.names = u32::MAX), "its names end at 4294967295"),
            (with(|row| row.user_len -= 1), "its names end at"),
        ] {
            assert!(error.contains(said), "{error}");
        }
        let whole = frames(&batch());
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            read(&damaged).expect_err("a byte is another one");
        }
        read(&[whole.as_slice(), &[0; 8]].concat()).expect_err("something follows");
    }
}
