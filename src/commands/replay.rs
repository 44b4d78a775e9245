//! `tidegate replay`: whether epochs come out again as they were committed.

use std::io::Write;

use tidegate_model::Epoch;

use super::ledger::open_journal;
use crate::cli::args::{ReplayArgs, ReportFormat};
use crate::config::Config;
use crate::exit::{CommandError, Exit};
use crate::replay::{Question, replay};

pub(crate) fn run(args: &ReplayArgs, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let question = Question { from: args.from_epoch.map(Epoch), to: args.to_epoch.map(Epoch) };
    let report = replay(&question, config, &open_journal(config)?)?;
    let text = match args.format {
        ReportFormat::Table => report.text(),
        ReportFormat::Json => {
            serde_json::to_string_pretty(&report).expect("names and numbers are plain JSON") + "\n"
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(if report.differences == 0 { Exit::Done } else { Exit::Differs })
}
