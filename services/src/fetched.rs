//! Where fetched servers lie: outside of the repository, for all its clones.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, ensure};

/// The file that says that a folder has everything.
const MARK: &str = "complete";

/// The folder of that name, which `fetch` fills when it is not there yet.
pub(crate) fn once(name: &str, fetch: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    static FETCHING: Mutex<()> = Mutex::new(());
    // Threads of one process, such as tests, fetch one after another.
    let _alone = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = folder()?.join(name);
    if folder.join(MARK).exists() {
        return Ok(folder);
    }
    // Several processes may fetch at once: each into a folder of its own, and one of them stays.
    let parts = folder.with_file_name(format!("{name}.{}.parts", std::process::id()));
    std::fs::create_dir_all(&parts).with_context(|| format!("cannot create {}", parts.display()))?;
    let fetched =
        fetch(&parts).and_then(|()| std::fs::write(parts.join(MARK), name).context("cannot write a mark"));
    if fetched.is_err() || std::fs::rename(&parts, &folder).is_err() {
        std::fs::remove_dir_all(&parts).with_context(|| format!("cannot remove {}", parts.display()))?;
    }
    fetched?;
    ensure!(folder.join(MARK).exists(), "{} is there, but not complete: remove it", folder.display());
    Ok(folder)
}

/// The folder of fetched servers: `TIDEGATE_SERVICES_DIR`, or one in the user's cache folder.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
fn folder() -> anyhow::Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let folder = named("TIDEGATE_SERVICES_DIR").or_else(|| Some(cache()?.join("tidegate/services")));
    folder.context("there is no HOME: name a folder for fetched servers in TIDEGATE_SERVICES_DIR")
}
