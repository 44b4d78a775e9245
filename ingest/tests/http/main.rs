//! Ingest as its clients meet it: over real sockets, into a real log.

mod client;
mod cors;
mod durable;
mod full_disk;
mod hostile;
mod limits;
mod metrics;
mod old_service;
mod openapi;
mod service;
mod tables;
