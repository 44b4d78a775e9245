//! Developer commands: what `cargo xtask …` does.
//!
//! The checks that read the repository itself (the import table, dependencies, purity, links) are functions here, so
//! that `cargo xtask test` can run them first, in milliseconds, and plain `cargo test` holds them too.
//! Nothing of the product imports this crate, and it imports nothing of the product.

pub mod browser;
pub mod deny;
pub mod dependencies;
pub mod imports;
pub mod links;
pub mod miri;
pub mod openapi;
pub mod paths;
pub mod process;
pub mod purity;
pub mod service;
pub mod services;
pub mod steps;
pub mod tally;
pub mod workspace;

pub use tidegate_services::tools;
