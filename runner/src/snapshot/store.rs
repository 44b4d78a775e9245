//! Where snapshots lie: a few operations on named objects, and their implementation over `object_store`.

use std::path::Path;

use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::{Builder, Runtime};

/// A store of objects that belong to one deployment. An object is written once and never changed.
pub trait SnapshotStore: Send + Sync {
    /// Writes an object; when this returns, it survives a crash.
    ///
    /// # Errors
    /// What the storage says. The object may be there, whole or not.
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError>;

    /// Reads an object; `None` when there is none of that name.
    ///
    /// # Errors
    /// What the storage says.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The length of an object; `None` when there is none of that name.
    ///
    /// # Errors
    /// What the storage says.
    fn length(&self, name: &str) -> Result<Option<u64>, StoreError>;

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// What the storage says.
    fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// The names of all objects; only for removing those that nobody needs.
    ///
    /// # Errors
    /// What the storage says.
    fn list(&self) -> Result<Vec<String>, StoreError>;
}

/// The store of snapshots failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {what} {name}: {reason}")]
pub struct StoreError {
    /// What was tried.
    pub what: &'static str,
    /// The object or folder.
    pub name: String,
    /// What the storage said.
    pub reason: String,
}

/// Objects behind the crate `object_store`.
pub struct ObjectSnapshots {
    store: Box<dyn ObjectStore>,
    runtime: Runtime,
}

impl ObjectSnapshots {
    /// Objects as files in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// When there is none and it cannot be made.
    pub fn in_folder(folder: &Path) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError {
            what: "open the folder of snapshots",
            name: folder.display().to_string(),
            reason,
        };
        make_folder(folder).map_err(|error| failed(error.to_string()))?;
        Self::open(folder)
    }

    /// Objects in a folder that is there, for reading beside whoever writes them.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError {
            what: "open the folder of snapshots",
            name: folder.display().to_string(),
            reason,
        };
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| failed(error.to_string()))?;
        let runtime = Builder::new_current_thread().build().map_err(|error| failed(error.to_string()))?;
        Ok(Self { store: Box::new(store.with_fsync(true)), runtime })
    }
}

/// Makes the folder, such that it survives a crash, and removes what a crash left of objects that were being
/// written: the store writes them under names of its own first, and shows and removes none of those.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::File::open(parent)?.sync_all()?;
    }
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_part = entry
            .file_name()
            .to_str()
            .and_then(|name| name.rsplit_once('#'))
            .is_some_and(|(name, number)| name.ends_with(".snapshot") && number.parse::<u64>().is_ok());
        if is_part {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn failed<'a>(what: &'static str, name: &'a str) -> impl Fn(Error) -> StoreError + 'a {
    move |error| StoreError { what, name: name.to_owned(), reason: error.to_string() }
}

impl SnapshotStore for ObjectSnapshots {
    fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let put = self.runtime.block_on(self.store.put(&ObjectPath::from(name), bytes.into()));
        put.map(|_| ()).map_err(failed("write the snapshot object", name))
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = ObjectPath::from(name);
        let got = self.runtime.block_on(async { self.store.get(&path).await?.bytes().await });
        match got {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read the snapshot object", name)(error)),
        }
    }

    fn length(&self, name: &str) -> Result<Option<u64>, StoreError> {
        match self.runtime.block_on(self.store.head(&ObjectPath::from(name))) {
            Ok(object) => Ok(Some(object.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at the snapshot object", name)(error)),
        }
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.runtime.block_on(self.store.delete(&ObjectPath::from(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove the snapshot object", name)(error)),
        }
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let listed = self.store.list(None).map_ok(|object| object.location.to_string());
        self.runtime.block_on(listed.try_collect()).map_err(failed("list", "the snapshot objects"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_kept_listed_and_removed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let folder = dir.path().join("snapshots");
        let store = ObjectSnapshots::in_folder(&folder).expect("it is made");
        assert_eq!(store.get("a.snapshot"), Ok(None));
        store.put("a.snapshot", b"12".to_vec()).expect("it is written");
        store.put("b.snapshot", Vec::new()).expect("it is written");
        std::fs::write(folder.join("c.snapshot#1"), b"half").expect("a crash leaves this");
        std::fs::write(folder.join("mine#1"), b"a user's").expect("and somebody this");
        let again = ObjectSnapshots::in_folder(&folder).expect("it is there");
        assert!(!folder.join("c.snapshot#1").exists() && folder.join("mine#1").exists());
        assert_eq!(again.get("a.snapshot"), Ok(Some(b"12".to_vec())));
        assert_eq!((again.length("a.snapshot"), again.length("c.snapshot")), (Ok(Some(2)), Ok(None)));
        let mut names = again.list().expect("it can be listed");
        names.sort();
        assert_eq!(names, ["a.snapshot", "b.snapshot"]);
        for _ in 0..2 {
            again.remove("a.snapshot").expect("it is gone in any case");
        }
        assert_eq!(store.list(), Ok(vec!["b.snapshot".to_owned()]));
    }

    #[test]
    fn a_store_that_fails_names_the_object() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = ObjectSnapshots::in_folder(dir.path()).expect("it is there");
        std::fs::create_dir(dir.path().join("a.snapshot")).expect("it is new");
        let error = store.put("a.snapshot", vec![1]).expect_err("a folder is in the way").to_string();
        assert!(error.starts_with("cannot write the snapshot object a.snapshot: "), "{error}");
    }
}
