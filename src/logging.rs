//! The log of the process, on standard error: for people on a terminal, as JSON anywhere else.
//!
//! What identifies a person, and what is secret, is never written: fields of those names are redacted,
//! whoever logs them.

mod json;
mod redact;

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::fmt;

use crate::config::LogLevel;
use json::JsonLines;

/// Starts logging at `level`. Called once, by `main`; a second call changes nothing.
pub fn start(level: LogLevel) {
    // A log that nobody reads any more is no reason to panic, which is what would come of telling it of that.
    let builder = fmt().with_max_level(tracing_level(level)).with_writer(std::io::stderr);
    let builder = builder.log_internal_errors(false);
    // An error means that a log is set up already, as in tests; that one stays.
    let _ = if std::io::stderr().is_terminal() {
        builder.compact().with_target(false).fmt_fields(redact::HumanFields).try_init()
    } else {
        builder.event_format(JsonLines).try_init()
    };
}

fn tracing_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}
