//! Kinds of settings that say who listens where, and who may call.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::json;
use tidegate_server::Origins;

use super::{Kind, Raw, Shown, quote, words};

/// Where to listen: a port, and perhaps an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAt {
    /// The address, where one was given.
    pub host: Option<IpAddr>,
    /// The port; 0 takes any free one.
    pub port: u16,
}

impl ListenAt {
    /// The address to bind; `host` is that of settings that name a port only.
    pub fn address(self, host: IpAddr) -> SocketAddr {
        SocketAddr::new(self.host.unwrap_or(host), self.port)
    }
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => SocketAddr::new(host, self.port).fmt(f),
            None => self.port.fmt(f),
        }
    }
}

/// Which log is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogUrl {
    /// The one in the data directory.
    Embedded,
    /// Kafka, at these brokers; `None`: where other settings say.
    Kafka(Option<String>),
}

/// `embedded`, or the URL of a Kafka.
#[derive(Debug)]
pub struct LogAt;

impl Kind for LogAt {
    type Value = LogUrl;

    fn parse(&self, raw: &Raw) -> Option<LogUrl> {
        let text = raw.text()?.trim();
        if text == "embedded" {
            return Some(LogUrl::Embedded);
        }
        let hosts = text.strip_prefix("kafka://")?.trim_end_matches('/');
        let is_host = |host: &str| !host.is_empty() && !host.contains(['/', ' ', '@']);
        let all = (!hosts.is_empty()).then(|| hosts.to_owned());
        all.as_ref().is_none_or(|hosts| hosts.split(',').all(is_host)).then_some(LogUrl::Kafka(all))
    }

    fn allowed(&self) -> String {
        "embedded, or kafka:// and brokers, such as kafka://localhost:9092".to_owned()
    }

    fn show(&self, value: &LogUrl) -> Shown {
        match value {
            LogUrl::Embedded => words("embedded"),
            LogUrl::Kafka(hosts) => words(&format!("kafka://{}", hosts.as_deref().unwrap_or_default())),
        }
    }
}

/// A port, or an address and a port.
#[derive(Debug)]
pub struct Listen;

impl Kind for Listen {
    type Value = ListenAt;

    fn parse(&self, raw: &Raw) -> Option<ListenAt> {
        if let Some(number) = raw.number() {
            return Some(ListenAt { host: None, port: u16::try_from(number).ok()? });
        }
        let text = raw.text()?.trim();
        if let Some(port) = text.strip_prefix("localhost:") {
            return Some(ListenAt { host: Some(Ipv4Addr::LOCALHOST.into()), port: port.parse().ok()? });
        }
        let address: SocketAddr = text.parse().ok()?;
        Some(ListenAt { host: Some(address.ip()), port: address.port() })
    }

    fn allowed(&self) -> String {
        "a port from 0 (any free one) to 65535, or an address and a port such as 0.0.0.0:8000".to_owned()
    }

    fn show(&self, value: &ListenAt) -> Shown {
        let text = value.to_string();
        match value.host {
            Some(_) => words(&text),
            None => Shown { json: json!(value.port), toml: Some(text.clone()), text },
        }
    }
}

/// An address of a machine.
#[derive(Debug)]
pub struct Address;

impl Kind for Address {
    type Value = IpAddr;

    fn parse(&self, raw: &Raw) -> Option<IpAddr> {
        match raw.text()?.trim() {
            "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
            text => text.parse().ok(),
        }
    }

    fn allowed(&self) -> String {
        "an IP address; 0.0.0.0 is every one of this machine".to_owned()
    }

    fn show(&self, value: &IpAddr) -> Shown {
        words(&value.to_string())
    }
}

/// A list of origins of web pages. As text it is a JSON list or separated by commas; it may be empty.
#[derive(Debug)]
pub struct OriginList;

impl Kind for OriginList {
    type Value = Origins;

    fn parse(&self, raw: &Raw) -> Option<Origins> {
        let items: Vec<String> = match raw {
            Raw::List(items) => items.clone(),
            Raw::Text(text) if text.trim_start().starts_with('[') => serde_json::from_str(text).ok()?,
            Raw::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => return None,
        };
        Origins::parse(&items).ok()
    }

    fn allowed(&self) -> String {
        r#"a list of origins such as ["https://shop.example"], or ["*"] for every one"#.to_owned()
    }

    fn show(&self, value: &Origins) -> Shown {
        let origins: Vec<&str> = match value {
            Origins::None => Vec::new(),
            Origins::Any => vec!["*"],
            Origins::Listed(listed) => listed.iter().filter_map(|origin| origin.to_str().ok()).collect(),
        };
        let list: Vec<String> = origins.iter().map(|origin| quote(origin)).collect();
        let text = format!("[{}]", list.join(","));
        Shown { json: json!(origins), toml: Some(text.clone()), text }
    }
}
