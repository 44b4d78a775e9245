//! Real servers for tests and for developers: fetched once, started on free ports, ended with whoever started
//! them.
//!
//! A server of one's own takes the place of a fetched one where the environment names it. Nothing of the
//! product imports this crate.

pub mod clickhouse;
pub mod kafka;
pub mod redis;
pub mod tools;

mod fetched;
mod ports;
mod process;

pub use clickhouse::{ClickHouse, test_clickhouse};
pub use kafka::{Kafka, test_kafka};
pub use redis::{Redis, test_redis};
