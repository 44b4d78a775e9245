//! The kinds of settings: how a value is read, what is allowed, and how it is shown.
//!
//! A kind knows nothing of layers. It reads the same value from TOML (typed) and from the environment
//! or a flag (always text), and says in one phrase what it would have accepted.

use std::fmt::Debug;
use std::path::PathBuf;

use serde_json::{Value as Json, json};
use tidegate_dataflow::settings::SessionEnd;

use super::quantity::{parse_size, parse_span, show_size, show_span};

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

fn words(text: &str) -> Shown {
    Shown { text: text.to_owned(), json: json!(text), toml: Some(quote(text)) }
}

/// A TOML basic string; JSON's escapes are a subset of TOML's except for DEL, which no value here has.
fn quote(text: &str) -> String {
    Json::from(text).to_string()
}

/// A duration, in milliseconds.
#[derive(Debug)]
pub struct Span {
    /// The shortest one allowed.
    pub min_ms: i64,
    /// The longest one allowed.
    pub max_ms: i64,
}

impl Kind for Span {
    type Value = i64;

    fn parse(&self, raw: &Raw) -> Option<i64> {
        parse_span(raw.text()?).filter(|ms| (self.min_ms..=self.max_ms).contains(ms))
    }

    fn allowed(&self) -> String {
        let (min, max) = (show_span(self.min_ms), show_span(self.max_ms));
        format!("a duration with its unit (ms, s, m, h, d), from {min} to {max}")
    }

    fn unit(&self) -> &'static str {
        "ms"
    }

    fn show(&self, value: &i64) -> Shown {
        let text = show_span(*value);
        Shown { json: json!(value), toml: Some(quote(&text)), text }
    }
}

/// A number of bytes.
#[derive(Debug)]
pub struct Size {
    /// The smallest one allowed.
    pub min: u64,
    /// The largest one allowed.
    pub max: u64,
}

impl Kind for Size {
    type Value = u64;

    fn parse(&self, raw: &Raw) -> Option<u64> {
        let bytes = match raw {
            Raw::Text(text) => parse_size(text),
            other => other.number(),
        };
        bytes.filter(|bytes| (self.min..=self.max).contains(bytes))
    }

    fn allowed(&self) -> String {
        format!("a size such as 64MiB or 10GB, from {} to {}", show_size(self.min), show_size(self.max))
    }

    fn unit(&self) -> &'static str {
        "bytes"
    }

    fn show(&self, value: &u64) -> Shown {
        let text = show_size(*value);
        Shown { json: json!(value), toml: Some(quote(&text)), text }
    }
}

/// A whole number of something.
#[derive(Debug)]
pub struct Count {
    /// The smallest one allowed.
    pub min: u64,
    /// The largest one allowed.
    pub max: u64,
    /// What is counted.
    pub unit: &'static str,
}

impl Kind for Count {
    type Value = u64;

    fn parse(&self, raw: &Raw) -> Option<u64> {
        raw.number().filter(|number| (self.min..=self.max).contains(number))
    }

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn unit(&self) -> &'static str {
        self.unit
    }

    fn show(&self, value: &u64) -> Shown {
        Shown { text: value.to_string(), json: json!(value), toml: Some(value.to_string()) }
    }
}

/// A TCP port.
#[derive(Debug)]
pub struct Port;

impl Kind for Port {
    type Value = u16;

    fn parse(&self, raw: &Raw) -> Option<u16> {
        u16::try_from(raw.number()?).ok().filter(|port| *port != 0)
    }

    fn allowed(&self) -> String {
        "a port from 1 to 65535".to_owned()
    }

    fn show(&self, value: &u16) -> Shown {
        Shown { text: value.to_string(), json: json!(value), toml: Some(value.to_string()) }
    }
}

/// A setting that need not have a value. `unset` says so where a lower layer set one.
#[derive(Debug)]
pub struct Maybe<K>(pub K);

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn parse(&self, raw: &Raw) -> Option<Option<K::Value>> {
        if raw.text() == Some("unset") { Some(None) } else { self.0.parse(raw).map(Some) }
    }

    fn allowed(&self) -> String {
        format!("{}, or \"unset\"", self.0.allowed())
    }

    fn unit(&self) -> &'static str {
        self.0.unit()
    }

    fn show(&self, value: &Option<K::Value>) -> Shown {
        value
            .as_ref()
            .map_or_else(|| Shown { json: Json::Null, ..words("unset") }, |value| self.0.show(value))
    }
}

/// Free text.
#[derive(Debug)]
pub struct Text {
    /// What it stands for.
    pub what: &'static str,
}

impl Kind for Text {
    type Value = String;

    fn parse(&self, raw: &Raw) -> Option<String> {
        raw.text().filter(|text| !text.is_empty() && !text.contains(char::is_control)).map(str::to_owned)
    }

    fn allowed(&self) -> String {
        self.what.to_owned()
    }

    fn show(&self, value: &String) -> Shown {
        words(value)
    }
}

/// Text that is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

/// Text that is never shown.
#[derive(Debug)]
pub struct Secret;

impl Kind for Secret {
    type Value = Hidden;

    fn parse(&self, raw: &Raw) -> Option<Hidden> {
        raw.text().map(|text| Hidden(text.to_owned()))
    }

    fn allowed(&self) -> String {
        "text".to_owned()
    }

    fn show(&self, value: &Hidden) -> Shown {
        let text = if value.0.is_empty() { "" } else { "(hidden)" };
        let toml = value.0.is_empty().then(|| quote(""));
        Shown { toml, ..words(text) }
    }
}

