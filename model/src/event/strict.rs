//! The strict decoder: an event, or every fault of the body at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::fault::{DecodeError, Fault, segment};
use super::http_url::HttpUrl;
use super::lenient::{self, Scalar};
use super::raw::{Leaf, Members, document};
use super::{Defaults, Event, Property};

/// How many faults of `properties` are told one by one. The other fields are few; a map can have as
/// many faults as the body has room for.
const PROPERTY_FAULTS_MAX: usize = 32;

/// What a rule makes of a value, or what it expected instead.
type Read<T> = Result<T, Cow<'static, str>>;

impl Event {
    /// Reads an event from the JSON that a client sent, or that the topic holds.
    ///
    /// # Errors
    /// When the body is no JSON, or with all the faults that keep it from being an event.
    pub fn decode(body: &[u8], defaults: &Defaults) -> Result<Self, DecodeError> {
        let root = document(body)?;
        let mut reader = Reader { faults: Vec::new() };
        let root = reader.object("", Some(root), "an object");
        let event = reader.section(&root, "/event", "an object with type");
        let user = reader.section(&root, "/user", "an object with id");
        let device =
            reader.section(&root, "/device", "an object with user_agent, screen_width and screen_height");
        let context = reader.section(&root, "/context", "an object with url and session_id");
        let metrics = reader.section(&root, "/metrics", "an object, {} at least");

        // Every field is read before the first `?` below, so that all faults are found.
        let id = reader.field(&event, "id", |value| uuid(value, defaults.id));
        let event_type = reader.field(&event, "type", text);
        let user_id = reader.field(&user, "id", text);
        let user_agent = reader.field(&device, "user_agent", text);
        let screen_width = reader.field(&device, "screen_width", integer);
        let screen_height = reader.field(&device, "screen_height", integer);
        let url = reader.field(&context, "url", http_url);
        let referrer = reader.field(&context, "referrer", |value| optional(value, http_url));
        let ip_address = reader.field(&context, "ip_address", |value| optional(value, ip_address));
        let session_id = reader.field(&context, "session_id", text);
        let load_time = reader.field(&metrics, "load_time", optional_integer);
        let interaction_time = reader.field(&metrics, "interaction_time", optional_integer);
        let timestamp =
            reader.field(&root, "timestamp", |value| Ok(lenient::timestamp(value, defaults.now)?));
        let properties = reader.properties(&root);

        let complete = || {
            Some(Self {
                id: id?,
                event_type: event_type?,
                user_id: user_id?,
                user_agent: user_agent?,
                screen_width: screen_width?,
                screen_height: screen_height?,
                url: url?,
                referrer: referrer?,
                ip_address: ip_address?,
                session_id: session_id?,
                properties: properties?,
                load_time: load_time?,
                interaction_time: interaction_time?,
                timestamp: timestamp?,
            })
        };
        complete().ok_or(DecodeError::Faults(reader.faults))
    }
}

/// Collects faults. What it reads is `None` where it has told a fault.
struct Reader {
    faults: Vec<Fault>,
}

/// An object of the body; without members when it is none, which has been told.
struct Section<'a> {
    pointer: &'static str,
    members: Option<Members<'a>>,
}

