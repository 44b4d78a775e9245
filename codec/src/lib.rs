//! Frames: plain rows as bytes, for workers that do not share memory and for files of our own.
//!
//! A row is plain when it is a fixed number of bytes of which every pattern is a value: no padding, no
//! pointer, no `bool`, no enum. Then its bytes are the row, and taking it to bytes and back is a copy. What
//! makes that safe is around it: a frame says what kind of rows it holds and how large they are, carries a
//! checksum over everything, and is decoded into an aligned buffer that we own.
//!
//! ```text
//!  0  magic     "TGF1"
//!  4  kind      u32, which type of rows
//!  8  row size  u32, bytes
//! 12  checksum  u32, CRC-32 of the frame with this field as 0
//! 16  rows      u64, how many
//! 24  the rows, as they lie in memory; then zeros up to a multiple of 8
//! ```
//!
//! All numbers are little-endian. Frames are for bytes that this program wrote itself: exchange between its
//! own workers, and its own snapshots. A newer layout gets a new magic, a newer row a new kind; a reader
//! refuses what it does not know by name.
//!
//! The copy itself is done by abomonation (a feature, on by default) or by bytemuck; both write the same bytes,
//! which a test holds. Why RUSTSEC-2021-0120 does not bite here is written down in
//! `docs/decisions/0007-abomonation.md`.

#[cfg(feature = "abomonation")]
mod abomonated;
mod error;
mod frame;
mod plain;
#[cfg(test)]
mod tests;

pub use bytemuck;
pub use error::FrameError;
pub use frame::{decode, decode_bytes, encode, encode_bytes};
pub use plain::Plain;

#[cfg(target_endian = "big")]
compile_error!("rows lie in frames as they lie in memory, which is little-endian");
