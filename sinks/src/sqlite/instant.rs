//! Instants as the tables hold them, written without allocating.
//!
//! This is [`EventTime::to_table_text`], which the tests hold it to. That one takes a quarter of a
//! microsecond, and two of the values of every row are instants: together a sixth of what it takes to
//! store a row.

use tidegate_model::EventTime;

const DAY_MS: i64 = 86_400_000;

/// `2015-05-17 10:05:03.007`.
pub(super) struct InstantText([u8; 23]);

impl InstantText {
    /// Writes an instant of the years 0000 to 9999, as every value of a batch is.
    pub(super) fn new(instant: EventTime) -> Self {
        let (days, ms) = (instant.as_millis().div_euclid(DAY_MS), instant.as_millis().rem_euclid(DAY_MS));
        let (year, month, day) = civil(days);
        let mut text = *b"0000-00-00 00:00:00.000";
        put(&mut text[0..4], year);
        put(&mut text[5..7], month);
        put(&mut text[8..10], day);
        put(&mut text[11..13], ms / 3_600_000);
        put(&mut text[14..16], ms / 60_000 % 60);
        put(&mut text[17..19], ms / 1_000 % 60);
        put(&mut text[20..23], ms % 1_000);
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and punctuation")
    }
}

/// Year, month and day of a number of days since 1970, by the Gregorian calendar. The year is counted
/// from March, so that the leap day is its last, in eras of 400 years, which are all equally long.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    let since_march_0000 = days + 719_468;
    let (era, day) = (since_march_0000.div_euclid(ERA_DAYS), since_march_0000.rem_euclid(ERA_DAYS));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    (400 * era + year + next_year, month, day_of_month)
}

/// Writes the last digits of a number.
fn put(text: &mut [u8], mut number: i64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).expect("a digit of a number that is not negative");
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(ms: i64) {
        let instant = EventTime::from_millis(ms);
        assert_eq!(InstantText::new(instant).as_str(), instant.to_table_text());
    }

    #[test]
    fn the_days_around_every_turn_of_month_are_right() {
        // From the year 1896 to 2404: every kind of leap year there is.
        for day in -27_000..158_700 {
            check(day * DAY_MS);
            check(day * DAY_MS - 1);
        }
        check(-62_167_219_200_000);
        // The last instant that the model can write.
        check(253_402_207_200_000);
    }

    proptest! {
        #[test]
        fn every_instant_is_written_as_the_model_writes_it(ms in -62_167_219_200_000_i64..=253_402_207_200_000) {
            check(ms);
        }
    }
}
