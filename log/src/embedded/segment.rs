//! A segment file: its name, its header, and walking over its frames.
//!
//! The header is 32 bytes, little-endian, and is synced before any frame is written after it:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | magic `FF` `TGSEG` `FE` `0A` |
//! | 8..12 | format version, 1 |
//! | 12..16 | the partition |
//! | 16..24 | offset of the first record |
//! | 24..28 | CRC-32 (IEEE) of bytes 0..24 |
//! | 28..32 | zero |

use std::io;
use std::path::{Path, PathBuf};

use tidegate_model::PartitionId;

use super::files::StoredFile;
use super::frame::{FrameFault, FrameHeader, HEADER_BYTES};

/// The format version of segments.
pub const SEGMENT_VERSION: u32 = 1;

/// Length of the header.
pub(super) const SEGMENT_HEADER_BYTES: u64 = 32;

/// How much is read at once when records are read in order.
const READ_BYTES: usize = 1 << 20;
/// How much is read first after a jump; it doubles from there.
const FIRST_READ_BYTES: usize = 64 << 10;

const MAGIC: [u8; 8] = *b"\xFFTGSEG\xFE\n";
/// The same, in memory.
pub(super) const HEADER_LEN: usize = 32;

/// The name of the segment whose first record has offset `base`.
pub(super) fn segment_name(base: u64) -> String {
    format!("{base:020}.segment")
}

/// The offset that a segment's name says; `None` when it is not the name of a segment.
pub(super) fn base_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    if digits.len() == 20 { digits.parse().ok() } else { None }
}

/// Why a segment's header is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// It is not all there: what a crash during creation leaves behind.
    Torn,
    /// It is all there, and wrong at that byte.
    Wrong(u64, &'static str),
    /// It is of that later version.
    Newer(u32),
}

/// The header of the segment of `partition` that begins at `base`.
pub(super) fn encode_header(partition: PartitionId, base: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&partition.0.to_le_bytes());
    header[16..24].copy_from_slice(&base.to_le_bytes());
    let checksum = crc32fast::hash(&header[..24]);
    header[24..28].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// Checks the header of a file of `len` bytes.
pub(super) fn check_header(
    file: &dyn StoredFile,
    len: u64,
    partition: PartitionId,
    base: u64,
) -> io::Result<Result<(), HeaderFault>> {
    let mut header = [0; HEADER_LEN];
    let read = file.read_at(&mut header, 0)?;
    let expected = encode_header(partition, base);
    if read == HEADER_LEN && header == expected {
        return Ok(Ok(()));
    }
    // No frame follows a header that was not durable.
    if len <= SEGMENT_HEADER_BYTES {
        return Ok(Err(HeaderFault::Torn));
    }
    let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    Ok(Err(if header[..8] != MAGIC {
        HeaderFault::Wrong(0, "this is no segment of the log")
    } else if version > SEGMENT_VERSION {
        HeaderFault::Newer(version)
    } else if header[12..24] == expected[12..24] {
        HeaderFault::Wrong(24, "the checksum of the header is wrong")
    } else {
        HeaderFault::Wrong(12, "the header names another partition or offset than the path")
    }))
}

/// Why walking on is impossible.
#[derive(Debug)]
pub(super) enum ScanError {
    /// What lies at that byte is no frame, or not the one that should follow.
    Fault { at: u64, fault: FrameFault },
    /// The storage failed.
    Io(io::Error),
}

/// Walks over the frames of a segment with large reads.
#[derive(Debug)]
pub(super) struct Scanner {
    file: Box<dyn StoredFile>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    buffer_at: u64,
    /// How much of the buffer holds bytes of the file.
    filled: usize,
    /// Where in the buffer the next frame begins; beyond `filled` when frames were skipped.
    next: usize,
    read_bytes: usize,
}

