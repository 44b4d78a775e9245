//! Whether every process of a dataflow sees the same store: an object that process 0 writes and the others look for.

use tidegate_model::binding::SnapshotObject;
use tidegate_model::{Epoch, Generation};

use super::names::name;
use super::{SnapshotStore, StoreError};

/// The number that no worker has.
const NO_WORKER: usize = 99_999;

/// Such an object. The next start removes it, as all that the journal does not name.
pub(crate) struct Probe {
    pub(crate) object: SnapshotObject,
}

impl Probe {
    /// Writes it.
    pub(crate) fn put(store: &dyn SnapshotStore, generation: Generation) -> Result<Self, StoreError> {
        let name = name(generation, Epoch(0), NO_WORKER);
        let bytes = name.clone().into_bytes();
        let object = SnapshotObject { name, bytes: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
        store.put(&object.name, bytes)?;
        Ok(Self { object })
    }

    /// Looks for it, and says what is wrong when it is not the one that was written.
    pub(crate) fn look(
        store: &dyn SnapshotStore,
        object: &SnapshotObject,
    ) -> Result<Result<(), String>, StoreError> {
        let name = &object.name;
        Ok(match store.get(name)?.map(|bytes| crc32fast::hash(&bytes)) {
            Some(crc32) if crc32 == object.crc32 => Ok(()),
            Some(_) => Err(format!("{name} has other bytes than those that process 0 wrote")),
            None => Err(format!("there is no {name}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectSnapshots;

    #[test]
    fn it_is_seen_in_the_same_store_only() {
        let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (one, other) = (ObjectSnapshots::in_folder(one.path()), ObjectSnapshots::in_folder(other.path()));
        let (one, other) = (one.expect("it is there"), other.expect("it is there"));
        let probe = Probe::put(&one, Generation(7)).expect("it can be written");
        let look = |store| Probe::look(store, &probe.object).expect("it can be read");
        assert_eq!(look(&one), Ok(()));
        let said = look(&other).expect_err("it is in the other");
        assert!(said.starts_with("there is no 00000000000000000007-"), "{said}");
    }
}
