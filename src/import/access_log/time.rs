//! The time of an access log's line: `17/May/2015:10:05:03 +0000`.

use tidegate_model::EventTime;

const MONTHS: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";

/// An event's timestamp lies in these years; what is outside is a broken clock.
const YEARS: std::ops::RangeInclusive<i64> = 1973..=2199;

/// Reads the text between the brackets. A leap second (`:60`) is the second after it, as unix time has
/// it; a fraction after the seconds is read to the millisecond.
pub(super) fn parse(text: &[u8]) -> Option<EventTime> {
    let (date, rest) = text.split_at_checked(20)?;
    let fixed = date[2] == b'/' && date[6] == b'/' && [date[11], date[14], date[17]] == [b':'; 3];
    if !fixed {
        return None;
    }
    let (day, year) = (number(&date[0..2])?, number(&date[7..11])?);
    let month = month(&date[3..6])?;
    let (hour, minute, second) = (number(&date[12..14])?, number(&date[15..17])?, number(&date[18..20])?);
    let valid = YEARS.contains(&year)
        && (1..=days_in(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    let (fraction_ms, rest) = fraction(rest)?;
    let offset_s = offset(rest)?;
    let seconds =
        days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s;
    valid.then(|| EventTime::from_millis(seconds * 1_000 + fraction_ms))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn month(name: &[u8]) -> Option<i64> {
    let at = MONTHS.chunks_exact(3).position(|month| month.eq_ignore_ascii_case(name))?;
    i64::try_from(at + 1).ok()
}

/// `.123` and the like, to the millisecond.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else {
        return Some((0, text));
    };
    let length = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = digits.split_at(length);
    let ms = [100, 10, 1].iter().zip(digits).map(|(factor, digit)| factor * i64::from(digit - b'0')).sum();
    (1..=9).contains(&length).then_some((ms, rest))
}

/// ` +0130`, ` -0700`, ` +01:30` or ` Z`, in seconds east of UTC.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *text.strip_prefix(b" ")? {
        [b'Z'] => return Some(0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, [h1, h2], [m1, m2]),
        _ => return None,
    };
    let seconds = number(&hours)? * 3_600 + number(&minutes).filter(|m| *m <= 59)? * 60;
    match sign {
        _ if seconds >= 86_400 => None,
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, by counting years that begin in March, so that the leap day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let march_year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_offset_are_read() {
        for (text, instant) in [
            ("17/May/2015:10:05:03 +0000", "2015-05-17T10:05:03Z"),
            ("17/May/2015:10:05:03 +0200", "2015-05-17T08:05:03Z"),
            ("17/May/2015:23:05:03 -0730", "2015-05-18T06:35:03Z"),
            ("17/may/2015:10:05:03 +05:45", "2015-05-17T04:20:03Z"),
            ("17/May/2015:10:05:03.25 Z", "2015-05-17T10:05:03.250Z"),
            ("17/May/2015:10:05:03.123456 +0000", "2015-05-17T10:05:03.123Z"),
            ("29/Feb/2016:00:00:00 +0000", "2016-02-29T00:00:00Z"),
            ("31/Dec/1999:23:59:59 +0000", "1999-12-31T23:59:59Z"),
            ("31/Dec/2016:23:59:60 +0000", "2017-01-01T00:00:00Z"),
        ] {
            let expected = EventTime::parse(instant).expect(instant);
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "-",
            "17/May/2015:10:05:03",
            "17/May/2015:10:05:03 ",
            "17/May/2015:10:05:03 +00",
            "17/May/2015:10:05:03 +0060",
            "17/May/2015:10:05:03 +2400",
            "17/May/2015:10:05:03 *0000",
            "17/May/2015:10:05:03. +0000",
            "17/Mai/2015:10:05:03 +0000",
            "32/May/2015:10:05:03 +0000",
            "00/May/2015:10:05:03 +0000",
            "29/Feb/2015:10:05:03 +0000",
            "29/Feb/2100:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:60:03 +0000",
            "17/May/2015:10:05:61 +0000",
            "17/May/0015:10:05:03 +0000",
            "17/May/1972:10:05:03 +0000",
            "17/May/2200:10:05:03 +0000",
            " 7/May/2015:10:05:03 +0000",
            "2015-05-17T10:05:03+00:00",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn days_agree_with_another_calendar_for_two_centuries() {
        for day in 1_096..84_000_i64 {
            let midnight = EventTime::from_millis(day * 86_400_000);
            let date = midnight.to_rfc3339();
            let part = |range: std::ops::Range<usize>| date[range].parse::<i64>().expect("digits");
            assert_eq!(days_since_epoch(part(0..4), part(5..7), part(8..10)), day, "{date}");
        }
    }
}