impl Scanner {
    /// A scanner of `file`, at its first frame. `buffer` is memory to use again.
    pub(super) fn new(file: Box<dyn StoredFile>, path: PathBuf, buffer: Vec<u8>) -> Self {
        let mut scanner =
            Self { file, path, buffer, buffer_at: 0, filled: 0, next: 0, read_bytes: FIRST_READ_BYTES };
        scanner.seek(SEGMENT_HEADER_BYTES);
        scanner
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where in the file the next frame begins.
    pub(super) fn position(&self) -> u64 {
        self.buffer_at + self.next as u64
    }

    /// Goes on at a byte of the file. What is in the buffer is used again when it holds that byte.
    pub(super) fn seek(&mut self, position: u64) {
        let within = position.checked_sub(self.buffer_at).and_then(|at| usize::try_from(at).ok());
        match within {
            Some(at) if at <= self.filled => self.next = at,
            _ => {
                (self.buffer_at, self.filled, self.next) = (position, 0, 0);
                self.read_bytes = FIRST_READ_BYTES;
            }
        }
    }

    /// Gives the memory back.
    pub(super) fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Gives the file back.
    pub(super) fn into_file(self) -> Box<dyn StoredFile> {
        self.file
    }

    /// The header of the next frame, which must begin at offset `expected`; `None` at byte `limit`,
    /// where the readable part of the file ends.
    fn header(&mut self, expected: u64, limit: u64) -> Result<Option<FrameHeader>, ScanError> {
        let at = self.position();
        let left = limit.saturating_sub(at);
        if left == 0 {
            return Ok(None);
        }
        let fault = |fault| ScanError::Fault { at, fault };
        if left < HEADER_BYTES as u64 {
            return Err(fault(FrameFault::CutShort));
        }
        self.fill(HEADER_BYTES, limit)?;
        let bytes = self.buffer[self.next..].first_chunk().expect("it was filled");
        let header = FrameHeader::parse(bytes).map_err(fault)?;
        if header.frame_bytes() as u64 > left {
            return Err(fault(FrameFault::CutShort));
        }
        if header.base != expected {
            return Err(fault(FrameFault::Offset { expected, found: header.base }));
        }
        Ok(Some(header))
    }

    /// Steps over the next frame and says what its header claims, without reading its body.
    pub(super) fn skip(&mut self, expected: u64, limit: u64) -> Result<Option<FrameHeader>, ScanError> {
        let header = self.header(expected, limit)?;
        if let Some(header) = header {
            self.next += header.frame_bytes();
        }
        Ok(header)
    }

    /// Reads the next frame and checks it. Its body is in [`Scanner::bytes`], at the range returned.
    pub(super) fn frame(
        &mut self,
        expected: u64,
        limit: u64,
    ) -> Result<Option<(FrameHeader, std::ops::Range<usize>)>, ScanError> {
        let Some(header) = self.header(expected, limit)? else { return Ok(None) };
        self.fill(header.frame_bytes(), limit)?;
        let end = self.next + header.frame_bytes();
        header
            .verify(&self.buffer[self.next..end])
            .map_err(|fault| ScanError::Fault { at: self.position(), fault })?;
        let body = self.next + HEADER_BYTES..end;
        self.next = end;
        Ok(Some((header, body)))
    }

    /// The buffer that [`Scanner::frame`] speaks of.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Sees to it that the next `bytes` bytes of the file are in the buffer.
    fn fill(&mut self, bytes: usize, limit: u64) -> Result<(), ScanError> {
        if self.filled.saturating_sub(self.next) >= bytes {
            return Ok(());
        }
        let at = self.position();
        let kept = self.next.min(self.filled)..self.filled;
        let kept_bytes = kept.len();
        self.buffer.copy_within(kept, 0);
        (self.buffer_at, self.filled, self.next) = (at, kept_bytes, 0);
        let left = usize::try_from(limit - at).unwrap_or(usize::MAX);
        let wanted = bytes.max(self.read_bytes).min(left);
        self.read_bytes = (self.read_bytes * 2).min(READ_BYTES);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        let read = self.file.read_at(&mut self.buffer[kept_bytes..wanted], at + kept_bytes as u64);
        self.filled += read.map_err(ScanError::Io)?;
        if self.filled < bytes {
            return Err(ScanError::Fault { at, fault: FrameFault::CutShort });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_offsets_do() {
        assert_eq!(base_of_name(&segment_name(u64::MAX)), Some(u64::MAX));
        assert!(segment_name(9) < segment_name(10));
        for name in ["1.segment", "00000000000000000001.tmp", "0000000000000000000x.segment"] {
            assert_eq!(base_of_name(name), None, "{name}");
        }
    }
}
