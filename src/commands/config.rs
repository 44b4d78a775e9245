//! `tidegate config`.

use std::io::Write;

use crate::cli::args::{ConfigArgs, ConfigFormat};
use crate::config::{Inputs, Loaded, show};
use crate::exit::{CommandError, Exit};

pub(crate) fn run(args: &ConfigArgs, loaded: &Loaded, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let text = match args.format {
        ConfigFormat::Table => show::table(&loaded.effective),
        ConfigFormat::Json => show::json(&loaded.effective),
        ConfigFormat::Toml => show::toml(&loaded.effective),
        ConfigFormat::Markdown => show::markdown(),
        ConfigFormat::Example => {
            let defaults = Inputs::default().resolve().expect("a test checks that the defaults are valid");
            show::example(&defaults.effective)
        }
    };
    out.write_all(text.as_bytes())?;
    Ok(Exit::Done)
}
