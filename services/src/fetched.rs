//! Where fetched servers lie: outside of the repository, for all its clones.

use std::path::PathBuf;

use anyhow::Context;

/// The folder of fetched servers: `TIDEGATE_SERVICES_DIR`, or one in the user's cache folder.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    let folder = named("TIDEGATE_SERVICES_DIR").or_else(|| Some(cache()?.join("tidegate/services")));
    folder.context("there is no HOME: name a folder for fetched servers in TIDEGATE_SERVICES_DIR")
}
