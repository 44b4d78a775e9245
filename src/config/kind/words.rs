//! Kinds of settings that are words: names, paths, URLs, lists, choices.

use std::fmt::Debug;
use std::path::PathBuf;

use serde_json::json;

use super::{Kind, Raw, Shown, quote, words};

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
    /// Hides a text.
    pub(in crate::config) fn new(text: String) -> Self {
        Self(text)
    }

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

/// How many names a list may have: the engine keeps the index of an event's type in a byte.
const LIST_ITEMS_MAX: usize = 255;

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
        let fits = (1..=LIST_ITEMS_MAX).contains(&items.len()) && items.iter().all(|item| !item.is_empty());
        fits.then_some(items)
    }

    fn allowed(&self) -> String {
        format!(r#"a list of 1 to {LIST_ITEMS_MAX} names such as ["page_view","click"], none of them empty"#)
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
