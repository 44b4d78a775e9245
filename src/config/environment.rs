//! The environment names of the old stack, with the meaning that they had there (contract section 8).

use super::kind::Raw;

/// How the text of a variable becomes the value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it stands.
    Plain,
    /// A plain number is a number of seconds; a duration with a unit is understood as well.
    Seconds,
    /// Unset, empty or `production` means event time, anything else processing time.
    AppEnvironment,
    /// A level of Python's, in upper or lower case.
    Level,
    /// ClickHouse's native port, 9000, stands for the HTTP port, 8123.
    ClickhousePort,
}

/// A variable that sets a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// How it is read.
    pub form: Form,
}

impl Form {
    /// The value that `text` stands for, and what should be said in the log about it.
    pub(super) fn read(self, text: &str) -> (Raw, Option<&'static str>) {
        let (value, notice) = match self {
            Self::Seconds => {
                let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                (if plain { format!("{text}s") } else { text.to_owned() }, None)
            }
            Self::AppEnvironment if text == "production" => ("event_time".to_owned(), None),
            Self::AppEnvironment => ("processing_time".to_owned(), None),
            Self::Level => (level(text), None),
            Self::ClickhousePort if text.trim() == "9000" => {
                let notice = "9000 is ClickHouse's native port; its HTTP port 8123 is used instead";
                ("8123".to_owned(), Some(notice))
            }
            Self::Plain | Self::ClickhousePort => (text.to_owned(), None),
        };
        (Raw::Text(value), notice)
    }

    /// What the generated documentation says about it.
    pub(super) fn note(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Seconds => " (a plain number is seconds)",
            Self::AppEnvironment => " (`production` is event time, anything else processing time)",
            Self::Level => " (Python's names, too)",
            Self::ClickhousePort => " (9000 is read as 8123, any other number is the HTTP port)",
        }
    }
}

fn level(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        "notset" => "trace".to_owned(),
        _ => lower,
    }
}

/// Prefixes under which the old stack kept its knobs. A variable with one of them that sets nothing
/// here (mini-batches, the checkpoint interval) is named once in the log, so that neither a knob without
/// a counterpart nor a misspelt name goes unnoticed.
pub(super) const KNOB_PREFIXES: [&str; 4] = ["FLINK_", "PROCESSING_", "STORAGE_", "KAFKA_TOPIC_"];
