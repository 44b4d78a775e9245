//! Why bytes are no frame.

use std::fmt;

/// Why bytes are no frame of the rows that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is cut off.
    Truncated {
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that there are.
        found: usize,
    },
    /// It does not begin like a frame, or like one of a later version.
    NotAFrame {
        /// Its first four bytes.
        magic: [u8; 4],
    },
    /// It holds rows of another type.
    OtherKind {
        /// The kind asked for.
        expected: u32,
        /// The kind found.
        found: u32,
    },
    /// Its rows have another size.
    OtherSize {
        /// Bytes of a row asked for.
        expected: u32,
        /// Bytes of a row found.
        found: u32,
    },
    /// Its checksum does not fit.
    Damaged {
        /// The checksum in it.
        expected: u32,
        /// The checksum of what it holds.
        found: u32,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, found } => {
                write!(f, "a frame of {needed} bytes is cut off after {found}")
            }
            Self::NotAFrame { magic } => {
                write!(f, "a frame begins with \"TGF1\", and not with \"{}\"", magic.escape_ascii())
            }
            Self::OtherKind { expected, found } => {
                write!(f, "the frame holds rows of kind {found:#x}, not {expected:#x}")
            }
            Self::OtherSize { expected, found } => {
                write!(f, "the frame's rows have {found} bytes, not {expected}")
            }
            Self::Damaged { expected, found } => {
                write!(f, "the frame says checksum {expected:#010x}, and what it holds has {found:#010x}")
            }
        }
    }
}

impl std::error::Error for FrameError {}
