//! `tidegate completions`.

use std::io::Write;

use crate::cli::{args::CompletionsArgs, command};
use crate::exit::{CommandError, Exit};

pub(crate) fn run(args: &CompletionsArgs, out: &mut dyn Write) -> Result<Exit, CommandError> {
    // The generator panics when it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "tidegate", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Done)
}
