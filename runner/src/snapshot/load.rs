//! Reading a snapshot that a manifest names.

use tidegate_dataflow::snapshot::{FormatError, Restored, decode};
use tidegate_model::Epoch;
use tidegate_model::binding::{Manifest, SnapshotObject};
use tidegate_model::planted::{Bug, is_planted};

use super::names::epoch_of;
use super::{SnapshotStore, StoreError};

/// Why a snapshot cannot be started from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// An object is gone.
    #[error("its object {name} is missing")]
    Missing {
        /// The object.
        name: String,
    },
    /// An object has another length than the manifest says.
    #[error("its object {name} has {found} bytes instead of {expected}")]
    Length {
        /// The object.
        name: String,
        /// Its length.
        found: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// An object has other bytes than those written.
    #[error("its object {name} has the checksum {found:08x} instead of {expected:08x}")]
    Checksum {
        /// The object.
        name: String,
        /// Its checksum.
        found: u32,
        /// What the manifest says.
        expected: u32,
    },
    /// An object cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An object is as it was written, and still not understood.
    #[error("its object {name} cannot be decoded")]
    Format {
        /// The object.
        name: String,
        /// Why not.
        #[source]
        error: FormatError,
    },
    /// An object is of another snapshot.
    #[error("its object {name} is of epoch {found}")]
    OtherEpoch {
        /// The object.
        name: String,
        /// Its epoch.
        found: Epoch,
    },
    /// Events that come after it are gone.
    #[error("events that it would be followed by are gone")]
    EventsGone,
}

/// Reads all of a snapshot.
///
/// # Errors
/// When it is not as it was written, or cannot be read.
pub fn load(store: &dyn SnapshotStore, manifest: &Manifest) -> Result<Restored, Unusable> {
    if is_planted(Bug::SnapshotFromListing) {
        return newest_listed(store, manifest.epoch);
    }
    let mut objects = Vec::with_capacity(manifest.objects.len());
    for SnapshotObject { name, bytes, crc32 } in &manifest.objects {
        let name = || name.clone();
        let found = store.get(&name())?.ok_or_else(|| Unusable::Missing { name: name() })?;
        let length = found.len() as u64;
        if length != *bytes {
            return Err(Unusable::Length { name: name(), found: length, expected: *bytes });
        }
        let checksum = crc32fast::hash(&found);
        if checksum != *crc32 {
            return Err(Unusable::Checksum { name: name(), found: checksum, expected: *crc32 });
        }
        let object = decode(&found).map_err(|error| Unusable::Format { name: name(), error })?;
        if object.epoch != manifest.epoch {
            return Err(Unusable::OtherEpoch { name: name(), found: object.epoch });
        }
        objects.push(object);
    }
    Ok(Restored::new(manifest.epoch, objects))
}

/// A known bug, for the simulator: the newest objects are taken for the snapshot of `epoch`.
fn newest_listed(store: &dyn SnapshotStore, epoch: Epoch) -> Result<Restored, Unusable> {
    let listed = store.list()?;
    let newest = listed.iter().filter_map(|name| epoch_of(name)).max();
    let mut objects = Vec::new();
    for name in listed.into_iter().filter(|name| epoch_of(name) == newest) {
        let found = store.get(&name)?.ok_or_else(|| Unusable::Missing { name: name.clone() })?;
        objects.push(decode(&found).map_err(|error| Unusable::Format { name, error })?);
    }
    Ok(Restored::new(epoch, objects))
}
