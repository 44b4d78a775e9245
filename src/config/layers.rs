//! Layers into one configuration: a function of its inputs that reports every fault at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use super::client;
use super::environment::KNOB_PREFIXES;
use super::kind::{Hidden, LogUrl, Raw, Shown};
use super::table::{self, Config, Setting};

/// A flag of the command line that sets a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag as the user typed it, `--workers`.
    pub name: String,
    /// The key of the setting.
    pub key: String,
    /// The value.
    pub value: String,
}

/// Everything that a configuration is made from.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Name and text of the file, if there is one.
    pub file: Option<(String, String)>,
    /// The environment. Names that mean nothing here are ignored.
    pub environment: BTreeMap<String, String>,
    /// The flags; a later one overrides an earlier one.
    pub flags: Vec<Flag>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table of settings.
    Default,
    /// A file, by its name.
    File(String),
    /// A variable of the environment.
    Environment(&'static str),
    /// A flag, as the user typed it.
    Flag(String),
}

impl Source {
    /// The layer, in one word.
    pub fn layer(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File(_) => "file",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::File(name) | Self::Flag(name) => name,
            Self::Environment(name) => name,
        })
    }
}

/// A setting with the value in effect.
#[derive(Clone, Debug)]
pub struct Effective {
    /// Its key, with the section.
    pub key: Cow<'static, str>,
    /// The unit of its number in JSON; empty for words.
    pub unit: &'static str,
    /// Its value, for showing.
    pub shown: Shown,
    /// Where it came from.
    pub source: Source,
}

/// What [`Inputs::resolve`] makes.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting with value and source, in the order of the documentation; those of librdkafka's that somebody made
    /// come after the others of Kafka.
    pub effective: Vec<Effective>,
    /// What should be logged, once, as soon as there is a log.
    pub notices: Vec<String>,
}

impl Loaded {
    /// What to say about settings that somebody made and that nothing uses yet; `None` when there are none.
    pub fn without_effect(&self) -> Option<String> {
        let is_unused = |key: &str| {
            let of_kafka = ["kafka.", "clickhouse.", "redis."].iter().any(|prefix| key.starts_with(prefix))
                || ["topics.events", "topics.startup_mode", "store.batch_wait"].contains(&key);
            of_kafka && self.config.log_url == LogUrl::Embedded
        };
        let made = self.effective.iter().filter(|it| it.source != Source::Default && is_unused(&it.key));
        let made: Vec<_> = made.map(|it| format!("{} ({})", it.key, it.source)).collect();
        (!made.is_empty()).then(|| {
            format!(
                "{} has no effect: the embedded log, metric store and cache are used; for Kafka, give --log kafka://; \
                 otherwise remove it, or ignore this",
                made.join(", ")
            )
        })
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file is no TOML.
    #[error("{file} is no valid TOML: {reason}")]
    NotToml {
        /// The file.
        file: String,
        /// Where and why.
        reason: String,
    },
    /// A key that means nothing.
    #[error("{place}: unknown key {key}{hint}")]
    UnknownKey {
        /// The file or flag.
        place: String,
        /// The key.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A value that is not allowed.
    #[error("{place} = {value}: {key} takes {allowed}{hint}")]
    BadValue {
        /// The file and key, the variable, or the flag.
        place: String,
        /// The value.
        value: String,
        /// The key of the setting.
        key: &'static str,
        /// What is allowed.
        allowed: String,
        /// What may have been meant.
        hint: String,
    },
}

/// Why there is no configuration: every fault, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Inputs {
    /// Resolves the layers.
    ///
    /// # Errors
    /// When a key is unknown or a value is not allowed, in any layer; all of them at once.
    pub fn resolve(&self) -> Result<Loaded, ConfigError> {
        let mut resolver = Resolver::default();
        if let Some((name, text)) = &self.file {
            resolver.file(name, text);
        }
        resolver.environment(&self.environment);
        for flag in &self.flags {
            resolver.flag(flag);
        }
        resolver.finish()
    }
}

#[derive(Default)]
struct Resolver {
    values: BTreeMap<&'static str, (Raw, Source)>,
    kafka_client: BTreeMap<String, (Hidden, Source)>,
    notices: Vec<String>,
    faults: Vec<Fault>,
}

impl Resolver {
    fn file(&mut self, name: &str, text: &str) {
        match text.parse::<toml::Table>() {
            Ok(table) => self.table(name, "", &table),
            Err(error) => {
                let reason = error.to_string().trim_end().to_owned();
                self.faults.push(Fault::NotToml { file: name.to_owned(), reason });
            }
        }
    }

