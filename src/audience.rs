//! Output of a command that goes on when nobody reads it any more.
//!
//! A service that is started as `tidegate up | head -1` has lost its reader, and none of its work: it says so
//! once in the log and serves on.

use std::io::{self, Write};

/// An output that takes everything: what cannot be written is dropped from the first failure on.
pub(crate) struct Audience<'a> {
    out: &'a mut dyn Write,
    gone: bool,
}

impl<'a> Audience<'a> {
    /// Whoever reads `out`.
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, gone: false }
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// What was done, or else all of it, for whoever is not there.
    fn or_gone<T>(&mut self, done: io::Result<T>, all: T) -> io::Result<T> {
        match done {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                tracing::warn!(%error, "standard output cannot be written: the process goes on without it");
                self.gone = true;
                Ok(all)
            }
            done => done,
        }
    }
}

impl Write for Audience<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        self.or_gone(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let flushed = self.out.flush();
        self.or_gone(flushed, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then fails; counts how often it was asked.
    struct Takes {
        bytes: usize,
        asked: usize,
    }

    impl Write for Takes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked += 1;
            match bytes.len().min(self.bytes) {
                0 => Err(io::ErrorKind::BrokenPipe.into()),
                taken => {
                    self.bytes -= taken;
                    Ok(taken)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn what_fails_once_is_not_tried_again() {
        let mut takes = Takes { bytes: 3, asked: 0 };
        let mut audience = Audience::new(&mut takes);
        writeln!(audience, "12").expect("it takes everything");
        assert!(!audience.is_gone());
        for _ in 0..2 {
            writeln!(audience, "3").expect("it takes everything");
            audience.flush().expect("it takes everything");
            assert!(audience.is_gone());
        }
        assert_eq!(takes.asked, 2, "one that took everything, one that failed");
        let mut takes = Takes { bytes: 3, asked: 0 };
        let mut audience = Audience::new(&mut takes);
        audience.flush().expect("it takes everything");
        assert!(audience.is_gone());
    }
}
