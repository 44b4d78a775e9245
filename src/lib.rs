//! Tidegate's command line: configuration, the readers of imports, the load generator, assembly.
//!
//! This is a library so that tests and benchmarks reach its parts; the program is `main.rs`.

mod assembly;
mod audience;
pub mod cli;
pub mod client;
mod commands;
pub mod config;
mod demo;
mod doctor;
pub mod exit;
mod explain;
pub mod import;
pub mod load;
pub mod logging;
mod print;
mod replay;
mod service;
