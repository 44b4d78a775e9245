//! Where a string stops being plain: sixteen bytes at a time.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// The first place at or after `from` that holds a quote, a backslash or a control character.
#[inline]
pub(super) fn first_special(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    // Both halves are looked at before the only branch, because most strings end within sixteen bytes
    // and a branch on which half it is would be mispredicted half of the time.
    while let Some((first, second)) = bytes.get(at..).and_then(two_words) {
        let (first, second) = (special(first), special(second));
        if first | second != 0 {
            let (marks, base) = if first != 0 { (first, at) } else { (second, at + 8) };
            return Some(base + marks.trailing_zeros() as usize / 8);
        }
        at += 16;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).map(|index| at + index)
}

#[inline]
fn two_words(bytes: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = bytes.split_first_chunk()?;
    let second = rest.first_chunk()?;
    Some((u64::from_le_bytes(*first), u64::from_le_bytes(*second)))
}

/// Sets the high bit of each byte of `word` that is special. A byte above a special one may be marked
/// wrongly, by the borrow of a subtraction, so only the lowest mark counts.
#[inline]
const fn special(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let marks = quote.wrapping_sub(ONES) | backslash.wrapping_sub(ONES) | word.wrapping_sub(ONES * 0x20);
    // The bytes of characters beyond ASCII are never special.
    marks & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_apart_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..40 {
                for filler in [b'a', 0x7f, 0x80, 0xff, b'!', b'#', b'[', b']', b' '] {
                    let mut bytes = [filler; 41];
                    bytes[place] = byte;
                    bytes[40] = b'"';
                    let is_special = matches!(byte, b'"' | b'\\' | 0..0x20);
                    let expected = if is_special { place } else { 40 };
                    assert_eq!(first_special(&bytes, 0), Some(expected), "{byte} at {place} in {filler}");
                }
            }
        }
        assert_eq!(first_special(b"plain text of 20 byt", 0), None);
        assert_eq!(first_special(b"", 0), None);
    }
}
