//! What the tests of the rules of time share: an oracle, the interface to a system under test, a
//! stand-in for one, scenario files and random workloads.
//!
//! Nothing here looks at how the crate works; of it only the settings are used. The rules are those
//! of sections 3, 5 and 6 of docs/architecture.md and of section 3 of the contract.

// Every test binary compiles this folder and uses its own part of it.
#![allow(dead_code, unreachable_pub, unused_imports)]

pub use tidegate_oracle as oracle;
pub use tidegate_oracle::record;

pub mod decide;
pub mod graph;
pub mod hand;
pub mod properties;
pub mod scenario;
pub mod stand_in;
pub mod system;
pub mod systems;
pub mod workload;
