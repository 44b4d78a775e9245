//! `tidegate query`: read-only SQL on the metric store.

use std::io::Write;
use std::path::Path;

use tidegate_sinks::METRICS_FILE;
use tidegate_sinks::query::{Format, QueryError, write};

use crate::cli::args::{QueryArgs, RowsFormat};
use crate::config::Config;
use crate::exit::{CommandError, Exit};

pub(crate) fn run(args: &QueryArgs, config: &Config, mut out: &mut dyn Write) -> Result<Exit, CommandError> {
    let format = match args.format {
        RowsFormat::Table => Format::Table,
        RowsFormat::Json => Format::Json,
        RowsFormat::Csv => Format::Csv,
    };
    let path = Path::new(&config.data_dir).join(METRICS_FILE);
    match write(&path, &args.sql, &[], format, &mut out) {
        Ok(_) => Ok(Exit::Done),
        Err(QueryError::Output(error)) => Err(error.into()),
        Err(error) => Err(CommandError::new(Exit::Failure, error)),
    }
}
