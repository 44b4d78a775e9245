//! Web addresses, checked once and kept as the text that came.
//!
//! What a URL is, is decided by the `url` crate, which follows the WHATWG standard as browsers do. Its
//! normalised form is thrown away: what the client sent is what the topic holds.

use std::fmt;

use url::Url;

/// The longest URL, in bytes; the limit of the old service.
pub const URL_BYTES_MAX: usize = 2083;

/// An absolute URL whose scheme is `http` or `https`, as it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpUrl(String);

/// Why a text is no [`HttpUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpUrlError {
    /// Longer than [`URL_BYTES_MAX`].
    #[error("{bytes} bytes long; at most {URL_BYTES_MAX} are taken")]
    TooLong {
        /// The length in bytes.
        bytes: usize,
    },
    /// No URL at all, a relative one included.
    #[error(transparent)]
    NoUrl(#[from] url::ParseError),
    /// A URL of another kind, such as `ftp:` or `javascript:`.
    #[error("neither http nor https")]
    OtherScheme,
}

impl HttpUrl {
    /// Checks `text`.
    ///
    /// # Errors
    /// When it is no http or https URL, or too long.
    pub fn parse(text: impl Into<String>) -> Result<Self, HttpUrlError> {
        let text = text.into();
        if text.len() > URL_BYTES_MAX {
            return Err(HttpUrlError::TooLong { bytes: text.len() });
        }
        match Url::parse(&text)?.scheme() {
            "http" | "https" => Ok(Self(text)),
            _ => Err(HttpUrlError::OtherScheme),
        }
    }

    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept_as_it_came() {
        let text = "HTTPS://Example.com/ä?b=c d#e";
        assert_eq!(HttpUrl::parse(text).expect("a URL").as_str(), text);
    }

    #[test]
    fn a_url_says_what_is_wrong_with_it() {
        for (text, reason) in [
            ("ftp://example.com".to_owned(), "neither http nor https"),
            ("/path".to_owned(), "relative URL without a base"),
            ("http://".to_owned(), "empty host"),
            (format!("http://a/{}", "b".repeat(2075)), "2084 bytes long; at most 2083 are taken"),
        ] {
            assert_eq!(HttpUrl::parse(text).expect_err(reason).to_string(), reason);
        }
    }
}
