//! The lines of an input, one after the other, each as an event or as what it is instead.

#[cfg(test)]
mod tests;

use std::io;

use tidegate_model::EventTime;

use super::input::{Content, InputFile, InputSet, LineFormat, Progress, open_file, stream};
use super::line_reader::{LINE_BYTES_MAX, Line, LineReader};
use super::{access_log, json_lines};

/// Characters of a malformed line that a report shows.
const EXCERPT_CHARS_MAX: usize = 120;

/// What a line is.
#[derive(Debug)]
pub enum Item<'a> {
    /// An event.
    Event(LineEvent<'a>),
    /// Not what it should be.
    Malformed(Malformed),
    /// Rightly no event.
    Skipped(SkipReason),
}

/// An event, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct LineEvent<'a> {
    /// Its canonical JSON.
    pub json: &'a [u8],
    /// Its `user.id`.
    pub user_id: &'a str,
    /// Its timestamp.
    pub time: EventTime,
    /// The index of its file in [`InputSet::files`].
    pub file: usize,
    /// Its line, counted from 1.
    pub line: u64,
}

/// A line that is no event, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The name of its file.
    pub file: String,
    /// Its line, counted from 1.
    pub line: u64,
    /// Why.
    pub reason: Reason,
    /// Its beginning, on one line.
    pub excerpt: String,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// Why a line is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Longer than any line may be.
    #[error("the line is {bytes} bytes long; at most {LINE_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// No line of an access log.
    #[error(transparent)]
    AccessLog(#[from] access_log::LineError),
    /// No event as JSON.
    #[error(transparent)]
    Json(#[from] json_lines::JsonLineError),
    /// An event that the instance it was sent to does not take.
    #[error("the instance answered {status}{detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says is wrong, after a colon; empty where it says nothing.
        detail: String,
    },
}

/// Why a line is rightly no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// There is nothing on it.
    Blank,
    /// It is a static file, and only pages were asked for.
    StaticFile,
}

/// The rest of a file cannot be read. What came before it counts.
#[derive(Debug, thiserror::Error)]
#[error("{file}: line {line} and what follows cannot be read: {reason}")]
pub struct ReadError {
    /// The name of the file.
    pub file: String,
    /// The line that is lost first, counted from 1.
    pub line: u64,
    /// What the system or the decompressor said.
    pub reason: String,
}

/// Walks through the lines of an input.
pub struct LineEvents {
    files: Vec<InputFile>,
    stdin: Option<Content>,
    progress: Progress,
    access_log: access_log::Converter,
    json: json_lines::Converter,
    /// The file to be opened next.
    next: usize,
    reader: Option<LineReader<Content>>,
}

impl std::fmt::Debug for LineEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineEvents").field("next", &self.next).finish_non_exhaustive()
    }
}

impl LineEvents {
    /// Before the first line of `input`.
    pub fn new(input: InputSet) -> Self {
        let InputSet { files, options, stdin } = input;
        Self {
            files,
            stdin,
            progress: Progress::default(),
            access_log: access_log::Converter::new(&options.base_url, options.pages_only),
            json: json_lines::Converter::default(),
            next: 0,
            reader: None,
        }
    }

    /// The files, in the order in which they are read.
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// Counts the bytes read from the disk.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The next line; `None` after the last one of the last file.
    ///
    /// # Errors
    /// When the rest of a file cannot be read. The call after that goes on with the next file.
    pub fn next_item(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        loop {
            if self.reader.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let reader = self.reader.as_mut().expect("it was opened above");
            let index = self.next - 1;
            let file = &self.files[index];
            let lost = reader.line() + 1;
            let line = match reader.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => {
                    self.reader = None;
                    continue;
                }
                Err(error) => {
                    let error = read_error(file, lost, &error);
                    self.reader = None;
                    return Err(error);
                }
            };
            let at = lost;
            let malformed = |reason: Reason, text: &[u8]| {
                Item::Malformed(Malformed {
                    file: file.name.clone(),
                    line: at,
                    reason,
                    excerpt: excerpt(text),
                })
            };
            let text = match line {
                Line::Text(text) => without_bom(text, at == 1),
                Line::TooLong { bytes, head } => {
                    return Ok(Some(malformed(Reason::TooLong { bytes }, head)));
                }
            };
            if text.trim_ascii().is_empty() {
                return Ok(Some(Item::Skipped(SkipReason::Blank)));
            }
            let id = file.fingerprint.event_id(at);
            return Ok(Some(match file.format {
                LineFormat::AccessLog => match self.access_log.convert(text, id) {
                    Ok(access_log::Converted::Event { json, user_id, time }) => {
                        Item::Event(LineEvent { json, user_id, time, file: index, line: at })
                    }
                    Ok(access_log::Converted::StaticFile) => Item::Skipped(SkipReason::StaticFile),
                    Err(error) => malformed(error.into(), text),
                },
                LineFormat::Json => match self.json.convert(text, id) {
                    Ok(json_lines::Converted { json, user_id, time }) => {
                        Item::Event(LineEvent { json, user_id, time, file: index, line: at })
                    }
                    Err(error) => malformed(error.into(), text),
                },
            }));
        }
    }

    /// Opens the next file; `false` when there is none.
    fn open_next(&mut self) -> Result<bool, ReadError> {
        let Some(file) = self.files.get(self.next) else { return Ok(false) };
        self.next += 1;
        let content = match self.stdin.take() {
            Some(source) => stream(source, file.is_gzip),
            None => open_file(&file.path, file.bytes, file.is_gzip, &self.progress)
                .map_err(|error| read_error(file, 1, &error))?,
        };
        self.reader = Some(LineReader::new(content));
        Ok(true)
    }
}

fn read_error(file: &InputFile, line: u64, error: &io::Error) -> ReadError {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof if file.is_gzip => {
            "the gzip data ends too early; the file is cut off".to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if file.is_gzip => {
            format!("the gzip data is damaged ({error})")
        }
        _ => error.to_string(),
    };
    ReadError { file: file.name.clone(), line, reason }
}

/// The byte order mark that some programs put at the beginning of a file is no part of its first line.
pub(super) fn without_bom(line: &[u8], is_first: bool) -> &[u8] {
    if is_first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
}

/// The beginning of a line, in one line, safe to print on a terminal.
pub(super) fn excerpt(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * EXCERPT_CHARS_MAX)]);
    let mut chars = text.chars();
    let cut: String = chars.by_ref().take(EXCERPT_CHARS_MAX).collect();
    if chars.next().is_some() { format!("{cut:?}…") } else { format!("{cut:?}") }
}
