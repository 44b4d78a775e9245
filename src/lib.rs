//! Tidegate's command line: configuration, the readers of imports, assembly.
//!
//! This is a library so that tests and benchmarks reach its parts; the program is `main.rs`.

mod assembly;
pub mod cli;
mod commands;
pub mod config;
pub mod exit;
pub mod import;
pub mod logging;
mod print;
