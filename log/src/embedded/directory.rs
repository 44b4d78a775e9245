//! The data directory: its lock, and the file that says what it holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use serde_json::json;

use super::error::OpenError;
use super::files::Files;

/// The format version of a data directory.
pub(super) const DIRECTORY_VERSION: u32 = 1;

const LOCK: &str = "tidegate.lock";
const FORMAT: &str = "format";
const FORMAT_NEW: &str = "format.new";
/// No format file is longer.
const FORMAT_BYTES_MAX: usize = 64 << 10;

/// Held by the one process that writes the directory; the system releases it however that one ends.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the file is open")] File);

impl Lock {
    /// Takes the lock, and leaves this process's pid in the file for whoever comes next.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(LOCK);
        let storage = |error: std::io::Error| OpenError::storage(&path, &error);
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(&path).map_err(storage)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let read = file.read_to_string(&mut pid);
                let pid = if read.is_ok() && !pid.trim().is_empty() { pid.trim() } else { "unknown" };
                return Err(OpenError::Locked { dir: dir.display().to_string(), pid: pid.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(storage(error)),
        }
        file.set_len(0).map_err(storage)?;
        writeln!(file, "{}", std::process::id()).map_err(storage)?;
        Ok(Self(file))
    }
}

/// Reads how many partitions the directory has; `None` when it is new.
pub(super) fn read_format(files: &dyn Files, dir: &Path) -> Result<Option<u32>, OpenError> {
    let path = dir.join(FORMAT);
    let storage = |error: std::io::Error| OpenError::storage(&path, &error);
    if !files.list(dir).map_err(storage)?.iter().any(|name| name == FORMAT) {
        return Ok(None);
    }
    let file = files.open(&path).map_err(storage)?;
    let mut bytes = vec![0; FORMAT_BYTES_MAX];
    let read = file.read_at(&mut bytes, 0).map_err(storage)?;
    let damaged = |at: usize, reason: String| OpenError::Damaged {
        path: path.display().to_string(),
        at: at as u64,
        reason,
    };
    let format: serde_json::Value =
        serde_json::from_slice(&bytes[..read]).map_err(|error| damaged(error.column(), error.to_string()))?;
    let number = |name: &str| {
        let number = format.get(name).and_then(serde_json::Value::as_u64);
        number
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| damaged(0, format!("`{name}` is no number")))
    };
    let found = number("format")?;
    if found > DIRECTORY_VERSION {
        let path = path.display().to_string();
        return Err(OpenError::NewerFormat { path, found, supported: DIRECTORY_VERSION });
    }
    number("partitions").map(Some)
}

/// Writes how many partitions the directory has, at once or not at all.
pub(super) fn write_format(files: &dyn Files, dir: &Path, partitions: u32) -> Result<(), OpenError> {
    let (path, new) = (dir.join(FORMAT), dir.join(FORMAT_NEW));
    let storage = |error: std::io::Error| OpenError::storage(&path, &error);
    let format = json!({ "format": DIRECTORY_VERSION, "partitions": partitions });
    let file = files.create(&new).map_err(storage)?;
    file.write_at(format!("{format}\n").as_bytes(), 0).map_err(storage)?;
    file.sync().map_err(storage)?;
    files.rename(&new, &path).map_err(storage)?;
    files.sync_dir(dir).map_err(storage)
}
