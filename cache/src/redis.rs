//! The cache in a Redis: readers anywhere have it, and it outlives this process.
//!
//! Every request is one call of a function in the server (`redis/library/*.lua`), so that it happens whole and nothing
//! is read in between. What a sink needs to go on (positions, epochs beside the values, as of) lies in Redis
//! itself: one that was emptied, or restored from an old state, says so by where it stands, and is filled
//! again from there. One writer writes: each carries a generation, and a later one fences those before. Keys and channels are those of contract section 5; the rest is under `tidegate:`.
//!
//! The server must not evict what has no time to live (`maxmemory-policy` is `noeviction` or one of `volatile-*`);
//! one that may is refused. A window that it let go of, in whole or in part, is known to be gone, and does not come back in part.

mod change;
mod client;
mod config;
mod failure;
mod held;
mod inspect;
mod library;
mod number;
mod reader;
mod request;
mod sentinel;
mod server;
mod turns;
mod updates;
mod writer;

pub use config::{HostPort, NoHostPort, Password, RedisAt, RedisConfig, Sentinels};
pub use inspect::{Inspection, inspect};
pub use reader::RedisReader;
pub use updates::RedisUpdates;
pub use writer::RedisWriter;
