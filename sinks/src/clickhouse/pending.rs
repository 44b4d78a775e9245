//! An insert on its way, which may have to be sent again.

use super::error::Failure;
use super::server::{Insert, Server};

/// An insert with its rows and its token.
pub(super) struct Pending {
    /// The table, for errors.
    pub(super) what: String,
    insert: Insert,
    /// Whether an earlier attempt may have stored it.
    may_be_stored: bool,
}

impl Pending {
    pub(super) fn new(what: String, insert: Insert) -> Self {
        Self { what, insert, may_be_stored: false }
    }

    /// Whether it has to be sent again before anything else is decided.
    pub(super) fn may_be_stored(&self) -> bool {
        self.may_be_stored
    }

    /// Sends it: the same bytes and the same token each time, so that the server stores it once.
    pub(super) fn send(&mut self, server: &Server) -> Result<(), Failure> {
        let Err(mut failure) = server.insert(&self.insert) else {
            self.may_be_stored = false;
            return Ok(());
        };
        // The server's own refusal settles it: what an earlier attempt did is there by now, or never will
        // be. That nobody answers settles nothing.
        let is_settled = failure.is_definite && failure.code.is_some();
        self.may_be_stored = !is_settled && (self.may_be_stored || !failure.is_definite);
        failure.is_definite &= !self.may_be_stored;
        Err(failure)
    }
}
