//! `tidegate doctor`.

use std::io::Write;

use tidegate_runner::{Clock as _, clock::SystemClock};

use crate::cli::args::{DoctorArgs, ReportFormat};
use crate::config::Config;
use crate::doctor::{Diagnosis, State};
use crate::exit::{CommandError, Exit};

pub(crate) fn run(args: &DoctorArgs, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let diagnosis = Diagnosis::of(config, || SystemClock.now());
    let text = match args.format {
        ReportFormat::Table => diagnosis.table(),
        ReportFormat::Json => diagnosis.json(),
    };
    out.write_all(text.as_bytes())?;
    Ok(match diagnosis.state() {
        State::Ok | State::Warning => Exit::Done,
        State::Away => Exit::Failure,
        State::Wrong => Exit::Refused,
    })
}
