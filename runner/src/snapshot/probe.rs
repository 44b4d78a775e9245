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

    /// Looks for it.
    pub(crate) fn look(store: &dyn SnapshotStore, object: &SnapshotObject) -> Result<(), StoreError> {
        let found = store.get(&object.name)?.map(|bytes| crc32fast::hash(&bytes));
        let failed = |reason: &str| StoreError {
            what: "read the snapshot object",
            name: object.name.clone(),
            reason: reason.to_owned(),
        };
        match found {
            Some(crc32) if crc32 == object.crc32 => Ok(()),
            Some(_) => Err(failed("it has other bytes than those that process 0 wrote")),
            None => Err(failed("it is not there")),
        }
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
        Probe::look(&one, &probe.object).expect("it is there");
        let error = Probe::look(&other, &probe.object).expect_err("it is in the other").to_string();
        assert!(error.ends_with(".snapshot: it is not there"), "{error}");
    }
}
