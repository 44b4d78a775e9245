//! `tidegate ledger`: the totals of the newest binding.

use std::io::Write;
use std::path::Path;

use tidegate_log::embedded::{EmbeddedJournal, JournalView};
use tidegate_model::{Binding, Ledger};

use crate::assembly::{is_on_kafka, journal_error};
use crate::cli::args::{LedgerArgs, ReportFormat};
use crate::config::Config;
use crate::exit::{CommandError, Exit};
use crate::print::ledger_table;

pub(crate) fn run(args: &LedgerArgs, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let ledger = read(config)?;
    let text = match args.format {
        ReportFormat::Table if ledger.jobs.is_empty() => "no event was committed yet\n".to_owned(),
        ReportFormat::Table => ledger_table(&ledger),
        ReportFormat::Json => {
            serde_json::to_string_pretty(&ledger).expect("names and numbers are plain JSON") + "\n"
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(if ledger.adds_up() { Exit::Done } else { Exit::Failure })
}

/// The totals of the newest binding.
fn read(config: &Config) -> Result<Ledger, CommandError> {
    let binding = if is_on_kafka(config) {
        on_kafka(config)?
    } else {
        open_journal(config)?.last_binding().map_err(journal_error)?
    };
    Ok(binding.map(|binding| binding.ledger).unwrap_or_default())
}

#[cfg(feature = "kafka")]
fn on_kafka(config: &Config) -> Result<Option<Binding>, CommandError> {
    use tidegate_log::kafka::{LookError, newest_binding};

    use crate::assembly::{kafka_error, kafka_options};

    newest_binding(&kafka_options(config)).map_err(|error| match error {
        LookError::Open(error) => kafka_error(error),
        LookError::Journal(error) => journal_error(error),
        other => CommandError::new(Exit::Failure, other),
    })
}

#[cfg(not(feature = "kafka"))]
fn on_kafka(_: &Config) -> Result<Option<Binding>, CommandError> {
    Err(crate::assembly::without_kafka())
}

/// Opens the journal of the data directory for looking at it.
pub(crate) fn open_journal(config: &Config) -> Result<JournalView, CommandError> {
    if !config.data_dir.join("journal.db").exists() {
        let text = format!(
            "there is no journal in {}: name the data directory with --data-dir, or import something first",
            config.data_dir.display()
        );
        return Err(CommandError::new(Exit::Failure, text));
    }
    EmbeddedJournal::open_read_only(Path::new(&config.data_dir)).map_err(journal_error)
}
