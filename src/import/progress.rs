//! The progress bar of an import: on a terminal only, and on standard error, so that it never stands in
//! a file or a pipe.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over the bytes of the input, or a spinner where their number is unknown; nothing at all away
/// from a terminal.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// A bar over `bytes` bytes, drawn when standard error is a terminal.
    pub fn new(bytes: Option<u64>) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self { bar: ProgressBar::with_draw_target(bytes, target).with_style(style(bytes.is_some())) }
    }

    /// A bar over the events of a replay, with the time left.
    pub fn replay(events: u64) -> Self {
        let this = Self::new(Some(events));
        let style = ProgressStyle::with_template("replaying {bar:30} {percent:>3} %  {msg}  {eta} left");
        this.bar.set_style(style.expect("the template is a constant that a test draws"));
        this
    }

    /// Moves the bar to `bytes` bytes read and says what was counted so far.
    pub fn update(&self, bytes: u64, events: u64, malformed: u64) {
        self.bar.set_position(bytes);
        let malformed = if malformed == 0 { String::new() } else { format!(", {malformed} malformed") };
        self.bar.set_message(format!("{} events{malformed}", crate::print::grouped(events)));
    }

    /// Prints a line above the bar; on standard error where there is none.
    pub fn note(&self, line: &str) {
        // A note that nobody can read is no reason to end.
        self.bar.suspend(|| drop(writeln!(std::io::stderr(), "{line}")));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(is_bounded: bool) -> ProgressStyle {
    let template = if is_bounded {
        "{bar:30} {percent:>3} %  {binary_bytes_per_sec}  {msg}  {eta} left"
    } else {
        "{spinner} {elapsed}  {msg}"
    };
    ProgressStyle::with_template(template).expect("the template is a constant that a test draws")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_are_valid() {
        for bar in [Bar::new(Some(10)), Bar::new(None), Bar::replay(10)] {
            bar.update(5, 1, 1);
            bar.finish();
        }
    }
}
