//! Aligned columns under a header.

use std::fmt::Write as _;
use std::io::Write;

use super::{Cell, RowVisitor, Written, hex_literal, real};

/// The widths are those of the header and the first so many rows; a wider cell further down pushes its
/// line out, so that a result of any length needs no more memory than this.
const ROWS_MEASURED: usize = 1_000;

pub(super) struct TableWriter<W> {
    output: W,
    names: Vec<String>,
    /// The rows not yet written, while the widths are not yet settled.
    measured: Vec<Vec<Aligned>>,
    widths: Option<Vec<usize>>,
}

/// A cell as it is shown.
struct Aligned {
    text: String,
    right: bool,
}

impl<W: Write> TableWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { output, names: Vec::new(), measured: Vec::new(), widths: None }
    }

    /// Writes what is still held back.
    pub(super) fn finish(&mut self) -> Written {
        if self.widths.is_none() && !self.names.is_empty() {
            self.settle()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Written {
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.chars().count()).collect();
        for row in &self.measured {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        // A column is headed on the side that its values stand on.
        let rights = (0..self.names.len())
            .map(|at| self.measured.first().is_some_and(|row| row[at].right))
            .collect::<Vec<_>>();
        let names = std::mem::take(&mut self.names);
        let header: Vec<Aligned> =
            names.into_iter().zip(rights).map(|(text, right)| Aligned { text, right }).collect();
        write_line(&mut self.output, &header, &widths)?;
        let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
        writeln!(self.output, "{}", rule.join("  "))?;
        for row in std::mem::take(&mut self.measured) {
            write_line(&mut self.output, &row, &widths)?;
        }
        self.widths = Some(widths);
        Ok(())
    }
}

impl<W: Write> RowVisitor for TableWriter<W> {
    fn columns(&mut self, names: &[&str]) -> Written {
        self.names = names.iter().map(|name| visible(name)).collect();
        Ok(())
    }

    fn row(&mut self, cells: &[Cell<'_>]) -> Written {
        let row: Vec<Aligned> = cells.iter().map(|cell| aligned(*cell)).collect();
        if let Some(widths) = &self.widths {
            return write_line(&mut self.output, &row, widths);
        }
        self.measured.push(row);
        if self.measured.len() == ROWS_MEASURED {
            self.settle()?;
        }
        Ok(())
    }
}

fn write_line(output: &mut impl Write, row: &[Aligned], widths: &[usize]) -> Written {
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        let gap = if at == 0 { "" } else { "  " };
        let Aligned { text, right } = cell;
        let written =
            if *right { write!(line, "{gap}{text:>width$}") } else { write!(line, "{gap}{text:<width$}") };
        written.expect("a string takes everything");
    }
    writeln!(output, "{}", line.trim_end_matches(' '))
}

fn aligned(cell: Cell<'_>) -> Aligned {
    let (text, right) = match cell {
        Cell::Null => ("NULL".to_owned(), false),
        Cell::Integer(number) => (number.to_string(), true),
        Cell::Real(number) => (real(number), true),
        Cell::Text(text) => (visible(text), false),
        Cell::Blob(bytes) => (hex_literal(bytes), false),
    };
    Aligned { text, right }
}

/// Names of users and sessions come from outside: what would steer a terminal is shown, not sent.
fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut shown, char| {
        if char.is_control() {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
        shown
    })
}
