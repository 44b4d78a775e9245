//! Events over HTTP into the log.
//!
//! The invariant: 202 is answered only after the log has said that the event is durable, and no event
//! that was refused is in the log; where that cannot be known, the answer says so. What a body must look
//! like is `model`'s business, and what becomes of an event in the log is nobody's here.
//!
//! [`Ingest`] is built of a [`Config`] and its [`Parts`]; its router is served by `tidegate_server`.
//! `docs/http-ingest.md` says how it behaves, `openapi.json` beside this crate says it to machines.

mod answer;
mod config;
mod health;
pub mod ids;
mod ingest;
mod metrics;
mod pages;
mod refusal;
mod track;

pub use answer::said;
pub use config::Config;
pub use ingest::{Clock, Ids, Ingest, Parts, Ready};
pub use pages::OPENAPI;
