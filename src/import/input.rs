//! The files of an import: looked at before anything is done, and put in order.
//!
//! A file is read up to the length that it had when it was looked at, so that a log that still grows is
//! a fixed input. Standard input cannot be looked at twice: it comes alone, and it has no fingerprint.

mod compression;
mod content;
mod probe;

#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tidegate_model::EventTime;

use super::fingerprint::Fingerprint;
use crate::config::{Config, InputFormat};
pub use content::Progress;
pub(super) use content::{Content, of_stream as stream, open as open_file};

/// What decides the events that lines become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the lines are.
    pub format: InputFormat,
    /// What paths of access logs are put behind; without a slash at its end.
    pub base_url: String,
    /// Whether static files of access logs are left out.
    pub pages_only: bool,
}

impl Options {
    /// Those of the configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            format: config.import_format,
            base_url: config.import_base_url.clone(),
            pages_only: config.import_pages_only,
        }
    }

    /// The options that are part of a file's fingerprint, in words that never change.
    fn spelt(&self, format: LineFormat) -> String {
        match format {
            LineFormat::Json => "json".to_owned(),
            LineFormat::AccessLog => {
                format!("access-log base_url={} pages_only={}", self.base_url, self.pages_only)
            }
        }
    }
}

/// What the lines of one file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// One event as JSON on each line.
    Json,
    /// Common or Combined Log Format.
    AccessLog,
}

/// A file of the input, as it was found.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Its name, as it was given; `-` for standard input.
    pub name: String,
    /// Its length on the disk; 0 for standard input.
    pub bytes: u64,
    /// What its lines are.
    pub format: LineFormat,
    /// The time of its first event; `None` when it has none.
    pub first_event: Option<EventTime>,
    pub(super) path: PathBuf,
    pub(super) is_gzip: bool,
    pub(super) fingerprint: Fingerprint,
}

/// Why a file cannot be imported. Nothing has been done when this is reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be opened or read.
    #[error("cannot read {name}: {reason}")]
    Unreadable {
        /// The file.
        name: String,
        /// What the system said.
        reason: io::Error,
    },
    /// It is a directory.
    #[error("{name} is a directory; name the files in it, such as {name}/*.log")]
    Directory {
        /// Its name.
        name: String,
    },
    /// It is a pipe, a socket or a device, which can be read only once.
    #[error("{name} is no regular file; pipe it in instead, and name it -")]
    NotRegular {
        /// Its name.
        name: String,
    },
    /// It is compressed in a way that is not understood.
    #[error(
        "{name} is compressed with {format}; only gzip is read: use `{command} {name} | tidegate import -`"
    )]
    OtherCompression {
        /// The file.
        name: String,
        /// The format.
        format: &'static str,
        /// What prints the content.
        command: &'static str,
    },
    /// Its first lines are neither JSON nor an access log.
    #[error(
        "cannot tell what {name} is: its first line {excerpt} is neither a JSON object nor an access log's line ({reason}); if it is one all the same, say so with --format"
    )]
    UnknownFormat {
        /// The file.
        name: String,
        /// Its first line.
        excerpt: String,
        /// Why it is no access log's line.
        reason: String,
    },
    /// Two files have the same content: their events would count twice.
    #[error("{first} and {second} have the same content; name it once")]
    Twice {
        /// The one named first.
        first: String,
        /// The other one.
        second: String,
    },
    /// Standard input among other files.
    #[error("standard input (-) must be the only input, because it cannot be put in order with files")]
    StdinAmongFiles,
    /// No file at all.
    #[error("no file to import")]
    Nothing,
}

/// Everything that an import reads, in the order in which it does.
pub struct InputSet {
    pub(super) files: Vec<InputFile>,
    pub(super) options: Options,
    pub(super) stdin: Option<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for InputSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InputSet").field("files", &self.files).finish_non_exhaustive()
    }
}

impl InputSet {
    /// Looks at every file and puts them in the order of their first events; those with none come last,
    /// and files with the same first time stay in the order in which they were named. `stdin` is called
    /// when the only name is `-`.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn open(
        names: &[PathBuf],
        options: Options,
        stdin: impl FnOnce() -> Box<dyn Read + Send>,
    ) -> Result<Self, Vec<OpenError>> {
        if names.is_empty() {
            return Err(vec![OpenError::Nothing]);
        }
        if names.iter().any(|name| name == Path::new("-")) {
            if names.len() > 1 {
                return Err(vec![OpenError::StdinAmongFiles]);
            }
            return probe::stdin(options, stdin()).map_err(|error| vec![error]);
        }
        let mut files = Vec::new();
        let mut errors = Vec::new();
        for name in names {
            match probe::file(name, &options) {
                Ok(file) => files.push(file),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(duplicates(&files));
        if !errors.is_empty() {
            return Err(errors);
        }
        files.sort_by_key(|file| file.first_event.unwrap_or(EventTime::MAX));
        Ok(Self { files, options, stdin: None })
    }

    /// The files, in the order in which they are read.
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// The time of the first event of the first file; `None` when there is no event. Others may be
    /// earlier by as much as the files are out of order.
    pub fn first_event(&self) -> Option<EventTime> {
        self.files.first()?.first_event
    }

    /// What a resumed import recognises this input by; `None` for standard input, which cannot be read
    /// again.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        let of_files = || Fingerprint::of_set(self.files.iter().map(|file| file.fingerprint));
        self.stdin.is_none().then(of_files)
    }

    /// Bytes on the disk of all files; `None` for standard input.
    pub fn bytes(&self) -> Option<u64> {
        self.stdin.is_none().then(|| self.files.iter().map(|file| file.bytes).sum())
    }
}

fn duplicates(files: &[InputFile]) -> Vec<OpenError> {
    let mut seen = std::collections::HashMap::new();
    let mut errors = Vec::new();
    for file in files.iter().filter(|file| file.bytes > 0) {
        if let Some(first) = seen.insert(file.fingerprint, file.name.clone()) {
            errors.push(OpenError::Twice { first, second: file.name.clone() });
        }
    }
    errors
}
