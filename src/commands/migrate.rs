//! `tidegate migrate clickhouse`: the tables of an old stack are made fit.

use std::io::Write;

use crate::cli::args::MigrateCommand;
use crate::config::Config;
use crate::exit::{CommandError, Exit};

#[cfg(feature = "clickhouse")]
pub(crate) fn run(
    command: &MigrateCommand,
    config: &Config,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let MigrateCommand::Clickhouse(args) = command;
    if args.dry_run { on_clickhouse::show(config, out) } else { on_clickhouse::carry_out(config, out) }
}

#[cfg(not(feature = "clickhouse"))]
pub(crate) fn run(_: &MigrateCommand, _: &Config, _: &mut dyn Write) -> Result<Exit, CommandError> {
    Err(crate::assembly::without_clickhouse())
}

#[cfg(feature = "clickhouse")]
mod on_clickhouse {
    use std::io::Write;
    use std::ops::ControlFlow;

    use tidegate_runner::{Clock as _, clock::SystemClock};
    use tidegate_sinks::clickhouse::{TableLook, TableState, inspect, migrate};

    use crate::assembly::{clickhouse_config, store_topics};
    use crate::config::Config;
    use crate::exit::{CommandError, Exit};

    /// Prints the statements, each table with why.
    pub(super) fn show(config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
        let looked = inspect(&clickhouse_config(config), &store_topics(config), || SystemClock.now());
        let looked = looked.map_err(|error| CommandError::new(Exit::Failure, error))?;
        let mut is_done = true;
        for TableLook { name, state, .. } in &looked.tables {
            let TableState::Unfit { misfit, statements, rows, drops_rows, notes } = state else {
                let word = if *state == TableState::Fits { "fits" } else { "is missing: a sink makes it" };
                writeln!(out, "-- {name} {word}")?;
                continue;
            };
            is_done = false;
            writeln!(out, "-- {name}: {misfit}")?;
            writeln!(out, "--   {rows} rows, {drops_rows} of them for a key that another one has")?;
            for note in notes {
                writeln!(out, "--   {note}")?;
            }
            for statement in statements {
                writeln!(out, "{statement};")?;
            }
        }
        Ok(if is_done { Exit::Done } else { Exit::Refused })
    }

    /// Runs them, and prints each before it is run.
    pub(super) fn carry_out(config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
        let mut written = Ok(());
        let mut count = 0;
        let migrated = migrate(&clickhouse_config(config), &store_topics(config), &mut |statement| {
            count += 1;
            written = writeln!(out, "{};", statement.sql).and_then(|()| out.flush());
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        written?;
        let _ended = migrated.map_err(|error| CommandError::new(Exit::Refused, error))?;
        writeln!(out, "-- {count} statements were carried out; every table is as it must be")?;
        Ok(Exit::Done)
    }
}
