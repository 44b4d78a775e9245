//! The workspace as cargo declares it: where it lies, its members and what they depend on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The workspace.
#[derive(Debug)]
pub struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// The folder that cargo builds into.
    pub target: PathBuf,
    /// Every member, the root package included.
    pub members: Vec<Member>,
}

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The crate's name.
    pub name: String,
    /// Its folder below the root, with `/`; `src` for the root package, whose code lies there.
    pub folder: String,
    /// What it declares to depend on, of every kind.
    pub dependencies: Vec<Dependency>,
}

/// A declared dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The crate's name.
    pub name: String,
    /// Whether only tests and benchmarks use it.
    pub dev: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    name: String,
    kind: Option<String>,
}

impl Workspace {
    /// Where fetched tools go.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Asks cargo for the workspace that this crate is part of.
    ///
    /// # Errors
    /// When cargo cannot be run or does not understand a manifest.
    pub fn load() -> anyhow::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .output()
            .context("cannot run cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata fails for {}: {}",
            manifest.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Self::from_metadata(&output.stdout)
    }

    /// Reads the answer of `cargo metadata --no-deps`.
    ///
    /// # Errors
    /// When it is not what cargo documents, or a member lies outside the root.
    pub fn from_metadata(json: &[u8]) -> anyhow::Result<Self> {
        let metadata: Metadata = serde_json::from_slice(json).context("cannot read cargo's metadata")?;
        let root = metadata.workspace_root;
        let members = metadata
            .packages
            .into_iter()
            .map(|package| {
                Ok(Member {
                    folder: folder_of(&package.manifest_path, &root)?,
                    name: package.name,
                    dependencies: package.dependencies.into_iter().map(Dependency::from).collect(),
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { root, target: metadata.target_directory, members })
    }

    /// Whether `name` is a crate of this workspace.
    pub fn is_member(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }
}

impl From<Declared> for Dependency {
    fn from(declared: Declared) -> Self {
        Self { name: declared.name, dev: declared.kind.as_deref() == Some("dev") }
    }
}

fn folder_of(manifest: &Path, root: &Path) -> anyhow::Result<String> {
    let folder = manifest
        .parent()
        .and_then(|folder| folder.strip_prefix(root).ok())
        .with_context(|| format!("{} lies outside the workspace", manifest.display()))?;
    let parts: Vec<_> = folder.iter().map(|part| part.to_string_lossy()).collect();
    Ok(if parts.is_empty() { "src".to_owned() } else { parts.join("/") })
}

/// The cargo that started this program, or the one on the path.
#[expect(clippy::disallowed_methods, reason = "a developer command is its own configuration")]
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Every file below `folder` whose name ends in `.extension`, sorted; build output and hidden folders
/// are left out.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_below(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type()?.is_dir() {
                let skipped = name == "target" || name.to_string_lossy().starts_with('.');
                if !skipped {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
