//! Where frames are drawn: over each other on a terminal, a line now and then anywhere else.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use console::Term;

use super::view::{Frame, line, lines};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// A terminal, or a pipe or file.
pub(super) enum Screen<'a> {
    Terminal { term: Term, drawn: usize },
    Plain { out: &'a mut dyn Write, printed: Option<Instant> },
}

impl<'a> Screen<'a> {
    /// The terminal that standard output is, or `out`.
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        let term = Term::stdout();
        if term.is_term() {
            // A cursor that cannot be hidden is no reason to show nothing.
            let _ = term.hide_cursor();
            Self::Terminal { term, drawn: 0 }
        } else {
            Self::Plain { out, printed: None }
        }
    }

    /// Shows a frame.
    pub(super) fn show(&mut self, frame: &Frame) -> io::Result<()> {
        match self {
            Self::Terminal { term, drawn } => {
                let width = usize::from(term.size().1).max(20);
                let lines = lines(frame);
                term.clear_last_lines(*drawn)?;
                for line in &lines {
                    term.write_line(&console::truncate_str(line, width - 1, "…"))?;
                }
                *drawn = lines.len();
                Ok(())
            }
            Self::Plain { out, printed } => {
                if printed.is_some_and(|printed| printed.elapsed() < LINE_EVERY) {
                    return Ok(());
                }
                *printed = Some(Instant::now());
                writeln!(out, "{}", line(frame))?;
                out.flush()
            }
        }
    }

    /// Leaves the last frame where it is.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Self::Terminal { term, .. } => {
                term.show_cursor()?;
                term.write_line("")
            }
            Self::Plain { out, .. } => writeln!(out),
        }
    }
}
