//! A disk that is full when a test wants it to be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own, as large as it is told to be.
#[derive(Debug)]
pub(crate) struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts it; `None` where this process may not.
    pub(crate) fn mount(at: &Path, kib: u64) -> Option<Self> {
        fs::create_dir(at).expect("a directory");
        let size = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        let said = match mounted {
            Ok(output) if output.status.success() => return Some(Self { at: at.to_owned() }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        #[expect(clippy::disallowed_methods, reason = "whether a test may be left out is no setting")]
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!in_ci, "a full disk must be tested here, but mounting one failed: {said}");
        eprintln!("NOT TESTED: a full disk, because mounting one needs more rights: {said}");
        None
    }

    pub(crate) fn resize(&self, kib: u64) {
        let size = format!("remount,size={kib}k");
        let resized = Command::new("mount").args(["-o", &size]).arg(&self.at).status();
        assert!(resized.is_ok_and(|status| status.success()), "the disk cannot be enlarged");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Best effort: a test that fails should say why it failed.
        let _ = Command::new("umount").arg(&self.at).status();
    }
}
