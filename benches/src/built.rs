//! Programs of this workspace, of the same build as the benchmarks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::{Scale, scratch};

/// Builds a program, and finds it. A test takes the one that is there, which a test of the workspace has just
/// built, and builds it only where there is none.
///
/// # Errors
/// When the build fails.
pub fn program(package: &str, name: &str, scale: Scale) -> anyhow::Result<PathBuf> {
    // Programs of benchmarks and tests lie in `deps`, beside those that users run.
    let own = scratch::build_folder()?;
    let path = own.parent().context("a folder of a build has one above it")?.join(name);
    if scale != Scale::Smoke || !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", package, "--bin", name]);
        build.arg("--manifest-path").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
        build.args(if cfg!(debug_assertions) { &[][..] } else { &["--release"] });
        ensure!(build.status()?.success(), "`{build:?}` failed");
    }
    ensure!(path.exists(), "the build has not left a program at {}", path.display());
    Ok(path)
}
