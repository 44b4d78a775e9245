//! The frame: what one write puts into a segment, guarded by one checksum.
//!
//! All numbers are little-endian. Layout, version 1:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | magic `FF 54 46 FE`; two of its bytes never occur in UTF-8, so no JSON looks like a frame |
//! | 4..8 | CRC-32 (IEEE) of everything after it: bytes 8.. of the header and the body |
//! | 8..12 | length of the body in bytes |
//! | 12..16 | number of records, at least 1 |
//! | 16..24 | offset of the first record |
//! | 24..32 | append time in milliseconds since 1970 |
//! | 32..40 | how many bytes of this file were durable when the frame was written |
//! | 40..44 | how many frames of the same write follow it |
//! | 44.. | the body: per record its length (4 bytes) and its value |
//!
//! The last two fields of the header are for recovery. Bytes that were durable before a later, intact
//! frame was written cannot be what a crash left behind: they are damaged, not torn. And a write of
//! several frames is cut off as a whole when not all of it is there.

use std::fmt;

/// Length of the header.
pub const HEADER_BYTES: usize = 44;

/// A frame is closed when its body has reached this many bytes, so that reading a single record never
/// means reading megabytes.
pub const FRAME_BODY_BYTES: usize = 128 << 10;

/// No record may be larger: whoever finds a larger frame than this allows has found damage, and must
/// not allocate what it claims to need.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// No body is longer.
const BODY_BYTES_MAX: usize = FRAME_BODY_BYTES + RECORD_BYTES_MAX + LENGTH_BYTES;

const MAGIC: [u8; 4] = [0xFF, b'T', b'F', 0xFE];
const LENGTH_BYTES: usize = 4;

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    checksum: u32,
    /// Length of the body.
    pub(super) body_bytes: usize,
    /// Number of records.
    pub(super) records: u32,
    /// Offset of the first record.
    pub(super) base: u64,
    /// Append time in milliseconds.
    pub(super) append_time_ms: i64,
    /// Bytes of the file that were durable when the frame was written.
    pub(super) durable_at: u64,
    /// Frames of the same write that follow.
    pub(super) followed_by: u32,
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    /// The file ends within it.
    CutShort,
    /// It does not begin as a frame does.
    Magic,
    /// It claims to be longer than any frame.
    Length(u64),
    /// The checksum is wrong.
    Checksum,
    /// It holds no record, or its records do not fill it.
    Records,
    /// Its first offset is not the one that follows.
    Offset { expected: u64, found: u64 },
}

impl fmt::Display for FrameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort => f.write_str("the file ends within a frame"),
            Self::Magic => f.write_str("no frame begins here"),
            Self::Length(bytes) => write!(f, "a frame of {bytes} bytes is longer than any frame can be"),
            Self::Checksum => f.write_str("the checksum of the frame is wrong"),
            Self::Records => f.write_str("the records of the frame do not fill it"),
            Self::Offset { expected, found } => {
                write!(f, "offset {expected} should follow, but the frame begins at {found}")
            }
        }
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are asked for"))
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are asked for"))
}

impl FrameHeader {
    /// Reads a header. That its numbers are true is known only after [`FrameHeader::verify`].
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameFault> {
        if bytes[..4] != MAGIC {
            return Err(FrameFault::Magic);
        }
        let body = u32_at(bytes, 8);
        let body_bytes = usize::try_from(body).unwrap_or(usize::MAX);
        if body_bytes > BODY_BYTES_MAX {
            return Err(FrameFault::Length(u64::from(body)));
        }
        let records = u32_at(bytes, 12);
        if records == 0 {
            return Err(FrameFault::Records);
        }
        Ok(Self {
            checksum: u32_at(bytes, 4),
            body_bytes,
            records,
            base: u64_at(bytes, 16),
            append_time_ms: u64_at(bytes, 24).cast_signed(),
            durable_at: u64_at(bytes, 32),
            followed_by: u32_at(bytes, 40),
        })
    }

    /// Checks the checksum of the whole frame, header included.
    pub(super) fn verify(&self, frame: &[u8]) -> Result<(), FrameFault> {
        if crc32fast::hash(&frame[8..]) == self.checksum { Ok(()) } else { Err(FrameFault::Checksum) }
    }

    /// Length of header and body.
    pub(super) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.body_bytes
    }

    /// The offset after the last record.
    pub(super) fn end(&self) -> u64 {
        self.base.saturating_add(u64::from(self.records))
    }
}

