//! `tidegate explain`: why a row says what it says, or why it is not there yet.

use std::io::Write;

use tidegate_runner::Clock as _;
use tidegate_runner::clock::SystemClock;

use super::ledger::open_journal;
use crate::cli::args::{ExplainArgs, ReportFormat};
use crate::config::Config;
use crate::exit::{CommandError, Exit};
use crate::explain::{Question, explain, gather, print};

pub(crate) fn run(args: &ExplainArgs, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let question = Question { subject: args.job, instant: args.window, key: args.key.clone() };
    gather::check(&question)?;
    let facts = gather::facts(question, config, &open_journal(config)?, SystemClock.now())?;
    let explanation = explain(&facts);
    let text = match args.format {
        ReportFormat::Table => print::text(&explanation),
        ReportFormat::Json => {
            serde_json::to_string_pretty(&explanation).expect("names and numbers are plain JSON") + "\n"
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(Exit::Done)
}
