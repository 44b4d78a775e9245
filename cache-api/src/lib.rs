//! The cache over HTTP (contract section 6): the newest windows as JSON, and `GET /live`, which pushes
//! every change as it happens. `docs/cache-api.md` describes it to users.
//!
//! The invariants: an answer says what it is as of, and what it says is of one instant; a change is
//! serialised once, however many read it; and no reader holds up the cache, another reader, or more
//! memory than its share of one ring. Nothing here knows a table by name: kinds, routes and fields follow
//! from [`CacheView`](tidegate_model::row::CacheView).

pub mod api;
pub mod config;
mod live;
mod metrics;
mod routes;
mod told;

pub use api::CacheApi;
pub use config::Config;
