//! The frame around the bytes of rows.

use crc32fast::Hasher;

#[cfg(feature = "abomonation")]
use crate::abomonated as way;
use crate::error::FrameError;
#[cfg(not(feature = "abomonation"))]
use crate::plain as way;
use crate::plain::Plain;

const MAGIC: [u8; 4] = *b"TGF1";
const HEADER: usize = 24;
const CHECKSUM: std::ops::Range<usize> = 12..16;
const ALIGNMENT: usize = 8;

/// The kind of a frame that holds bytes and no rows.
const BYTES: u32 = 0;

/// Appends a frame of `rows`.
pub fn encode<T: Plain>(rows: &[T], out: &mut Vec<u8>) {
    encode_with(T::KIND, size_of::<T>(), rows.len(), out, |out| way::write(rows, out));
}

/// Appends a frame of `bytes`.
pub fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_with(BYTES, 1, bytes.len(), out, |out| out.extend_from_slice(bytes));
}

/// The rows of the frame that `bytes` begin with, and how many bytes it has.
///
/// # Errors
/// When they do not begin with a whole frame of such rows.
pub fn decode<T: Plain>(bytes: &[u8]) -> Result<(Vec<T>, usize), FrameError> {
    let (payload, used) = open(bytes, T::KIND, size_of::<T>())?;
    Ok((way::read(payload), used))
}

/// The bytes in the frame that `bytes` begin with, and how many bytes it has itself.
///
/// # Errors
/// When they do not begin with a whole frame of bytes.
pub fn decode_bytes(bytes: &[u8]) -> Result<(&[u8], usize), FrameError> {
    open(bytes, BYTES, 1)
}

fn encode_with(kind: u32, size: usize, rows: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.reserve(HEADER + size * rows + ALIGNMENT);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&u32::try_from(size).expect("rows are small").to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(rows as u64).to_le_bytes());
    write(out);
    let end = start + (out.len() - start).next_multiple_of(ALIGNMENT);
    out.resize(end, 0);
    let checksum = checksum_of(&out[start..]);
    out[start..][CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

/// The checksum of a frame, its own field taken for 0.
fn checksum_of(frame: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&frame[..CHECKSUM.start]);
    hasher.update(&[0; 4]);
    hasher.update(&frame[CHECKSUM.end..]);
    hasher.finalize()
}

/// Checks the frame, and returns what lies in it.
fn open(bytes: &[u8], kind: u32, size: usize) -> Result<(&[u8], usize), FrameError> {
    let truncated = |needed: u64| FrameError::Truncated { needed, found: bytes.len() };
    let header = bytes.get(..HEADER).ok_or(truncated(HEADER as u64))?;
    let word = |at: usize| {
        let bytes: [u8; 4] = header[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes)
    };
    let magic: [u8; 4] = header[..4].try_into().expect("four bytes");
    if magic != MAGIC {
        return Err(FrameError::NotAFrame { magic });
    }
    if word(4) != kind {
        return Err(FrameError::OtherKind { expected: kind, found: word(4) });
    }
    let expected = u32::try_from(size).expect("rows are small");
    if word(8) != expected {
        return Err(FrameError::OtherSize { expected, found: word(8) });
    }
    let rows = u64::from_le_bytes(header[16..24].try_into().expect("eight bytes"));
    // A number of rows that is damaged may be anything.
    let payload = rows.checked_mul(size as u64).ok_or(truncated(u64::MAX))?;
    let needed = payload.checked_next_multiple_of(ALIGNMENT as u64);
    let needed = needed.and_then(|bytes| bytes.checked_add(HEADER as u64)).ok_or(truncated(u64::MAX))?;
    let frame =
        usize::try_from(needed).ok().and_then(|needed| bytes.get(..needed)).ok_or(truncated(needed))?;
    let (expected, found) = (word(CHECKSUM.start), checksum_of(frame));
    if expected != found {
        return Err(FrameError::Damaged { expected, found });
    }
    let payload = usize::try_from(payload).expect("it lies in memory");
    Ok((&frame[HEADER..HEADER + payload], frame.len()))
}
