//! The configuration in print: what `tidegate config` shows, and the pages that are generated from the
//! table of settings. Pure functions to text.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::json;

use super::kind::quote;
use super::table::{self, SETTINGS};
use super::{Effective, Source};

/// A table for people.
pub fn table(effective: &[Effective]) -> String {
    let rows: Vec<[String; 4]> = effective
        .iter()
        .map(|e| {
            let unit = match e.unit {
                "ms" => "duration",
                unit => unit,
            };
            let source = match &e.source {
                Source::Default => "default".to_owned(),
                other => format!("{} {other}", other.layer()),
            };
            [e.key.to_string(), e.shown.text.clone(), unit.to_owned(), source]
        })
        .collect();
    let header = ["KEY", "VALUE", "UNIT", "SOURCE"].map(str::to_owned);
    let width = |column: usize| {
        let cells = std::iter::once(&header).chain(&rows);
        cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let (key, value, unit) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [a, b, c, d] in std::iter::once(&header).chain(&rows) {
        let _ = writeln!(text, "{a:key$}  {b:value$}  {c:unit$}  {d}");
    }
    text
}

/// For programs: one object per setting.
pub fn json(effective: &[Effective]) -> String {
    let list: Vec<_> = effective
        .iter()
        .map(|e| {
            let name = match &e.source {
                Source::Default => None,
                other => Some(other.to_string()),
            };
            json!({
                "key": e.key,
                "value": e.shown.json,
                "text": e.shown.text,
                "unit": e.unit,
                "source": e.source.layer(),
                "source_name": name,
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&list).expect("names and values are plain JSON");
    text.push('\n');
    text
}

/// A `tidegate.toml` that says the same; a comment names the source of each value. Hidden values are
/// left out.
pub fn toml(effective: &[Effective]) -> String {
    file(effective, |text, e| {
        match &e.shown.toml {
            Some(value) => {
                let _ = write!(text, "{} = {value}", bare(&e.key));
            }
            None => {
                let _ = write!(text, "# {} is set but not shown", bare(&e.key));
            }
        }
        let _ = writeln!(text, "  # {}", e.source);
    })
}

/// The file docs/tidegate.example.toml: every setting with its meaning and its default.
pub fn example(defaults: &[Effective]) -> String {
    let mut text = String::from(
        "# Every setting of Tidegate with its default. Copy what you change to tidegate.toml.\n\
         # Generated: cargo run -- config --format example > docs/tidegate.example.toml\n",
    );
    text.push_str(&file(defaults, |text, e| {
        text.push('\n');
        let setting = table::find(&e.key).expect("nobody sets anything but what the table has");
        for line in setting.doc {
            let _ = writeln!(text, "# {line}");
        }
        let _ = writeln!(text, "# Takes {}.", setting.kind.allowed());
        let value = e.shown.toml.as_deref().unwrap_or("\"\"");
        let _ = writeln!(text, "{} = {value}", bare(&e.key));
    }));
    text
}

/// The page docs/configuration.md.
pub fn markdown() -> String {
    let mut text = String::from(include_str!("intro.md"));
    for section in SETTINGS {
        let _ = writeln!(text, "\n## {}\n", section.title);
        text.push_str("| key | default | allowed | environment | meaning |\n");
        text.push_str("| --- | --- | --- | --- | --- |\n");
        for setting in section.settings {
            let default = if setting.default.is_empty() { "(empty)" } else { setting.default };
            let environment =
                setting.variable.map_or_else(String::new, |v| format!("`{}`{}", v.name, v.form.note()));
            let _ = writeln!(
                text,
                "| `{}` | `{default}` | {} | {environment} | {} |",
                setting.key,
                setting.kind.allowed(),
                setting.doc.join(" "),
            );
        }
    }
    text
}

/// Sections of a TOML file, in order; `write` prints one setting.
fn file(effective: &[Effective], write: impl Fn(&mut String, &Effective)) -> String {
    // A section of the file is written once, however the settings are sorted for people.
    let mut sections = vec![""];
    for own in effective.iter().map(section) {
        if !sections.contains(&own) {
            sections.push(own);
        }
    }
    let mut text = String::new();
    for own in sections {
        if !own.is_empty() {
            let _ = writeln!(text, "\n[{own}]");
        }
        for e in effective.iter().filter(|e| section(e) == own) {
            write(&mut text, e);
        }
    }
    text
}

fn section(e: &Effective) -> &str {
    e.key.split_once('.').map_or("", |(own, _)| own)
}

/// The key within its section. The names of librdkafka's settings have dots: TOML takes them in quotes.
fn bare(key: &str) -> Cow<'_, str> {
    let own = key.split_once('.').map_or(key, |(_, own)| own);
    let is_plain = own.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if is_plain { own.into() } else { quote(own).into() }
}
