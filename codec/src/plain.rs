//! Which rows are plain, and the copy by bytemuck.

use bytemuck::Pod;
#[cfg(any(test, not(feature = "abomonation")))]
use bytemuck::{cast_slice, cast_slice_mut};

/// A row that is its bytes. Implement it with [`plain!`](crate::plain).
pub trait Plain: Pod {
    /// Names the type, and its layout: another layout has another kind.
    const KIND: u32;
}

/// Says that a `#[repr(C)]` type that is [`Pod`](crate::bytemuck::Pod) is a row of that kind.
#[macro_export]
macro_rules! plain {
    ($row:ty, $kind:expr) => {
        impl $crate::Plain for $row {
            const KIND: u32 = $kind;
        }
    };
}

/// Appends the bytes of `rows`.
#[cfg(any(test, not(feature = "abomonation")))]
pub(crate) fn write<T: Plain>(rows: &[T], out: &mut Vec<u8>) {
    out.extend_from_slice(cast_slice(rows));
}

/// The rows that `bytes` are; their number is a multiple of a row's.
#[cfg(any(test, not(feature = "abomonation")))]
pub(crate) fn read<T: Plain>(bytes: &[u8]) -> Vec<T> {
    let mut rows = vec![T::zeroed(); bytes.len() / size_of::<T>()];
    cast_slice_mut(&mut rows).copy_from_slice(bytes);
    rows
}