/// A name that topics, ids and keys are made of.
#[derive(Debug)]
pub struct Name {
    /// The longest one allowed.
    pub max: usize,
}

impl Kind for Name {
    type Value = String;

    fn parse(&self, raw: &Raw) -> Option<String> {
        let text = raw.text()?;
        let fits = (1..=self.max).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && text != "."
            && text != "..";
        fits.then(|| text.to_owned())
    }

    fn allowed(&self) -> String {
        format!("1 to {} letters, digits, dots, underscores or hyphens", self.max)
    }

    fn show(&self, value: &String) -> Shown {
        words(value)
    }
}

/// A file or directory.
#[derive(Debug)]
pub struct FilePath;

impl Kind for FilePath {
    type Value = PathBuf;

    fn parse(&self, raw: &Raw) -> Option<PathBuf> {
        raw.text().filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    fn allowed(&self) -> String {
        "a path".to_owned()
    }

    fn show(&self, value: &PathBuf) -> Shown {
        words(&value.to_string_lossy())
    }
}

/// The beginning of URLs: scheme, host, and perhaps a path.
#[derive(Debug)]
pub struct BaseUrl;

impl Kind for BaseUrl {
    type Value = String;

    fn parse(&self, raw: &Raw) -> Option<String> {
        let url = url::Url::parse(raw.text()?).ok()?;
        let fits = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.query().is_none()
            && url.fragment().is_none();
        fits.then(|| url.as_str().trim_end_matches('/').to_owned())
    }

    fn allowed(&self) -> String {
        "an http or https URL without query and fragment, such as https://shop.example".to_owned()
    }

    fn show(&self, value: &String) -> Shown {
        words(value)
    }
}

/// Yes or no.
#[derive(Debug)]
pub struct Switch;

impl Kind for Switch {
    type Value = bool;

    fn parse(&self, raw: &Raw) -> Option<bool> {
        match raw {
            Raw::Bool(value) => Some(*value),
            Raw::Text(text) if text == "true" => Some(true),
            Raw::Text(text) if text == "false" => Some(false),
            _ => None,
        }
    }

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn show(&self, value: &bool) -> Shown {
        Shown { text: value.to_string(), json: json!(value), toml: Some(value.to_string()) }
    }
}

/// A list of names. As text it is a JSON list, as the old stack wrote it, or separated by commas.
#[derive(Debug)]
pub struct List;

impl Kind for List {
    type Value = Vec<String>;

    fn parse(&self, raw: &Raw) -> Option<Vec<String>> {
        let mut items: Vec<String> = match raw {
            Raw::List(items) => items.clone(),
            Raw::Text(text) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok()?,
            Raw::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => return None,
        };
        let mut seen = std::collections::BTreeSet::new();
        items.retain(|item| seen.insert(item.clone()));
        (!items.is_empty() && items.iter().all(|item| !item.is_empty())).then_some(items)
    }

    fn allowed(&self) -> String {
        r#"a list of names such as ["page_view","click"], none of them empty"#.to_owned()
    }

    fn show(&self, value: &Vec<String>) -> Shown {
        let json = json!(value);
        Shown { text: json.to_string(), toml: Some(json.to_string()), json }
    }
}

/// One of a few words.
#[derive(Debug)]
pub struct Choice<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + Debug + PartialEq + Sync> Kind for Choice<T> {
    type Value = T;

    fn parse(&self, raw: &Raw) -> Option<T> {
        let text = raw.text()?;
        self.0.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
    }

    fn allowed(&self) -> String {
        let names: Vec<String> = self.0.iter().map(|(name, _)| format!("{name:?}")).collect();
        match names.as_slice() {
            [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            _ => names.concat(),
        }
    }

    fn show(&self, value: &T) -> Shown {
        words(self.0.iter().find(|(_, own)| own == value).map_or("", |(name, _)| name))
    }
}

/// What the time of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeMode {
    /// The event's own `timestamp`.
    Event,
    /// The log's clock when the event was appended.
    Processing,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What cannot go on.
    Error,
    /// What someone should look at.
    Warn,
    /// What happens once in a while.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// Where a new deployment starts to read a topic that already has events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupMode {
    /// With the oldest one kept.
    Earliest,
    /// With the next one.
    Latest,
}

/// What the lines of imported files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputFormat {
    /// Each file's first lines tell.
    Auto,
    /// One event as JSON on each line.
    Json,
    /// Common or Combined Log Format.
    AccessLog,
}

/// The words for [`SessionEnd`].
pub(super) const SESSION_ENDS: &[(&str, SessionEnd)] =
    &[("last_event", SessionEnd::LastEvent), ("window_end", SessionEnd::WindowEnd)];
/// The words for [`TimeMode`].
pub(super) const TIME_MODES: &[(&str, TimeMode)] =
    &[("event_time", TimeMode::Event), ("processing_time", TimeMode::Processing)];
/// The words for [`LogLevel`].
pub(super) const LOG_LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
/// The words for [`StartupMode`].
pub(super) const STARTUP_MODES: &[(&str, StartupMode)] =
    &[("earliest-offset", StartupMode::Earliest), ("latest-offset", StartupMode::Latest)];
/// The words for [`InputFormat`].
pub(super) const INPUT_FORMATS: &[(&str, InputFormat)] =
    &[("auto", InputFormat::Auto), ("json", InputFormat::Json), ("access-log", InputFormat::AccessLog)];
