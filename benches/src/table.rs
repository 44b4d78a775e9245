//! What was measured, as a table in Markdown.

use std::fmt;

use crate::measure::{By, median};

/// The results of a group of cases.
#[derive(Clone, Debug)]
pub struct Table {
    /// What the cases did.
    pub title: String,
    /// Which time the shares are made of.
    pub by: By,
    /// What is counted, and how many of them.
    pub unit: &'static str,
    /// How many each case handled, each time.
    pub units: u64,
    /// How many bytes these were; 0 where that means nothing.
    pub bytes: u64,
    /// How often it was measured.
    pub rounds: usize,
    /// The names of the ceilings.
    pub ceilings: Vec<String>,
    /// The cases.
    pub lines: Vec<Line>,
}

/// The results of a case.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Units a second that passed, in each round.
    pub wall: Vec<f64>,
    /// Units a second that was worked, in each round.
    pub cpu: Vec<f64>,
    /// For each ceiling, the share that was reached of it; `None` for the ceiling itself.
    pub shares: Vec<Option<f64>>,
    /// Something to say.
    pub note: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, unit, units, rounds, .. } = self;
        let (by, other) = match self.by {
            By::Cpu => ("of CPU time", "on the clock"),
            By::Wall => ("on the clock", "of CPU time"),
        };
        write!(f, "**{title}.** {} {unit}", rate(*units as f64))?;
        if self.bytes > 0 {
            write!(f, ", {:.1} MB", self.bytes as f64 / 1e6)?;
        }
        let times = if *rounds == 1 { "one round".to_owned() } else { format!("median of {rounds} rounds") };
        writeln!(f, "; {times}; {unit} a second.\n")?;
        write!(f, "| | {by} | lowest – highest | {other} | MB/s |")?;
        for ceiling in &self.ceilings {
            write!(f, " of {ceiling} |")?;
        }
        let notes = self.lines.iter().any(|line| !line.note.is_empty());
        writeln!(f, "{}", if notes { " |" } else { "" })?;
        let columns = 4 + self.ceilings.len();
        writeln!(f, "| --- |{}{}", " ---: |".repeat(columns), if notes { " --- |" } else { "" })?;
        for line in &self.lines {
            let (figures, others) = match self.by {
                By::Cpu => (&line.cpu, &line.wall),
                By::Wall => (&line.wall, &line.cpu),
            };
            let lowest = figures.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = figures.iter().copied().fold(0.0, f64::max);
            let figure = median(figures.clone());
            let (range, other) =
                (format!("{} – {}", rate(lowest), rate(highest)), rate(median(others.clone())));
            write!(
                f,
                "| {} | {} | {range} | {other} | {} |",
                line.name,
                rate(figure),
                self.megabytes(figure)
            )?;
            for share in &line.shares {
                match share {
                    Some(share) => write!(f, " {} |", percent(*share))?,
                    None => f.write_str(" |")?,
                }
            }
            writeln!(f, "{}", if notes { format!(" {} |", line.note) } else { String::new() })?;
        }
        Ok(())
    }
}

impl Table {
    fn megabytes(&self, figure: f64) -> String {
        if self.bytes == 0 || self.units == 0 {
            return String::new();
        }
        format!("{:.0}", figure * self.bytes as f64 / self.units as f64 / 1e6)
    }
}

/// Three digits that count, with `k`, `M` or `G`.
fn rate(figure: f64) -> String {
    let (scaled, suffix) = match figure {
        figure if figure >= 1e9 => (figure / 1e9, " G"),
        figure if figure >= 1e6 => (figure / 1e6, " M"),
        figure if figure >= 1e3 => (figure / 1e3, " k"),
        figure => (figure, ""),
    };
    let digits = match scaled {
        scaled if scaled >= 100.0 => 0,
        scaled if scaled >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{suffix}")
}

fn percent(share: f64) -> String {
    if share < 0.095 { format!("{:.1} %", share * 100.0) } else { format!("{:.0} %", share * 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(rate(2_345_678.0), "2.35 M");
        assert_eq!(rate(195_400.0), "195 k");
        assert_eq!(rate(41.26), "41.3");
        assert_eq!(percent(0.5), "50 %");
        assert_eq!(percent(0.012), "1.2 %");
    }

    #[test]
    fn a_table_has_as_many_cells_in_each_line() {
        let line = |name: &str, note: &str| Line {
            name: name.to_owned(),
            wall: vec![1.0, 2.0],
            cpu: vec![1.0, 2.0],
            shares: vec![None, Some(0.5)],
            note: note.to_owned(),
        };
        let table = Table {
            title: "t".to_owned(),
            by: By::Cpu,
            unit: "events",
            units: 2,
            bytes: 100,
            rounds: 2,
            ceilings: vec!["a".to_owned(), "b".to_owned()],
            lines: vec![line("a", ""), line("b", "note")],
        };
        let text = table.to_string();
        let cells: Vec<_> =
            text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
        assert_eq!(cells, [9; 4], "{text}");
    }
}
