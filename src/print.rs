//! Numbers in print, for people: pure functions to text.

use std::fmt::Write as _;

use tidegate_model::{Counts, Ledger};

/// The ledger as a table: a line for each job, and whether its counts add up.
pub(crate) fn ledger_table(ledger: &Ledger) -> String {
    let header = ["job", "accepted", "counted", "expired", "future", "filtered", "rejected", "missing"];
    let mut rows = vec![header.map(str::to_owned)];
    for (job, counts) in &ledger.jobs {
        let Counts { accepted, counted, expired, future, filtered, rejected, missing } = *counts;
        let mut row = [0, accepted, counted, expired, future, filtered, rejected, missing].map(grouped);
        row[0].clone_from(job);
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    // Nothing is missing, unless somebody accepted that.
    let columns = if ledger.jobs.values().all(|counts| counts.missing == 0) { 7 } else { 8 };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let _ = write!(text, "  {:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(text, "  {cell:>width$}");
        }
        let verdict = match index.checked_sub(1).and_then(|job| ledger.jobs.values().nth(job)) {
            None => "",
            Some(counts) if counts.adds_up() => "  adds up",
            Some(_) => "  DOES NOT ADD UP",
        };
        let _ = writeln!(text, "{verdict}");
    }
    text
}

/// Rows of cells under each other, two spaces apart; the columns of `numbers` go to the right.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]], numbers: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let _ = if numbers.contains(&column) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:width$}  ")
            };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A number with a comma between every three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
