//! The command line of the developer commands.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::steps;
use xtask::workspace::Workspace;

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
fn run(Command::Test { only, list }: Command) -> anyhow::Result<bool> {
    if list {
        steps::list();
        return Ok(true);
    }
    let chosen = steps::choose(&only)?;
    Ok(steps::run(&Workspace::load()?, &chosen))
}
