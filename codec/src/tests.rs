//! What a frame promises. Small enough to run under Miri.

use bytemuck::{Pod, Zeroable};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Row {
    time: i64,
    user: u64,
    length: u32,
    kind: u16,
    flags: [u8; 2],
}

plain!(Row, 0x7e57_0001);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Other(u64, u64, u64);

plain!(Other, 0x7e57_0002);

fn rows() -> Vec<Row> {
    let row = |n: u8| Row {
        time: i64::from(n) - 2,
        user: u64::MAX - u64::from(n),
        length: u32::from(n) << 20,
        kind: u16::from(n),
        flags: [n, 255 - n],
    };
    (0..5).map(row).collect()
}

fn frame(rows: &[Row]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(rows, &mut out);
    out
}

#[test]
fn rows_and_bytes_come_back() {
    let mut out = vec![9; 3];
    encode(&rows(), &mut out);
    encode_bytes(b"names", &mut out);
    encode::<Row>(&[], &mut out);
    let (found, used) = decode::<Row>(&out[3..]).expect("a frame");
    assert_eq!(found, rows());
    let (names, of_names) = decode_bytes(&out[3 + used..]).expect("a frame");
    assert_eq!(names, b"names");
    let (none, of_none) = decode::<Row>(&out[3 + used + of_names..]).expect("a frame");
    assert_eq!((none, 3 + used + of_names + of_none), (vec![], out.len()));
}

/// Files outlive the code that wrote them.
#[test]
fn the_layout_is_this_one() {
    let row = Row { time: 1, user: 2, length: 3, kind: 4, flags: [5, 6] };
    let mut expected = b"TGF1\x01\x00\x57\x7e\x18\x00\x00\x00".to_vec();
    // CRC-32 as zlib computes it.
    expected.extend([0xf1, 0x73, 0xdc, 0x79]);
    expected.extend(1_u64.to_le_bytes());
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 5, 6]);
    assert_eq!(frame(&[row]), expected);
}

/// Whichever way is in use, the other one writes and reads the same.
#[cfg(feature = "abomonation")]
#[test]
fn both_ways_write_and_read_the_same() {
    let (mut by_abomonation, mut by_bytemuck) = (Vec::new(), Vec::new());
    abomonated::write(&rows(), &mut by_abomonation);
    plain::write(&rows(), &mut by_bytemuck);
    assert_eq!(by_abomonation, by_bytemuck);
    assert_eq!(abomonated::read::<Row>(&by_bytemuck), plain::read::<Row>(&by_abomonation));
}

#[test]
fn no_flipped_byte_goes_unnoticed() {
    let whole = frame(&rows()[..2]);
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            decode::<Row>(&damaged).expect_err("a byte is another one");
        }
    }
}

#[test]
fn no_cut_off_frame_goes_unnoticed() {
    let whole = frame(&rows()[..2]);
    for end in 0..whole.len() {
        let error = decode::<Row>(&whole[..end]).expect_err("something is missing");
        assert!(matches!(error, FrameError::Truncated { found, .. } if found == end), "{error}");
    }
}

#[test]
fn rows_of_another_type_are_refused_by_name() {
    let whole = frame(&rows());
    assert_eq!(
        decode::<Other>(&whole),
        Err(FrameError::OtherKind { expected: 0x7e57_0002, found: 0x7e57_0001 })
    );
    assert_eq!(
        decode_bytes(&whole).expect_err("no bytes").to_string(),
        "the frame holds rows of kind 0x7e570001, not 0x0"
    );
    let error = decode::<Row>(b"SQLite format 3\0........").expect_err("no frame");
    assert_eq!(error.to_string(), "a frame begins with \"TGF1\", and not with \"SQLi\"");
}

/// A number of rows that no memory holds is damage, not an allocation.
#[test]
fn a_huge_number_of_rows_is_refused() {
    for rows in [u64::MAX, u64::MAX / 24, 1 << 60] {
        let mut whole = frame(&[]);
        whole[16..24].copy_from_slice(&rows.to_le_bytes());
        let error = decode::<Row>(&whole).expect_err("there are not so many");
        assert!(matches!(error, FrameError::Truncated { .. }), "{error}");
    }
}
