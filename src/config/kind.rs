//! The kinds of settings: how a value is read, what is allowed, and how it is shown.
//!
//! A kind knows nothing of layers. It reads the same value from TOML (typed) and from the environment
//! or a flag (always text), and says in one phrase what it would have accepted.

mod choices;
mod network;
mod numbers;
mod words;

use std::fmt::Debug;

use serde_json::{Value as Json, json};

pub(super) use choices::{INPUT_FORMATS, LOG_LEVELS, SESSION_ENDS, STARTUP_MODES, TIME_MODES};
pub use choices::{InputFormat, LogLevel, StartupMode, TimeMode};
pub(super) use network::{Address, Listen, LogAt, OriginList};
pub use network::{ListenAt, LogUrl};
pub(super) use numbers::{Count, Maybe, Port, Size, Span};
pub use words::Hidden;
pub(super) use words::{BaseUrl, Choice, FilePath, List, Name, Secret, Switch, Text};

/// A value as a layer holds it, before it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A string of TOML, or whatever the environment or a flag says.
    Text(String),
    /// An integer of TOML.
    Integer(i64),
    /// A boolean of TOML.
    Bool(bool),
    /// An array of strings of TOML.
    List(Vec<String>),
    /// Anything else, as it stands there; no kind accepts it.
    Other(String),
}

impl Raw {
    /// The value as an error message repeats it.
    pub(super) fn quoted(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::List(items) => format!("{items:?}"),
            Self::Other(text) => text.clone(),
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A value as it is shown: in words, and with its number where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// In words: what the table prints.
    pub text: String,
    /// As JSON, numbers in [`Kind::UNIT`].
    pub json: Json,
    /// As TOML that reads back to the same value; `None` when it must not or cannot be written.
    pub toml: Option<String>,
}

/// A kind of setting.
pub trait Kind: Sync {
    /// The type that the rest of the program sees.
    type Value: Clone + Debug + PartialEq;
    /// Reads a value; `None` when it is not allowed.
    fn parse(&self, raw: &Raw) -> Option<Self::Value>;
    /// What is allowed, as a phrase after "expected".
    fn allowed(&self) -> String;
    /// The unit of the number in JSON; empty for words.
    fn unit(&self) -> &'static str {
        ""
    }
    /// Shows a value.
    fn show(&self, value: &Self::Value) -> Shown;
}

/// A [`Kind`] without its type, for the table.
pub trait AnyKind: Sync {
    /// Reads and shows a value; `None` when it is not allowed.
    fn check(&self, raw: &Raw) -> Option<Shown>;
    /// See [`Kind::allowed`].
    fn allowed(&self) -> String;
    /// See [`Kind::unit`].
    fn unit(&self) -> &'static str;
}

impl<K: Kind> AnyKind for K {
    fn check(&self, raw: &Raw) -> Option<Shown> {
        self.parse(raw).map(|value| self.show(&value))
    }

    fn allowed(&self) -> String {
        Kind::allowed(self)
    }

    fn unit(&self) -> &'static str {
        Kind::unit(self)
    }
}

pub(super) fn words(text: &str) -> Shown {
    Shown { text: text.to_owned(), json: json!(text), toml: Some(quote(text)) }
}

/// A TOML basic string; JSON's escapes are a subset of TOML's except for DEL, which no value here has.
pub(super) fn quote(text: &str) -> String {
    Json::from(text).to_string()
}