    fn table(&mut self, file: &str, prefix: &str, table: &toml::Table) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            if let Some(setting) = table::find(&key) {
                let place = format!("{file}: {key}");
                self.set(setting, raw(value), None, &place, Source::File(file.to_owned()));
            } else if let (toml::Value::Table(inner), true) = (value, is_section(&key)) {
                self.table(file, &key, inner);
            } else if let Some(name) = client_setting(&key) {
                self.client(file, name, value);
            } else {
                self.unknown(file.to_owned(), key);
            }
        }
    }

    fn environment(&mut self, environment: &BTreeMap<String, String>) {
        for setting in table::all() {
            let Some(variable) = setting.variable else { continue };
            // An empty variable is how compose files spell an unset one.
            let Some(text) = environment.get(variable.name).filter(|text| !text.is_empty()) else { continue };
            let (raw, notice) = variable.form.read(text);
            if let Some(notice) = notice {
                self.notices.push(format!("{}={text}: {notice}", variable.name));
            }
            let original = format!("{text:?}");
            self.set(setting, raw, Some(original), variable.name, Source::Environment(variable.name));
        }
        let known = |name: &str| table::all().any(|s| s.variable.is_some_and(|v| v.name == name));
        for name in environment.keys().filter(|name| !known(name)) {
            if KNOB_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                let names = table::all().filter_map(|s| s.variable.map(|v| v.name));
                let hint = did_you_mean(name, names).unwrap_or_default();
                self.notices.push(format!("{name} is set but has no counterpart here; it is unused{hint}"));
            }
        }
    }

    fn flag(&mut self, flag: &Flag) {
        match table::find(&flag.key) {
            Some(setting) => {
                let raw = Raw::Text(flag.value.clone());
                self.set(setting, raw, None, &flag.name, Source::Flag(flag.name.clone()));
            }
            None if client_setting(&flag.key).is_some() => {
                let name = client_setting(&flag.key).expect("just seen");
                let made = (Hidden::new(flag.value.clone()), Source::Flag(flag.name.clone()));
                self.kafka_client.insert(name.to_owned(), made);
            }
            None => self.unknown(flag.name.clone(), flag.key.clone()),
        }
    }

    /// A setting of librdkafka's. Its names have dots, which TOML takes for tables.
    fn client(&mut self, file: &str, name: &str, value: &toml::Value) {
        let text = match value {
            toml::Value::Table(inner) => {
                for (key, value) in inner {
                    self.client(file, &format!("{name}.{key}"), value);
                }
                return;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(value) => value.to_string(),
            _ => return self.unknown(file.to_owned(), format!("kafka.{name}")),
        };
        self.kafka_client.insert(name.to_owned(), (Hidden::new(text), Source::File(file.to_owned())));
    }

    fn set(
        &mut self,
        setting: &'static Setting,
        raw: Raw,
        original: Option<String>,
        place: &str,
        source: Source,
    ) {
        if setting.kind.check(&raw).is_some() {
            self.values.insert(setting.key, (raw, source));
            return;
        }
        self.faults.push(Fault::BadValue {
            place: place.to_owned(),
            hint: unit_hint(setting, &raw),
            value: original.unwrap_or_else(|| raw.quoted()),
            key: setting.key,
            allowed: setting.kind.allowed(),
        });
    }

    fn unknown(&mut self, place: String, key: String) {
        let hint = did_you_mean(&key, table::all().map(|setting| setting.key))
            .unwrap_or_else(|| "; `tidegate config` lists every key".to_owned());
        self.faults.push(Fault::UnknownKey { place, key, hint });
    }

    fn finish(self) -> Result<Loaded, ConfigError> {
        if !self.faults.is_empty() {
            return Err(ConfigError { faults: self.faults });
        }
        let default = |key: &str| {
            let setting = table::find(key).expect("keys come from the table");
            Raw::Text(setting.default.to_owned())
        };
        let raw_of = |key: &str| self.values.get(key).map_or_else(|| default(key), |(raw, _)| raw.clone());
        let of_table = |setting: &'static Setting| Effective {
            key: setting.key.into(),
            unit: setting.kind.unit(),
            shown: setting.kind.check(&raw_of(setting.key)).expect("a test checks every default"),
            source: self.values.get(setting.key).map_or(Source::Default, |(_, source)| source.clone()),
        };
        let of_client = |(name, (value, source)): (&String, &(Hidden, Source))| Effective {
            key: format!("{CLIENT}{name}").into(),
            unit: "",
            shown: client::show(name, value),
            source: source.clone(),
        };
        let mut effective: Vec<Effective> = table::all().map(of_table).collect();
        let after =
            effective.iter().rposition(|it| it.key.starts_with(CLIENT)).map_or(effective.len(), |at| at + 1);
        effective.splice(after..after, self.kafka_client.iter().map(of_client));
        let kafka_client = self.kafka_client.iter().map(|(name, (value, _))| (name.clone(), value.clone()));
        let config = Config { kafka_client: kafka_client.collect(), ..Config::assemble(raw_of) };
        Ok(Loaded { config, effective, notices: self.notices })
    }
}

/// What keys of settings of librdkafka's begin with.
const CLIENT: &str = "kafka.";

/// The name that librdkafka has for it.
fn client_setting(key: &str) -> Option<&str> {
    key.strip_prefix(CLIENT).filter(|name| !name.is_empty())
}

fn is_section(prefix: &str) -> bool {
    table::all().any(|s| s.key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')))
}

fn raw(value: &toml::Value) -> Raw {
    match value {
        toml::Value::String(text) => Raw::Text(text.clone()),
        toml::Value::Integer(number) => Raw::Integer(*number),
        toml::Value::Boolean(value) => Raw::Bool(*value),
        toml::Value::Array(items) if items.iter().all(toml::Value::is_str) => {
            Raw::List(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        }
        other => Raw::Other(other.to_string()),
    }
}

/// A bare number where a duration belongs is the likeliest mistake of all.
fn unit_hint(setting: &Setting, raw: &Raw) -> String {
    let bare = match raw {
        Raw::Integer(number) => Some(*number),
        Raw::Text(text) => text.trim().parse::<i64>().ok(),
        _ => None,
    };
    match bare {
        Some(number) if setting.kind.unit() == "ms" && number >= 0 => {
            format!("; write \"{number}s\" for seconds")
        }
        _ => String::new(),
    }
}

fn did_you_mean<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    // The last part alone is compared as well, because the section is what people leave out.
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let likeness = |name: &str| {
        let whole = strsim::jaro_winkler(wrong, name);
        if last(wrong) == last(name) { whole.max(0.99) } else { whole }
    };
    let (best, score) = names.map(|name| (name, likeness(name))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (score > 0.88).then(|| format!("; did you mean {best}?"))
}
