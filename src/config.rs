//! The one typed configuration, and where each of its values came from.
//!
//! Layers, each overriding the one before: defaults, `tidegate.toml`, the environment names that the
//! old stack used (contract section 8), flags of the command line. Every setting is declared once, in
//! `table.rs`; the struct, the checks, `tidegate config` and docs/configuration.md follow from it. A value
//! that does not fit is refused in whatever layer it stands, even when a higher layer overrides it.
//!
//! Resolving ([`Inputs::resolve`]) is a function of its inputs. [`sources`] is the only place of the
//! binary that reads the environment or a configuration file.

mod client;
mod convert;
mod environment;
mod kind;
mod layers;
mod quantity;
pub mod show;
pub mod sources;
mod table;

#[cfg(test)]
mod tests;

pub(crate) use convert::{duration, size};
pub use kind::{Hidden, InputFormat, ListenAt, LogLevel, LogUrl, StartupMode, TimeMode};
pub use layers::{ConfigError, Effective, Fault, Flag, Inputs, Loaded, Source};
pub(crate) use quantity::{parse_span, show_span};
pub use table::{Config, SETTINGS, Section, Setting};
