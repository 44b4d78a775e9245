//! `tidegate demo`: the whole pipeline at work.

use std::io::Write;

use crate::cli::args::DemoArgs;
use crate::config::{Config, duration, parse_span};
use crate::demo::{self, DemoConfig};
use crate::exit::{CommandError, Exit};

pub(crate) fn run(args: &DemoArgs, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let wrong = |text: String| CommandError::new(Exit::Usage, text);
    let length = |text: &String| match parse_span(text).filter(|ms| *ms > 0) {
        Some(ms) => Ok(duration(ms)),
        None => Err(wrong(format!("--duration {text:?}: expected a duration with its unit, such as 30s"))),
    };
    let demo = DemoConfig {
        rate: args.rate,
        users: args.users,
        seed: args.seed,
        duration: args.duration.as_ref().map(length).transpose()?,
    };
    demo::run(&demo, config, out)
}
