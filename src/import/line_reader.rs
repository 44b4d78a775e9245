//! Bytes into lines, without a copy where a line lies whole in the buffer, and with a limit on what a
//! line may hold in memory.

use std::io::{self, Read};

use memchr::memchr;

/// A line longer than this is malformed; it is skipped without being held in memory.
pub const LINE_BYTES_MAX: usize = 1 << 20;

const BUFFER_BYTES: usize = 256 << 10;
const HEAD_BYTES: usize = 256;

/// Reads lines. They end with LF or CRLF; the last one needs no end.
pub(super) struct LineReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// `start..end` of the buffer is read from the source and not yet handed out.
    start: usize,
    end: usize,
    at_end: bool,
    /// The number of the line handed out last; lines count from 1.
    line: u64,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Within the limit.
    Text(&'a [u8]),
    /// Beyond [`LINE_BYTES_MAX`]: how long it is, and its beginning.
    TooLong { bytes: u64, head: &'a [u8] },
}

impl<R: Read> LineReader<R> {
    pub(super) fn new(source: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { source, buffer, start: 0, end: 0, at_end: false, line: 0 }
    }

    /// The number of the line that was handed out last.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// When the source fails. The line that it failed in is lost, and so is the rest.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut scanned = 0;
        loop {
            let found = memchr(b'\n', &self.buffer[self.start + scanned..self.end]);
            let length = found.map_or(self.end - self.start, |at| scanned + at);
            if length > LINE_BYTES_MAX {
                return self.skip_long_line().map(Some);
            }
            if found.is_none() && !self.at_end {
                scanned = length;
                self.fill()?;
                continue;
            }
            if found.is_none() && length == 0 {
                return Ok(None);
            }
            let from = self.start;
            self.start += length + usize::from(found.is_some());
            self.line += 1;
            return Ok(Some(Line::Text(without_cr(&self.buffer[from..from + length]))));
        }
    }

    /// Drops what is in the buffer until the line ends.
    fn skip_long_line(&mut self) -> io::Result<Line<'_>> {
        let head = self.buffer[self.start..self.start + HEAD_BYTES].to_vec();
        let mut length = 0_u64;
        loop {
            let found = memchr(b'\n', &self.buffer[self.start..self.end]);
            let part = found.unwrap_or(self.end - self.start);
            length += part as u64;
            self.start += part + usize::from(found.is_some());
            if found.is_some() || self.at_end {
                break;
            }
            self.fill()?;
        }
        self.line += 1;
        // The buffer's beginning is free for it: at least a limit's worth of bytes was consumed, unless
        // the next line has moved there already.
        self.buffer.truncate(self.end);
        self.buffer.extend_from_slice(&head);
        let head = &self.buffer[self.end..];
        Ok(Line::TooLong { bytes: length, head })
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < BUFFER_BYTES / 2 {
            self.buffer.resize(self.end + BUFFER_BYTES, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out `1, 2, 3, …` bytes at a time, so that every border is met.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 7 + 1;
            let n = self.1.min(self.0.len()).min(buf.len());
            buf[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn lines(text: &[u8]) -> Vec<String> {
        let mut reader = LineReader::new(Trickle(text, 0));
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().expect("memory does not fail") {
            lines.push(match line {
                Line::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Line::TooLong { bytes, head } => format!("{bytes}:{}", head.len()),
            });
        }
        assert_eq!(reader.line(), lines.len() as u64);
        lines
    }

    #[test]
    fn ends_of_lines_are_lf_crlf_or_the_end_of_the_file() {
        assert_eq!(lines(b"a\nbc\r\n\n\r\nd"), ["a", "bc", "", "", "d"]);
        assert_eq!(lines(b"a\n"), ["a"]);
        assert_eq!(lines(b"\n"), [""]);
        assert!(lines(b"").is_empty());
        assert_eq!(lines(b"a\0b\rc\n"), ["a\0b\rc"]);
    }

    #[test]
    fn a_line_of_the_limit_passes_and_one_more_byte_does_not() {
        let mut text = vec![b'x'; LINE_BYTES_MAX];
        text.extend_from_slice(b"\nafter\n");
        let read = lines(&text);
        assert_eq!((read[0].len(), read[1].as_str()), (LINE_BYTES_MAX, "after"));

        let mut text = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(lines(&text), [format!("{}:{HEAD_BYTES}", LINE_BYTES_MAX + 1)]);
        text.extend_from_slice(b"\nafter\r\nlast");
        assert_eq!(lines(&text)[1..], ["after", "last"]);
    }

    #[test]
    fn a_huge_line_is_not_held_in_memory() {
        let huge = io::repeat(b'x').take(64 << 20).chain(&b"\nafter"[..]);
        let mut reader = LineReader::new(huge);
        let first = reader.next_line().expect("memory does not fail");
        assert!(matches!(first, Some(Line::TooLong { bytes, .. }) if bytes == 64 << 20));
        assert_eq!(reader.next_line().expect("memory does not fail"), Some(Line::Text(b"after")));
        assert!(reader.buffer.len() <= LINE_BYTES_MAX + 3 * BUFFER_BYTES);
    }
}
