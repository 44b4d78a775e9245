//! The exit codes, which scripts may rely on, and errors that carry one.

use std::error::Error;
use std::fmt;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Failure = 1,
    /// The command line or the configuration is wrong; nothing was done.
    Usage = 2,
    /// Going on would give wrong rows; nothing was done.
    Refused = 3,
    /// Another process writes this data directory.
    InUse = 4,
    /// A strict import met a malformed line.
    Malformed = 5,
    /// Another process has taken over; this one must not come back by itself.
    Fenced = 6,
    /// The end took longer than it may, and was cut off.
    Overdue = 7,
    /// Rows that were computed once more are not those committed.
    Differs = 8,
}

impl Exit {
    /// Every code, with the sentence that `--help` and the documentation give it.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Done, "done"),
        (Self::Failure, "failure: the message says of what"),
        (Self::Usage, "wrong usage or configuration; nothing was done"),
        (
            Self::Refused,
            "refused, because rows would be wrong (the frontier is past the input, a job's definition changed, a newer format, a topic, a table or a cache that is not as it must be)",
        ),
        (Self::InUse, "another process writes this data directory"),
        (Self::Malformed, "a strict import met a malformed line"),
        (Self::Fenced, "another process has taken over; do not restart this one at once"),
        (Self::Overdue, "the end took longer than shutdown_deadline and was cut off; the next start goes on"),
        (Self::Differs, "a replay made other rows than those committed"),
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Why a command did not do what it should, and the exit code that says so to scripts.
#[derive(Debug)]
pub struct CommandError {
    /// The exit code.
    pub exit: Exit,
    source: Box<dyn Error + Send + Sync>,
}

impl CommandError {
    /// An error, or a sentence, that ends the command with `exit`.
    pub fn new(exit: Exit, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit, source: source.into() }
    }

    /// Whether somebody stopped reading our output, as `| head` does. That is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        let io = self.source.downcast_ref::<std::io::Error>();
        io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for CommandError {
    /// The error and its causes, in one line each where they are short.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for CommandError {}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_in_order() {
        for (index, (exit, _)) in Exit::ALL.iter().enumerate() {
            assert_eq!(usize::from(exit.code()), index);
        }
    }

    #[test]
    fn causes_follow_their_error_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read it")]
        struct Outer(#[source] std::io::Error);
        let error = CommandError::new(Exit::Failure, Outer(std::io::Error::other("it is gone")));
        assert_eq!(error.to_string(), "cannot read it: it is gone");
    }
}
