//! The commands: each takes its arguments and the configuration, and writes to the given output.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod healthcheck;
pub(crate) mod import;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod migrate;
pub(crate) mod query;
pub(crate) mod replay;
pub(crate) mod topics;
