//! Durations and sizes in words: `90s`, `1h30m`, `64MiB`; read, and written the same way.

use std::fmt::Write as _;

const SPANS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a duration such as `500ms`, `90s` or `1h30m` into milliseconds. A number without a unit is
/// refused, because nobody could tell which unit was meant.
pub(crate) fn parse_span(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0_i64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let unit_len = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        let factor = SPANS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(i64::try_from(number).ok()?.checked_mul(factor)?)?;
        rest = next;
    }
    Some(total)
}

/// Writes milliseconds as [`parse_span`] reads them.
pub(crate) fn show_span(ms: i64) -> String {
    let mut rest = ms;
    let mut text = String::new();
    for (unit, factor) in SPANS {
        if rest >= factor {
            write!(text, "{}{unit}", rest / factor).expect("a string takes everything");
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a size such as `64MiB`, `10GB` or a plain number of bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Some(number);
    }
    let factor = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1;
    number.checked_mul(factor)
}

/// Writes a number of bytes as [`parse_size`] reads it, in the largest unit that divides it.
pub(super) fn show_size(bytes: u64) -> String {
    let unit = SIZES.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    let (name, factor) = unit.copied().unwrap_or(("B", 1));
    format!("{}{name}", bytes / factor)
}

fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_may_be_compound() {
        for (text, ms) in [
            ("500ms", Some(500)),
            ("90s", Some(90_000)),
            ("10m", Some(600_000)),
            ("1h30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("0s", Some(0)),
            (" 5s ", Some(5_000)),
            ("10", None),
            ("", None),
            ("-5s", None),
            ("5 s", None),
            ("1.5s", None),
            ("5 minutes", None),
            ("99999999999999999999s", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(parse_span(text), ms, "{text:?}");
        }
    }

    #[test]
    fn sizes_may_be_plain_bytes() {
        for (text, bytes) in [
            ("64MB", Some(64_000_000)),
            ("64MiB", Some(64 << 20)),
            ("64 mib", Some(64 << 20)),
            ("512", Some(512)),
            ("0", Some(0)),
            ("-1", None),
            ("64 parrots", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for ms in [0, 1, 999, 1_000, 60_000, 90_000, 1_800_000, 86_400_001, 31 * 86_400_000] {
            assert_eq!(parse_span(&show_span(ms)), Some(ms));
        }
        for bytes in [0, 1, 1_000, 1_024, 64_000_000, 64 << 20, 1 << 40, 123_456_789] {
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
        assert_eq!(show_span(5_400_000), "1h30m");
        assert_eq!(show_size(64 << 20), "64MiB");
        assert_eq!(show_size(64_000_000), "64MB");
    }
}
