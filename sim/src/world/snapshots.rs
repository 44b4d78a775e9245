//! The store of snapshots: objects that are there or not, fail to be written, are lost and damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidegate_model::{Offset, PartitionId};
use tidegate_runner::SnapshotStore;
use tidegate_runner::snapshot::StoreError;

use super::faults::{Effect, Site};
use super::{ProcessId, State, World};

/// The store, as one process sees it.
pub struct SimSnapshots {
    /// The world.
    pub world: Arc<World>,
    /// Whose store it is.
    pub process: ProcessId,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// It is gone.
    Lost,
    /// Its end is missing.
    CutOff,
    /// One of its bytes is another.
    Damaged,
}

impl State {
    /// Spoils one of the objects, counted modulo their number.
    pub fn spoil_snapshot(&mut self, number: u32, how: Spoil) {
        let Some(number) = (number as usize).checked_rem(self.objects.len()) else { return };
        let name = self.objects.keys().nth(number).cloned().expect("below their number");
        if !self.can_do_without(&name) {
            return;
        }
        self.spoilt.insert(name.clone());
        let bytes = self.objects.get_mut(&name).expect("it was just found");
        self.faults.happened += 1;
        match how {
            Spoil::Lost => drop(self.objects.remove(&name)),
            Spoil::CutOff => bytes.truncate(bytes.len() / 2),
            Spoil::Damaged => {
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
            }
        }
    }
}

impl State {
    /// Whether no other snapshot is spoilt of those that count, or will when they are named: two are kept, and
    /// who loses both has lost the deployment.
    fn can_do_without(&self, name: &str) -> bool {
        let named = self.bindings.iter().rev().filter_map(|binding| binding.snapshot.as_ref());
        let replaced = named.skip(2).flat_map(|manifest| &manifest.objects);
        let replaced: BTreeSet<&str> = replaced.map(|object| object.name.as_str()).collect();
        let others = self.spoilt.iter().filter(|spoilt| of_snapshot(spoilt) != of_snapshot(name));
        others.into_iter().all(|spoilt| replaced.contains(spoilt.as_str()))
    }

    /// Events before these offsets are gone.
    pub fn retain_events(&mut self, from: &BTreeMap<PartitionId, Offset>) {
        for (partition, offset) in from {
            let log = &mut self.events[partition.0 as usize];
            log.start = log.start.max(offset.0);
        }
    }
}

/// What the names of the objects of a snapshot have in common.
fn of_snapshot(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(snapshot, _)| snapshot)
}

fn failed(what: &'static str, name: &str) -> StoreError {
    StoreError { what, name: name.to_owned(), reason: "simulated".to_owned() }
}

impl SnapshotStore for SimSnapshots {
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let mut state = self.world.lock();
        let fault = state.fault(Site::PutSnapshot, self.process);
        state.note("put", bytes.len() as u64);
        let bytes = match fault {
            None | Some(Effect::CrashAfter | Effect::UnknownKept) => bytes,
            Some(Effect::UnknownLost) => bytes[..bytes.len() / 2].to_vec(),
            Some(Effect::CrashBefore | Effect::Fails) => return Err(failed("write", name)),
        };
        assert!(state.objects.insert(name.to_owned(), bytes).is_none(), "{name} is written twice");
        fault.map_or(Ok(()), |_| Err(failed("write", name)))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut state = self.world.lock();
        match state.fault(Site::GetSnapshot, self.process) {
            None => Ok(state.objects.get(name).cloned()),
            Some(_) => Err(failed("read", name)),
        }
    }

    fn length(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let mut state = self.world.lock();
        match state.fault(Site::GetSnapshot, self.process) {
            None => Ok(state.objects.get(name).map(|bytes| bytes.len() as u64)),
            Some(_) => Err(failed("look at", name)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut state = self.world.lock();
        let fault = state.fault(Site::RemoveSnapshot, self.process);
        if fault.is_none_or(Effect::takes_place) {
            state.objects.remove(name);
        }
        fault.map_or(Ok(()), |_| Err(failed("remove", name)))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.world.lock().objects.keys().cloned().collect())
    }
}
