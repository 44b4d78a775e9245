//! Where frames are drawn: over each other on a terminal, a line now and then anywhere else.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use console::Term;

use super::view::{Frame, line, lines};
use crate::audience::Audience;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// A terminal, or a pipe or file.
pub(super) enum Screen<'a, 'b> {
    Terminal { term: Term, drawn: usize },
    Plain { out: &'a mut Audience<'b>, printed: Option<Instant> },
}

impl<'a, 'b> Screen<'a, 'b> {
    /// The terminal that standard output is, or `out`.
    pub(super) fn new(out: &'a mut Audience<'b>) -> Self {
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
    ///
    /// # Errors
    /// When nobody can see it: the terminal is gone, or the reader of the pipe.
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
            }
            Self::Plain { out, printed } => {
                if printed.is_none_or(|printed| printed.elapsed() >= LINE_EVERY) {
                    *printed = Some(Instant::now());
                    writeln!(out, "{}", line(frame))?;
                    out.flush()?;
                }
                if out.is_gone() {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
        Ok(())
    }

    /// Leaves the last frame where it is.
    pub(super) fn finish(self) {
        // A terminal or a reader that is gone has nothing to be left in order.
        let _ = match self {
            Self::Terminal { term, .. } => term.show_cursor().and_then(|()| term.write_line("")),
            Self::Plain { out, .. } => writeln!(out),
        };
    }
}
