//! Which pages of other origins may call us.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(1);

/// Origins whose pages may call us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// None but our own.
    #[default]
    None,
    /// All of them.
    Any,
    /// These, each `scheme://host` or `scheme://host:port`, as browsers write them.
    Listed(Vec<HeaderValue>),
}

/// The text is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin such as https://shop.example, and not *")]
pub struct OriginError(String);

impl Origins {
    /// Reads a list of origins; `*` stands for all.
    ///
    /// # Errors
    /// When one is no origin.
    pub fn parse<S: AsRef<str>>(origins: &[S]) -> Result<Self, OriginError> {
        if origins.iter().any(|origin| origin.as_ref() == "*") {
            return Ok(Self::Any);
        }
        let listed: Result<Vec<_>, _> = origins.iter().map(|origin| one(origin.as_ref())).collect();
        let listed = listed?;
        Ok(if listed.is_empty() { Self::None } else { Self::Listed(listed) })
    }
}

/// An origin has a scheme and a host, perhaps a port, and nothing behind.
fn one(text: &str) -> Result<HeaderValue, OriginError> {
    let wrong = || OriginError(text.to_owned());
    let uri: axum::http::Uri = text.parse().map_err(|_| wrong())?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(wrong)?;
    if format!("{scheme}://{authority}") != text || authority.as_str().contains('@') {
        return Err(wrong());
    }
    HeaderValue::from_str(&text.to_ascii_lowercase()).map_err(|_| wrong())
}

/// Answers preflights, and marks answers as readable by pages of `origins`, the headers `exposed`
/// included. Credentials are never allowed: nothing here uses any.
pub fn cors(origins: &Origins, methods: Vec<Method>, exposed: Vec<HeaderName>) -> CorsLayer {
    let allowed = match origins {
        Origins::None => AllowOrigin::list([]),
        Origins::Any => AllowOrigin::any(),
        Origins::Listed(listed) => AllowOrigin::list(listed.clone()),
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(methods)
        .allow_headers([header::CONTENT_TYPE, HeaderName::from_static("last-event-id")])
        .expose_headers(exposed)
        .max_age(PREFLIGHT_MAX_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_and_host() {
        let listed = Origins::parse(&["https://Shop.example", "http://localhost:3000"]).expect("two origins");
        let expected = ["https://shop.example", "http://localhost:3000"].map(HeaderValue::from_static);
        assert_eq!(listed, Origins::Listed(expected.to_vec()));
        assert_eq!(Origins::parse(&["https://a.example", "*"]), Ok(Origins::Any));
        assert_eq!(Origins::parse::<&str>(&[]), Ok(Origins::None));
        for wrong in
            ["shop.example", "https://", "https://a.example/", "https://a.example/x", "https://u@a", ""]
        {
            let error = Origins::parse(&[wrong]).expect_err(wrong).to_string();
            assert!(error.starts_with(&format!("{wrong:?} is no origin")), "{error}");
        }
    }
}
