//! The cache over HTTP.