/// Splits the value of the next record off a body. `None` when the body does not hold a whole one.
pub(super) fn split_record(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

/// Where in a buffer magic bytes stand next, from `from` on.
pub(super) fn find_magic(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(step) = bytes.get(at..)?.iter().position(|byte| *byte == MAGIC[0]) {
        at += step;
        if bytes[at..].starts_with(&MAGIC) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Frames in the making, for one write to one file.
#[derive(Debug, Default)]
pub(super) struct FrameBuilder {
    bytes: Vec<u8>,
    /// Where in `bytes` the frame starts that still takes records, and how many it has.
    open: Option<(usize, u32)>,
    /// First offset and place in `bytes` of every frame.
    starts: Vec<(u64, u64)>,
}

impl FrameBuilder {
    /// Adds a record, which has offset `offset`.
    pub(super) fn push(&mut self, offset: u64, value: &[u8]) {
        let length = u32::try_from(value.len()).expect("appends are limited to RECORD_BYTES_MAX");
        let (start, records) = self.open.take().unwrap_or_else(|| {
            let start = self.bytes.len();
            self.starts.push((offset, start as u64));
            self.bytes.extend_from_slice(&MAGIC);
            self.bytes.extend_from_slice(&[0; HEADER_BYTES - MAGIC.len()]);
            (start, 0)
        });
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(value);
        self.open = Some((start, records + 1));
        if self.bytes.len() - start - HEADER_BYTES >= FRAME_BODY_BYTES {
            self.close();
        }
    }

    /// Only the number of records is written now; the rest of the header waits for [`Self::seal`].
    fn close(&mut self) {
        if let Some((start, records)) = self.open.take() {
            self.bytes[start + 12..start + 16].copy_from_slice(&records.to_le_bytes());
        }
    }

    /// Completes the headers. The bytes are ready to be written then.
    pub(super) fn seal(&mut self, append_time_ms: i64, durable_at: u64) -> &[u8] {
        self.close();
        let frames = u32::try_from(self.starts.len()).expect("a write is limited");
        for (index, (base, start)) in self.starts.iter().enumerate() {
            let start = usize::try_from(*start).expect("it is an index of a buffer");
            let end = match self.starts.get(index + 1) {
                Some((_, next)) => usize::try_from(*next).expect("it is an index of a buffer"),
                None => self.bytes.len(),
            };
            let frame = &mut self.bytes[start..end];
            let body = u32::try_from(frame.len() - HEADER_BYTES).expect("a body is limited");
            frame[8..12].copy_from_slice(&body.to_le_bytes());
            frame[16..24].copy_from_slice(&base.to_le_bytes());
            frame[24..32].copy_from_slice(&append_time_ms.to_le_bytes());
            frame[32..40].copy_from_slice(&durable_at.to_le_bytes());
            let followed_by = frames - 1 - u32::try_from(index).expect("it is less than their number");
            frame[40..44].copy_from_slice(&followed_by.to_le_bytes());
            let checksum = crc32fast::hash(&frame[8..]);
            frame[4..8].copy_from_slice(&checksum.to_le_bytes());
        }
        &self.bytes
    }

    /// How many bytes there are to write.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// First offset and place of every frame.
    pub(super) fn starts(&self) -> &[(u64, u64)] {
        &self.starts
    }

    /// Forgets everything, but keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.open = None;
        self.starts.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8]) -> Result<FrameHeader, FrameFault> {
        FrameHeader::parse(bytes[..HEADER_BYTES].try_into().expect("long enough"))
    }

    #[test]
    fn a_frame_says_what_was_put_into_it() {
        let mut frames = FrameBuilder::default();
        frames.push(7, b"one");
        frames.push(8, b"");
        let bytes = frames.seal(1_000, 32).to_vec();
        let header = header(&bytes).expect("a header");
        header.verify(&bytes).expect("the checksum fits");
        assert_eq!((header.base, header.end(), header.append_time_ms), (7, 9, 1_000));
        assert_eq!((header.frame_bytes(), header.durable_at), (bytes.len(), 32));
        let (one, rest) = split_record(&bytes[HEADER_BYTES..]).expect("a record");
        let (two, rest) = split_record(rest).expect("a record");
        assert_eq!((one, two, rest), (&b"one"[..], &b""[..], &b""[..]));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut frames = FrameBuilder::default();
        frames.push(7, b"{\"event\":1}");
        let bytes = frames.seal(1_000, 32).to_vec();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let whole = |header: FrameHeader| header.frame_bytes() == flipped.len();
            let noticed = match header(&flipped) {
                Err(_) => true,
                Ok(header) => !whole(header) || header.verify(&flipped).is_err(),
            };
            assert!(noticed, "bit {bit}");
        }
    }

    #[test]
    fn a_full_frame_is_followed_by_another() {
        let mut frames = FrameBuilder::default();
        let value = vec![b'x'; FRAME_BODY_BYTES / 2];
        for offset in 0..5 {
            frames.push(offset, &value);
        }
        frames.seal(0, 0);
        let bases: Vec<u64> = frames.starts().iter().map(|(base, _)| *base).collect();
        assert_eq!(bases, [0, 2, 4]);
    }

    #[test]
    fn a_length_that_no_frame_has_is_not_believed() {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(FrameHeader::parse(&bytes), Err(FrameFault::Length(u64::from(u32::MAX))));
    }
}
