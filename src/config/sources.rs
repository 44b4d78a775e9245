//! Reads the environment and the configuration file: the only place of the binary that does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file that is read when no other is named, if it exists.
pub const DEFAULT_FILE: &str = "tidegate.toml";

/// The configuration file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the configuration file {}", path.display())]
pub struct ReadFileError {
    path: PathBuf,
    source: std::io::Error,
}

/// The process's environment. A value that is no UTF-8 keeps its readable part, and is refused by
/// whatever setting it belongs to.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the configuration module, which reads the environment"
)]
pub fn environment() -> BTreeMap<String, String> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

/// Name and text of the file that was asked for; without one, of [`DEFAULT_FILE`] if it exists.
///
/// # Errors
/// When a file that was asked for is missing, or any file cannot be read.
pub fn file(asked: Option<&Path>) -> Result<Option<(String, String)>, ReadFileError> {
    let path = asked.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some((path.display().to_string(), text))),
        Err(error) if asked.is_none() && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReadFileError { path: path.to_owned(), source }),
    }
}
