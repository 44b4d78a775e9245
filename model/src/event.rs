//! The event.

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event;
