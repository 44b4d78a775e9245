//! `tidegate topics`: what the deployment's topics in Kafka are, and creating those that are missing.

#[cfg(feature = "kafka")]
mod print;

use std::io::Write;

use crate::assembly::is_on_kafka;
use crate::cli::args::TopicsCommand;
use crate::config::Config;
use crate::exit::{CommandError, Exit};

pub(crate) fn run(
    command: &TopicsCommand,
    config: &Config,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    if !is_on_kafka(config) {
        let text = "log.url = embedded: the embedded log has no topics to check or to create; \
                    name the brokers of a log on Kafka with --log kafka://host:port";
        return Err(CommandError::new(Exit::Usage, text));
    }
    on_kafka(command, config, out)
}

#[cfg(feature = "kafka")]
fn on_kafka(command: &TopicsCommand, config: &Config, out: &mut dyn Write) -> Result<Exit, CommandError> {
    use tidegate_log::kafka::{check_topics, create_topics};

    use crate::assembly::{kafka_error, kafka_options};
    use crate::cli::args::ReportFormat;

    let options = kafka_options(config);
    let (reports, created) = match command {
        TopicsCommand::Check(_) => (check_topics(&options).map_err(kafka_error)?, None),
        TopicsCommand::Create(_) => {
            let made = create_topics(&options).map_err(kafka_error)?;
            (made.reports, Some(made.created))
        }
    };
    let seen = print::Seen { config, bootstrap: &options.bootstrap, reports: &reports, created };
    let text = match command.args().format {
        ReportFormat::Table => seen.table(),
        ReportFormat::Json => seen.json(),
    };
    out.write_all(text.as_bytes())?;
    Ok(if seen.is_ok() { Exit::Done } else { Exit::Refused })
}

#[cfg(not(feature = "kafka"))]
fn on_kafka(_: &TopicsCommand, _: &Config, _: &mut dyn Write) -> Result<Exit, CommandError> {
    Err(crate::assembly::without_kafka())
}
