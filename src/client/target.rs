//! Where requests go: an `http://` URL, checked once.

use std::fmt;

use hyper::Uri;
use hyper::header::HeaderValue;
use url::{Host, Url};

/// An URL in the parts that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
}

/// Why an URL cannot be a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is no URL.
    #[error("{text:?} is no URL ({reason}); give one such as http://127.0.0.1:8000")]
    Invalid {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It wants TLS.
    #[error(
        "{text:?} wants TLS, which this client does not speak: give the http:// address of the service itself, or of \
         a local proxy that speaks TLS to the other side"
    )]
    Tls {
        /// What was given.
        text: String,
    },
    /// It is of another scheme.
    #[error("{text:?} does not begin with http://; give an URL such as http://127.0.0.1:8000")]
    Scheme {
        /// What was given.
        text: String,
    },
    /// It holds a name or a password, which nobody would send.
    #[error("the URL for {host:?} holds a user name or a password, which is not sent: leave it out")]
    Credentials {
        /// The host alone, since the rest is secret.
        host: String,
    },
}

impl Target {
    /// Reads an URL; `path`, perhaps with a query, stands in where it has none.
    ///
    /// # Errors
    /// When it is no `http://` URL.
    pub fn parse(text: &str, path: &str) -> Result<Self, TargetError> {
        let invalid = |reason: String| TargetError::Invalid { text: text.to_owned(), reason };
        let mut url = match Url::parse(text) {
            Ok(url) => url,
            // "127.0.0.1:8000" is not even relative to anything.
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                return Err(TargetError::Scheme { text: text.to_owned() });
            }
            Err(error) => return Err(invalid(error.to_string())),
        };
        match url.scheme() {
            "http" => {}
            "https" => return Err(TargetError::Tls { text: text.to_owned() }),
            _ => return Err(TargetError::Scheme { text: text.to_owned() }),
        }
        if url.path() == "/" && url.query().is_none() {
            url = url.join(path).map_err(|error| invalid(error.to_string()))?;
        }
        url.set_fragment(None);
        let host = match url.host().ok_or_else(|| invalid("it names no host".to_owned()))? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials { host });
        }
        let port = url.port_or_known_default().ok_or_else(|| invalid("it names no port".to_owned()))?;
        let authority = HeaderValue::from_str(url.authority()).map_err(|error| invalid(error.to_string()))?;
        let query = url.query().map_or(String::new(), |query| format!("?{query}"));
        let path = format!("{}{query}", url.path())
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| invalid(error.to_string()))?;
        Ok(Self { url, host, port, authority, path })
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the header `Host` says them.
    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// Path and query.
    pub(super) fn path(&self) -> &Uri {
        &self.path
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_path_keeps_its_query() {
        let target = Target::parse("http://h:1", "/windows?limit=20").expect("an URL");
        assert_eq!(target.path().to_string(), "/windows?limit=20");
    }

    #[test]
    fn a_path_stands_in_where_there_is_none() {
        for (text, url) in [
            ("http://localhost:8000", "http://localhost:8000/track"),
            ("http://localhost:8000/", "http://localhost:8000/track"),
            ("http://[::1]:8000/other?a=b#c", "http://[::1]:8000/other?a=b"),
            ("HTTP://Example.COM", "http://example.com/track"),
        ] {
            assert_eq!(Target::parse(text, "/track").map(|target| target.to_string()).as_deref(), Ok(url));
        }
        let target = Target::parse("http://[::1]:8000/other?a=b#c", "/track").expect("a target");
        assert_eq!((target.host(), target.port()), ("::1", 8000));
        assert_eq!(
            (target.authority(), target.path()),
            (&HeaderValue::from_static("[::1]:8000"), &Uri::from_static("/other?a=b"))
        );
        assert_eq!(Target::parse("http://example.com", "/").expect("a target").port(), 80);
    }

    #[test]
    fn other_urls_say_what_to_give_instead() {
        for (text, said) in [
            ("https://example.com", "wants TLS"),
            ("ftp://example.com", "does not begin with http://"),
            ("localhost:8000", "does not begin with http://"),
            ("127.0.0.1:8000", "does not begin with http://"),
            ("http://", "is no URL"),
            ("http://a:70000", "is no URL"),
            ("http://me:secret@example.com", "holds a user name"),
        ] {
            let error = Target::parse(text, "/").expect_err(text).to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
