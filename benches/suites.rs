//! `cargo bench -p tidegate-benches -- [SUITE]… [--quick]`: measures, and prints Markdown.

use std::process::ExitCode;

use clap::Parser;
use tidegate_benches::{SUITES, Scale, machine};

/// That of the program `tidegate`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures Tidegate, each figure beside a ceiling of the same run.
#[derive(Debug, Parser)]
#[command(name = "suites")]
struct Arguments {
    /// Which suites; all of them by default
    #[arg(value_parser = SUITES.map(|suite| suite.name))]
    suites: Vec<String>,

    /// A tenth of the data and two rounds: does it run, and is it about right
    #[arg(long)]
    quick: bool,

    /// Cargo says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scale = if arguments.quick { Scale::Quick } else { Scale::Full };
    let chosen = |name: &str| arguments.suites.is_empty() || arguments.suites.iter().any(|own| own == name);
    println!("{}\n", machine::describe());
    for suite in SUITES.iter().filter(|suite| chosen(suite.name)) {
        match (suite.run)(scale) {
            Ok(tables) => tables.iter().for_each(|table| println!("{table}")),
            Err(error) => {
                eprintln!("the suite {} failed: {error:#}", suite.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
