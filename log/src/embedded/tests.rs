//! The embedded log as a whole, on real files.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{EmbeddedAppender, EmbeddedJournal, EmbeddedLog, EmbeddedReader, EmbeddedRowReader, Options};
use crate::conformance::{self, Subject};

mod closing;
mod crash;
mod damage;
mod directory;
mod imports;
mod limits;

pub(super) fn options(partitions: u32) -> Options {
    Options { partitions, ..Options::default() }
}

pub(super) fn open(dir: &Path, partitions: u32) -> EmbeddedLog {
    EmbeddedLog::open(dir, options(partitions)).expect("the log opens")
}

/// A copy of a data directory: of one that is written to, it is what would be left if the process were
/// killed now.
pub(super) fn copy_of(from: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            let target = to.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).expect("a copy");
            }
        }
    }
    let copied = TempDir::new().expect("a temporary directory");
    copy(from, copied.path());
    copied
}

struct Embedded {
    log: EmbeddedLog,
    _dir: TempDir,
}

impl Subject for Embedded {
    type Appender = EmbeddedAppender;
    type Reader = EmbeddedReader;
    type Journal = EmbeddedJournal;
    type Rows = EmbeddedRowReader;

    fn appender(&self) -> EmbeddedAppender {
        self.log.appender()
    }

    fn reader(&self) -> EmbeddedReader {
        self.log.reader()
    }

    fn journal(&self) -> EmbeddedJournal {
        self.log.journal()
    }

    fn rows(&self) -> EmbeddedRowReader {
        self.log.row_reader().expect("the journal opens once more")
    }
}

#[test]
fn it_passes_the_suite() {
    conformance::run_all(|| {
        let dir = TempDir::new().expect("a temporary directory");
        Embedded { log: open(dir.path(), 3), _dir: dir }
    });
}

#[test]
fn it_passes_the_suite_with_segments_of_a_page() {
    conformance::run_all(|| {
        let dir = TempDir::new().expect("a temporary directory");
        let options = Options { segment_bytes_max: 4096, batch_bytes_max: 64, ..options(2) };
        Embedded { log: EmbeddedLog::open(dir.path(), options).expect("the log opens"), _dir: dir }
    });
}
