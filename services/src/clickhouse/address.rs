//! Where a ClickHouse listens: for HTTP, and for its native protocol.

use std::fmt;
use std::str::FromStr;

/// The ports of one server. As text it is `host:httpport,nativeport`; the native port may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IPv4 address.
    pub host: String,
    /// The port of HTTP.
    pub http: u16,
    /// The port of the native protocol, where one is known.
    pub native: Option<u16>,
}

impl Address {
    /// What clients of HTTP connect to: `host:port`.
    pub fn http_address(&self) -> String {
        format!("{}:{}", self.host, self.http)
    }

    /// What clients of the native protocol connect to: `host:port`.
    pub fn native_address(&self) -> Option<String> {
        self.native.map(|port| format!("{}:{port}", self.host))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.http)?;
        self.native.map_or(Ok(()), |port| write!(f, ",{port}"))
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parse = || {
            let (host, ports) = text.split_once(':').filter(|(host, _)| !host.is_empty())?;
            let (http, native) = match ports.split_once(',') {
                Some((http, native)) => (http, Some(native.parse().ok()?)),
                None => (ports, None),
            };
            Some(Self { host: host.to_owned(), http: http.parse().ok()?, native })
        };
        parse().ok_or_else(|| anyhow::anyhow!("{text:?} is not host:httpport or host:httpport,nativeport"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        for (text, host, http, native) in
            [("127.0.0.1:8123,9000", "127.0.0.1", 8123, Some(9000)), ("db:80", "db", 80, None)]
        {
            let address: Address = text.parse().expect("it is an address");
            assert_eq!(address, Address { host: host.to_owned(), http, native });
            assert_eq!(address.to_string(), text);
        }
        for wrong in ["", "db", ":8123", "db:", "db:99999", "db:8123,", "db:8123,x"] {
            let error = wrong.parse::<Address>().expect_err("it is none").to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
