//! How lenient the event's form is: the closed table of `docs/event-format.md`, as code.
//!
//! Both decoders ask these functions and no others what a value means, so that they cannot drift
//! apart. A value reaches them as a [`Scalar`], the text of a number still as it was written.

use crate::time::EventTime;

/// The first instant that `timestamp` takes: 1973-01-01. A count of *seconds* would have to be of the
/// year 4970 to get here, which is what makes the two distinguishable.
const TIMESTAMP_MIN_MS: i64 = 94_694_400_000;
/// The first instant that it no longer takes: 2201-01-01.
const TIMESTAMP_END_MS: i64 = 7_289_654_400_000;

pub(super) const TEXT: &str = "a string";
pub(super) const INTEGER: &str = "an integer of 64 bits";
pub(super) const OPTIONAL_INTEGER: &str = "an integer of 64 bits or null";

/// A JSON value as far as the rules tell values apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    /// There is no such field.
    Absent,
    Null,
    /// A string, unescaped.
    Text(&'a str),
    /// A number, as it was written.
    Number(&'a str),
    /// `true`, `false`, an array or an object; no field takes one of these.
    Other,
}

/// The value is none that the field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit;

/// A string is a string, the empty one included; nothing else is.
#[inline]
pub(super) fn text(value: Scalar<'_>) -> Result<&str, Misfit> {
    match value {
        Scalar::Text(text) => Ok(text),
        _ => Err(Misfit),
    }
}

/// An integer is a number without a fraction, or a string that holds a decimal one.
#[inline]
pub(super) fn integer(value: Scalar<'_>) -> Result<i64, Misfit> {
    match value {
        Scalar::Number(number) => integer_of_number(number),
        Scalar::Text(text) => integer_of_text(text).ok_or(Misfit),
        Scalar::Absent | Scalar::Null | Scalar::Other => Err(Misfit),
    }
}

/// As [`integer`], and `null` says as much as no field at all: that there is none.
#[inline]
pub(super) fn optional_integer(value: Scalar<'_>) -> Result<Option<i64>, Misfit> {
    match value {
        Scalar::Absent | Scalar::Null => Ok(None),
        given => integer(given).map(Some),
    }
}

/// An instant, as an integer of milliseconds in the years 1973 to 2200; `default` when there is no such
/// field, while `null` is refused. The error says what was expected, and which unit it looks like.
pub(super) fn timestamp(value: Scalar<'_>, default: EventTime) -> Result<EventTime, &'static str> {
    const RANGE: std::ops::Range<i64> = TIMESTAMP_MIN_MS..TIMESTAMP_END_MS;
    if value == Scalar::Absent {
        return Ok(default);
    }
    let Ok(number) = integer(value) else {
        return Err("an integer of milliseconds since 1970");
    };
    if RANGE.contains(&number) {
        Ok(EventTime::from_millis(number))
    } else if number.checked_mul(1000).is_some_and(|ms| RANGE.contains(&ms)) {
        Err("milliseconds of the years 1973 to 2200 (this looks like seconds)")
    } else if RANGE.contains(&(number / 1000)) {
        Err("milliseconds of the years 1973 to 2200 (this looks like microseconds)")
    } else if RANGE.contains(&(number / 1_000_000)) {
        Err("milliseconds of the years 1973 to 2200 (this looks like nanoseconds)")
    } else {
        Err("milliseconds of the years 1973 to 2200")
    }
}

/// A number that is written as an integer counts exactly; any other one is a double first.
#[inline]
pub(super) fn integer_of_number(number: &str) -> Result<i64, Misfit> {
    match number.parse() {
        Ok(integer) => Ok(integer),
        Err(_) if is_integer_literal(number) => Err(Misfit),
        Err(_) => integer_of_float(number.parse().map_err(|_| Misfit)?),
    }
}

/// Whether a JSON number is written without fraction and exponent.
#[inline]
pub(super) fn is_integer_literal(number: &str) -> bool {
    !number.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// The old service took doubles strictly between −2^63 and 2^63.
fn integer_of_float(float: f64) -> Result<i64, Misfit> {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if float.fract() != 0.0 || float <= -END || float >= END {
        return Err(Misfit);
    }
    #[expect(clippy::cast_possible_truncation, reason = "a whole number between the ends is exact")]
    Ok(float as i64)
}

/// Blanks around; a sign; digits, with single underscores between them; a point and zeros.
fn integer_of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        None => text,
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
    };
    let unsigned = whole.strip_prefix('-');
    let negative = unsigned.is_some();
    let digits = unsigned.or_else(|| whole.strip_prefix('+')).unwrap_or(whole);
    // The number is built below zero, where there is room for the smallest one.
    let mut below_zero: i64 = 0;
    let mut after_digit = false;
    for byte in digits.bytes() {
        match byte {
            b'0'..=b'9' => {
                below_zero = below_zero.checked_mul(10)?.checked_sub(i64::from(byte - b'0'))?;
                after_digit = true;
            }
            b'_' if after_digit => after_digit = false,
            _ => return None,
        }
    }
    match (after_digit, negative) {
        (false, _) => None,
        (true, true) => Some(below_zero),
        (true, false) => below_zero.checked_neg(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_of_another_unit_is_recognised() {
        let looks_like = |number: &str| timestamp(Scalar::Number(number), EventTime::MIN).expect_err(number);
        assert!(looks_like("1431857103").ends_with("(this looks like seconds)"));
        assert!(looks_like("1431857103007000").ends_with("(this looks like microseconds)"));
        assert!(looks_like("1431857103007000000").ends_with("(this looks like nanoseconds)"));
        for number in ["0", "-1431857103007", "-9223372036854775808", "9223372036854775807", "94694399"] {
            assert!(looks_like(number).ends_with("1973 to 2200"), "{number}");
        }
        assert!(timestamp(Scalar::Text("soon"), EventTime::MIN).is_err());
    }

    #[test]
    fn the_years_1973_to_2200_are_taken_to_the_millisecond() {
        for (first, last) in [("94694400000", "7289654399999"), ("94694400000.0", " +7_289_654_399_999.0 ")] {
            assert!(timestamp(Scalar::Number(first), EventTime::MIN).is_ok(), "{first}");
            assert!(timestamp(Scalar::Text(last), EventTime::MIN).is_ok(), "{last}");
        }
        assert_eq!(EventTime::from_millis(TIMESTAMP_MIN_MS).to_rfc3339(), "1973-01-01T00:00:00.000Z");
        assert_eq!(EventTime::from_millis(TIMESTAMP_END_MS).to_rfc3339(), "2201-01-01T00:00:00.000Z");
        assert!(timestamp(Scalar::Number("94694399999"), EventTime::MIN).is_err());
        assert!(timestamp(Scalar::Number("7289654400000"), EventTime::MIN).is_err());
    }

    #[test]
    fn both_ends_of_64_bits_are_integers_as_text_and_as_number() {
        for end in [i64::MIN, i64::MAX] {
            assert_eq!(integer(Scalar::Text(&end.to_string())), Ok(end));
            assert_eq!(integer(Scalar::Number(&end.to_string())), Ok(end));
        }
        assert_eq!(integer(Scalar::Text("-9223372036854775809")), Err(Misfit));
        assert_eq!(integer(Scalar::Number("9223372036854775808")), Err(Misfit));
        assert_eq!(integer(Scalar::Number("9223372036854775808.0")), Err(Misfit));
    }
}
