//! The command line of the developer commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::workspace::Workspace;
use xtask::{services, steps};

/// Developer commands of Tidegate.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything that a reviewer would; stop at the first step that fails.
    Test {
        /// Run only this step; may be given several times.
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// List the steps and what each one runs.
        #[arg(long, conflicts_with = "only")]
        list: bool,
    },
    /// Real servers to try things with: Kafka, ClickHouse and Redis.
    Services {
        #[command(subcommand)]
        action: services::Action,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Not by returning it: that would add a stack backtrace to a misspelt word.
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Carries a command out; whether everything that it checked held.
fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Test { list: true, .. } => {
            steps::list();
            Ok(true)
        }
        Command::Test { only, .. } => {
            let chosen = steps::choose(&only)?;
            Ok(steps::run(&Workspace::load()?, &chosen))
        }
        Command::Services { action } => services::run(&Workspace::load()?, action).map(|()| true),
    }
}
