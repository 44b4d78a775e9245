//! The command line: what it looks like, and the way from arguments to a command.

pub mod args;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use tidegate_runner::Accept;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::commands;
use crate::config::{self, Config, Inputs, Loaded, LogUrl};
use crate::exit::{CommandError, Exit};
use crate::logging;
use crate::service::{self, Roles};
use args::{Cli, Command};

/// Runs the program with the arguments and the environment of the process.
pub fn main() -> ExitCode {
    crate::assembly::abort_on_worker_panic();
    let mut out = std::io::stdout().lock();
    let exit = match run(std::env::args_os(), &mut out) {
        Ok(exit) => exit,
        Err(error) if error.is_broken_pipe() => Exit::Done,
        Err(error) if error.exit == Exit::Done => {
            let _ = writeln!(std::io::stderr(), "{error}");
            Exit::Done
        }
        Err(error) => {
            // Where nobody reads what is wrong, the exit code still says so.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            error.exit
        }
    };
    ExitCode::from(exit.code())
}

/// The command line as clap knows it, the exit codes included.
pub fn command() -> clap::Command {
    let codes: Vec<String> =
        Exit::ALL.iter().map(|(exit, meaning)| format!("  {}  {meaning}", exit.code())).collect();
    Cli::command().after_help(format!("Exit codes:\n{}", codes.join("\n")))
}

fn run(args: impl IntoIterator<Item = OsString>, out: &mut dyn Write) -> Result<Exit, CommandError> {
    // Help, the version and wrong usage are clap's to print; it exits with 0 or 2.
    let matches = command().get_matches_from(args);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Command::Completions(args) = &cli.command {
        return commands::completions::run(args, out);
    }
    let loaded = load(&cli)?;
    logging::start(loaded.config.log_level);
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    if let (Command::Demo(_) | Command::Up(_), Some(unused)) = (&cli.command, loaded.without_effect()) {
        tracing::warn!("{unused}");
    }
    match &cli.command {
        Command::Demo(args) => commands::demo::run(args, &loaded.config, out),
        Command::Up(args) => {
            let accept =
                Accept { changed_jobs: args.accept_changed_jobs, gap: args.accept_gap, ..Accept::default() };
            service::run(&loaded.config, Roles::ALL, accept, out)
        }
        Command::Ingest(_) => role(&loaded.config, Roles::INGEST, Accept::default(), out),
        Command::Dataflow(args) => {
            let accept =
                Accept { changed_jobs: args.accept_changed_jobs, gap: args.accept_gap, ..Accept::default() };
            role(&loaded.config, Roles::DATAFLOW, accept, out)
        }
        Command::Sink(args) => {
            let accept = Accept { gap: args.accept_gap, ..Accept::default() };
            role(&args.with_host(loaded.config.clone()), args.roles(), accept, out)
        }
        Command::CacheApi(_) => role(&loaded.config, Roles::CACHE_API, Accept::default(), out),
        Command::Topics(command) => commands::topics::run(command, &loaded.config, out),
        Command::Migrate(command) => commands::migrate::run(command, &loaded.config, out),
        Command::Doctor(args) => commands::doctor::run(args, &loaded.config, out),
        Command::Import(args) => commands::import::run(args, &loaded.config, out),
        Command::Query(args) => commands::query::run(args, &loaded.config, out),
        Command::Explain(args) => commands::explain::run(args, &loaded.config, out),
        Command::Replay(args) => commands::replay::run(args, &loaded.config, out),
        Command::Ledger(args) => commands::ledger::run(args, &loaded.config, out),
        Command::Load(args) => commands::load::run(args, &loaded.config, out),
        Command::Healthcheck(args) => commands::healthcheck::run(args, &loaded.config, out),
        Command::Config(args) => commands::config::run(args, &loaded, out),
        Command::Completions(_) => unreachable!("completions need no configuration and are done"),
    }
}

/// Runs a part of the pipeline. What its parts share is Kafka: the embedded log belongs to one process.
fn role(config: &Config, roles: Roles, accept: Accept, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let log_url = match &config.log_url {
        LogUrl::Embedded => LogUrl::Kafka(None),
        kafka @ LogUrl::Kafka(_) => kafka.clone(),
    };
    service::run(&Config { log_url, ..config.clone() }, roles, accept, out)
}

/// The effective configuration of this command line, in this environment.
fn load(cli: &Cli) -> Result<Loaded, CommandError> {
    let usage = |error| CommandError::new(Exit::Usage, error);
    let inputs = Inputs {
        file: config::sources::file(cli.config.as_deref()).map_err(|e| CommandError::new(Exit::Usage, e))?,
        environment: config::sources::environment(),
        flags: cli.flags(),
    };
    inputs.resolve().map_err(usage)
}
