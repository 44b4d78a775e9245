//! Benchmarks of Tidegate.
//!
//! A suite measures parts of the product, each beside a *ceiling*: the least that any program would have to do
//! with the same data on the same machine, measured in the same round. A figure alone says how fast the
//! machine was that day; its share of a ceiling says how good the program is.
//!
//! Every suite also checks what it computes. The tests run all of them once on a little data, so that a suite
//! cannot rot; whether something is fast is never a test.

pub mod built;
pub mod clickhouse;
pub mod clock;
pub mod decode;
pub mod frames;
pub mod http;
pub mod import;
pub mod kafka;
pub mod log;
pub mod machine;
pub mod measure;
pub mod rows;
pub mod scale;
pub mod scratch;
pub mod served;
pub mod state;
pub mod table;
pub mod windows;
pub mod workload;

pub use scale::Scale;
pub use table::Table;

/// A suite, by name.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// What the command line calls it.
    pub name: &'static str,
    /// Measures it.
    pub run: fn(Scale) -> anyhow::Result<Vec<Table>>,
}

/// Every suite, in the order of the way of an event.
pub const SUITES: [Suite; 11] = [
    Suite { name: "decode", run: decode::run },
    Suite { name: "frames", run: frames::run },
    Suite { name: "windows", run: windows::run },
    Suite { name: "state", run: state::run },
    Suite { name: "log", run: log::run },
    Suite { name: "rows", run: rows::run },
    Suite { name: "import", run: import::run },
    Suite { name: "http", run: http::run },
    Suite { name: "kafka", run: kafka::run },
    Suite { name: "clickhouse", run: clickhouse::run },
    Suite { name: "served", run: served::run },
];
