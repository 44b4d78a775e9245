//! Frames: plain rows to bytes and back, on one thread.

use std::hint::black_box;

use tidegate_codec::bytemuck::{self, Pod, Zeroable};
use tidegate_codec::{decode, encode, plain};

use crate::measure::{By, Done, Group};
use crate::{Scale, Table};

const ROWS: usize = 1_000_000;

/// As large as the compact row of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[bytemuck(crate = "tidegate_codec::bytemuck")]
#[repr(C)]
struct Row([u64; 7]);

plain!(Row, 0xbe7c_0001);

/// Measures encoding and decoding beside the copy and the checksum that they cannot do without.
///
/// # Errors
/// None.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let count = scale.of(ROWS);
    let row = |n: usize| Row([n as u64; 7].map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let rows: Vec<Row> = (0..count).map(row).collect();
    let bytes: &[u8] = bytemuck::cast_slice(&rows);
    let mut frame = Vec::new();
    encode(&rows, &mut frame);
    let length = frame.len();
    let table = Group::new("Frames of plain rows, one thread", By::Cpu, "rows", count, bytes.len())
        .ceiling("memory copy", || {
            Ok(Done::by(|| black_box(bytes).to_vec(), |copy| assert_eq!(copy.len(), bytes.len())))
        })
        .ceiling("CRC-32", || Ok(Done::by(|| crc32fast::hash(black_box(bytes)), |_| ())))
        .case("`encode`", || {
            let encoded = || {
                let mut out = Vec::new();
                encode(black_box(&rows), &mut out);
                out
            };
            Ok(Done::by(encoded, |out| assert_eq!(out.len(), length)))
        })
        .case("`decode`", || {
            let decoded = || decode::<Row>(black_box(&frame)).expect("it is whole").0;
            Ok(Done::by(decoded, |found| assert_eq!(found.last(), rows.last())))
        })
        .measure(scale)?;
    Ok(vec![table])
}
