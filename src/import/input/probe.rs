//! A first look at a file: what it is, what its lines are, when its first event was.

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::compression::Compression;
use super::content::{self, Content, Progress};
use super::{InputFile, InputSet, LineFormat, OpenError, Options};
use crate::config::InputFormat;
use crate::import::access_log::{self, Converted};
use crate::import::fingerprint::{EDGE_BYTES, Fingerprint};
use crate::import::line_events::excerpt;
use crate::import::line_reader::{Line, LineReader};
use crate::import::{json_lines, line_events};

/// So many lines that are not blank decide what a file is.
const LINES_LOOKED_AT: usize = 20;

pub(super) fn file(path: &Path, options: &Options) -> Result<InputFile, OpenError> {
    let name = path.display().to_string();
    let unreadable = |reason| OpenError::Unreadable { name: name.clone(), reason };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(OpenError::Directory { name });
    }
    if !metadata.is_file() {
        return Err(OpenError::NotRegular { name });
    }
    let bytes = metadata.len();
    let (head, tail) = edges(path, bytes).map_err(unreadable)?;
    let is_gzip = is_gzip(&name, &head)?;
    let reopen = || content::open(path, bytes, is_gzip, &Progress::default());
    let format = format(&name, options, reopen().map_err(unreadable)?)?;
    let first_event = first_event(options, format, reopen().map_err(unreadable)?);
    let fingerprint = Fingerprint::of_content(&options.spelt(format), bytes, &head, &tail);
    Ok(InputFile { name, bytes, format, first_event, path: path.to_owned(), is_gzip, fingerprint })
}

pub(super) fn stdin(options: Options, mut source: Content) -> Result<InputSet, OpenError> {
    let name = "-".to_owned();
    let mut head = Vec::new();
    let read = source.by_ref().take(EDGE_BYTES as u64).read_to_end(&mut head);
    read.map_err(|reason| OpenError::Unreadable { name: "standard input".to_owned(), reason })?;
    let is_gzip = is_gzip(&name, &head)?;
    let reopen = || content::of_stream(Cursor::new(head.clone()), is_gzip);
    let format = format("standard input", &options, reopen())?;
    let first_event = first_event(&options, format, reopen());
    let fingerprint = Fingerprint::of_content(&options.spelt(format), 0, &head, b"standard input");
    let file =
        InputFile { name, bytes: 0, format, first_event, path: PathBuf::from("-"), is_gzip, fingerprint };
    let whole = Box::new(Cursor::new(head).chain(source));
    Ok(InputSet { files: vec![file], options, stdin: Some(whole) })
}

/// The first and the last bytes of a file; they overlap in a small one.
fn edges(path: &Path, bytes: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let edge = EDGE_BYTES as u64;
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(bytes.min(edge)).read_to_end(&mut head)?;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(bytes.saturating_sub(edge)))?;
    file.take(bytes.min(edge)).read_to_end(&mut tail)?;
    Ok((head, tail))
}

fn is_gzip(name: &str, head: &[u8]) -> Result<bool, OpenError> {
    match Compression::of(head) {
        Compression::Plain => Ok(false),
        Compression::Gzip => Ok(true),
        Compression::Other(format, command) => {
            Err(OpenError::OtherCompression { name: name.to_owned(), format, command })
        }
    }
}

/// What the lines are: as the options say, else what more of the first lines look like. A file without
/// lines is either. A fault of the content is left to the reading, which names the line.
fn format(name: &str, options: &Options, content: Content) -> Result<LineFormat, OpenError> {
    match options.format {
        InputFormat::Json => return Ok(LineFormat::Json),
        InputFormat::AccessLog => return Ok(LineFormat::AccessLog),
        InputFormat::Auto => {}
    }
    let mut reader = LineReader::new(content);
    let mut access_log = access_log::Converter::new(&options.base_url, false);
    let (mut objects, mut log_lines) = (0, 0);
    let mut unknown = None;
    for _ in 0..LINES_LOOKED_AT {
        let Ok(Some(line)) = reader.next_line() else { break };
        let Line::Text(line) = line else { continue };
        let line = line_events::without_bom(line, true).trim_ascii();
        if line.is_empty() {
            continue;
        }
        if line.starts_with(b"{") {
            objects += 1;
            continue;
        }
        match access_log.convert(line, Uuid::nil()) {
            Ok(_) => log_lines += 1,
            Err(error) => unknown = unknown.or(Some((excerpt(line), error.to_string()))),
        }
    }
    match (objects, log_lines, unknown) {
        (0, 0, Some((excerpt, reason))) => {
            Err(OpenError::UnknownFormat { name: name.to_owned(), excerpt, reason })
        }
        _ if objects > log_lines => Ok(LineFormat::Json),
        _ => Ok(LineFormat::AccessLog),
    }
}

fn first_event(options: &Options, format: LineFormat, content: Content) -> Option<tidegate_model::EventTime> {
    let mut reader = LineReader::new(content);
    let mut access_log = access_log::Converter::new(&options.base_url, options.pages_only);
    let mut json = json_lines::Converter::default();
    let mut first = true;
    while let Ok(Some(line)) = reader.next_line() {
        let Line::Text(line) = line else { continue };
        let line = line_events::without_bom(line, std::mem::take(&mut first));
        let time = match format {
            LineFormat::Json => json.convert(line, Uuid::nil()).ok().map(|event| event.time),
            LineFormat::AccessLog => match access_log.convert(line, Uuid::nil()) {
                Ok(Converted::Event { time, .. }) => Some(time),
                _ => None,
            },
        };
        if time.is_some() {
            return time;
        }
    }
    None
}
