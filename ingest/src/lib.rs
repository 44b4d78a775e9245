//! Events over HTTP into the log.