impl Reader {
    fn object<'a>(
        &mut self,
        pointer: &'static str,
        raw: Option<&'a RawValue>,
        expected: &'static str,
    ) -> Section<'a> {
        let members = raw.and_then(Members::of);
        if members.is_none() {
            self.fault(pointer.to_owned(), raw, expected);
        }
        Section { pointer, members }
    }

    /// The object at `pointer`, one step below the root.
    fn section<'a>(
        &mut self,
        root: &Section<'a>,
        pointer: &'static str,
        expected: &'static str,
    ) -> Section<'a> {
        match &root.members {
            Some(members) => self.object(pointer, members.get(&pointer[1..]), expected),
            None => Section { pointer, members: None },
        }
    }

    fn field<T>(
        &mut self,
        section: &Section<'_>,
        name: &str,
        rule: impl FnOnce(Scalar<'_>) -> Read<T>,
    ) -> Option<T> {
        let raw = section.members.as_ref()?.get(name);
        let leaf = raw.map(Leaf::of);
        match rule(leaf.as_ref().map_or(Scalar::Absent, Leaf::scalar)) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.fault(format!("{}/{name}", section.pointer), raw, expected);
                None
            }
        }
    }

    fn properties(&mut self, root: &Section<'_>) -> Option<BTreeMap<String, Property>> {
        let Some(raw) = root.members.as_ref()?.get("properties") else {
            return Some(BTreeMap::new());
        };
        let members = self.object("/properties", Some(raw), "an object of strings and numbers").members?;
        // The last of equal names is the one that counts, for faults as well.
        let members: BTreeMap<_, _> = members.into_iter().collect();
        let mut properties = BTreeMap::new();
        let mut faulty = 0;
        for (name, raw) in members {
            match property(Leaf::of(raw)) {
                Ok(value) => {
                    properties.insert(name.into_owned(), value);
                }
                Err(expected) => {
                    faulty += 1;
                    if faulty <= PROPERTY_FAULTS_MAX {
                        self.fault(format!("/properties{}", segment(&name)), Some(raw), expected);
                    }
                }
            }
        }
        if let Some(more @ 1..) = faulty.checked_sub(PROPERTY_FAULTS_MAX) {
            let value = format!("{more} more values that are none");
            let expected = "strings and numbers".to_owned();
            self.faults.push(Fault { pointer: "/properties".to_owned(), value, expected });
        }
        (faulty == 0).then_some(properties)
    }

    fn fault(&mut self, pointer: String, raw: Option<&RawValue>, expected: impl Into<String>) {
        self.faults.push(Fault::new(pointer, raw.map(RawValue::get), expected));
    }
}

fn text(value: Scalar<'_>) -> Read<String> {
    lenient::text(value).map(str::to_owned).map_err(|_| lenient::TEXT.into())
}

fn integer(value: Scalar<'_>) -> Read<i64> {
    lenient::integer(value).map_err(|_| lenient::INTEGER.into())
}

fn optional_integer(value: Scalar<'_>) -> Read<Option<i64>> {
    lenient::optional_integer(value).map_err(|_| lenient::OPTIONAL_INTEGER.into())
}

/// `null` says as much as no field at all.
fn optional<T>(value: Scalar<'_>, rule: impl FnOnce(Scalar<'_>) -> Read<T>) -> Read<Option<T>> {
    match value {
        Scalar::Absent | Scalar::Null => Ok(None),
        given => rule(given).map(Some).map_err(|expected| format!("null or {expected}").into()),
    }
}

fn uuid(value: Scalar<'_>, default: Uuid) -> Read<Uuid> {
    match value {
        Scalar::Absent => Ok(default),
        given => lenient::text(given).ok().and_then(uuid_of_text).ok_or("a UUID".into()),
    }
}

/// The forms are listed here, because the crate takes more of them from version to version.
fn uuid_of_text(text: &str) -> Option<Uuid> {
    let braced = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let (bare, hyphens_needed) = match braced.or_else(|| text.strip_prefix("urn:uuid:")) {
        Some(bare) => (bare, true),
        None => (text, false),
    };
    let fits = bare.len() == 36 || bare.len() == 32 && !hyphens_needed;
    fits.then(|| Uuid::try_parse(bare).ok()).flatten()
}

fn ip_address(value: Scalar<'_>) -> Read<IpAddr> {
    match lenient::text(value).map(str::parse) {
        Ok(Ok(address)) => Ok(address),
        _ => Err("an IPv4 or IPv6 address without port, prefix and zone".into()),
    }
}

fn http_url(value: Scalar<'_>) -> Read<HttpUrl> {
    let Ok(text) = lenient::text(value) else {
        return Err("an http or https URL".into());
    };
    HttpUrl::parse(text).map_err(|error| format!("an http or https URL ({error})").into())
}

fn property(value: Leaf<'_>) -> Read<Property> {
    match value {
        Leaf::Text(text) => Ok(Property::Text(text.into_owned())),
        Leaf::Number(number) if lenient::is_integer_literal(number) => lenient::integer_of_number(number)
            .map(Property::Int)
            .map_err(|_| "a string or a number, integers of 64 bits".into()),
        Leaf::Number(number) => number.parse().map(Property::Float).map_err(|_| "a number".into()),
        Leaf::Null | Leaf::Other => Err("a string or a number".into()),
    }
}

#[cfg(test)]
mod tests;
