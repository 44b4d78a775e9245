//! The copy by abomonation: the only unsafe code of the crate.
//!
//! Why it is sound, for every `T: Plain`, whatever the bytes:
//! - What abomonation sees is a `Slot<T>`, which lies in memory as `T` does and whose `entomb` and `exhume` are the
//!   defaults, which do nothing: no code of a row's own takes part.
//! - **Writing.** `abomonation::encode` takes the slot as a slice of `size_of::<T>()` bytes. `Pod` says that none of
//!   them is padding, so all are initialised, and that none is a pointer, so no address gets into the bytes.
//! - **Reading.** `abomonation::decode` takes the address of the first byte for that of a `T`. It is aligned: the
//!   buffer is a `Vec<u64>`, `T` needs no more than that (checked at compile time), and a row's size is a
//!   multiple of its alignment, so the next row is aligned as well. It is long enough: `decode` checks that, and
//!   we pass whole rows. Every pattern of bytes is a value of a `Pod` type, so the reference is to a valid
//!   `T` even when the bytes are not what was written (the checksum is there to find that, not to make this
//!   sound). The buffer is ours alone while the reference lives, and the
//!   row is copied out of it.
//!
//! Under Miri this passes Tree Borrows. It does not pass Stacked Borrows, under which the reference that
//! `decode` makes from one byte may not reach the others: that is how abomonation is written, and bytemuck's
//! way, which passes both, is there for whoever minds.

#![expect(unsafe_code, reason = "the proof is above")]

use abomonation::{Abomonation, decode, encode};
use bytemuck::Pod;

use crate::plain::Plain;

/// A row, as abomonation sees it.
#[repr(transparent)]
struct Slot<T>(T);

impl<T: Pod> Abomonation for Slot<T> {}

/// Appends the bytes of `rows`.
pub(crate) fn write<T: Plain>(rows: &[T], out: &mut Vec<u8>) {
    out.reserve(size_of_val(rows));
    for row in rows {
        // SAFETY: `T` has neither padding nor pointers, see above.
        unsafe { encode(&Slot(*row), out) }.expect("a vector takes all bytes");
    }
}

/// The rows that `bytes` are; their number is a multiple of a row's.
pub(crate) fn read<T: Plain>(bytes: &[u8]) -> Vec<T> {
    const {
        assert!(align_of::<T>() <= align_of::<u64>(), "the buffer is aligned for u64");
        assert!(size_of::<T>() > 0, "a row has bytes");
    }
    let mut buffer = vec![0_u64; bytes.len().div_ceil(size_of::<u64>())];
    let mut rest = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut buffer)[..bytes.len()];
    rest.copy_from_slice(bytes);
    let mut rows = Vec::with_capacity(bytes.len() / size_of::<T>());
    while !rest.is_empty() {
        // SAFETY: `rest` is aligned, ours, and begins with a row, see above.
        let (row, after) = unsafe { decode::<Slot<T>>(rest) }.expect("the bytes are whole rows");
        rows.push(row.0);
        rest = after;
    }
    rows
}
