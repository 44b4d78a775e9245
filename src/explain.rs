//! Why a row says what it says, or why it is not there yet: the story behind `tidegate explain`.
//!
//! Facts are gathered from the journal, the events and the metric store, all of them read beside whoever
//! writes them ([`gather`]); [`explain`] is a function from [`facts::Facts`] to an [`explanation::Explanation`]; [`print`] shows
//! one to people. What cannot be told any more, because it was pruned or removed, is said and not guessed.

mod begun;
mod bound;
mod dropped;
pub(crate) mod explanation;
mod facts;
pub(crate) mod gather;
mod groups;
mod judge;
pub(crate) mod print;
mod record;
mod store;
pub(crate) mod subject;
#[cfg(test)]
mod tests;

pub(crate) use facts::Question;
pub(crate) use judge::explain;
