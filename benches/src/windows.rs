//! The windows: all jobs, from decoded events to serialised rows, through the graph as it runs in the product.

mod drive;
mod plain;

use std::sync::Arc;

pub use drive::{Outcome, drive};
use plain::Sessions;

use crate::measure::{By, Done, Group};
use crate::workload::{MemoryLog, Workload};
use crate::{Scale, Table};

const EVENTS: usize = 1_000_000;
/// Events of an epoch.
pub const CUT: usize = 100_000;

/// Measures the jobs.
///
/// # Errors
/// None.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let log = Arc::new(MemoryLog::new(Workload::new(2), scale.of(EVENTS), 6, scale.of(CUT)));
    let expected = plain::count(&log, Sessions::Counted);
    let (log, expected) = (&log, &expected);
    let graph = |workers: usize| {
        move || {
            let mut rows = 0;
            let done = Done::by(
                || drive(log, workers),
                |epochs| {
                    assert_eq!(Outcome::of(&epochs), *expected, "the rows of {workers} workers");
                    rows = epochs.iter().map(|epoch| epoch.rows.len()).sum::<usize>();
                },
            );
            Ok(done.noted(format!("{rows} rows")))
        }
    };
    let plain = |mode| move || Ok(Done::by(|| plain::count(log, mode), |found| assert_eq!(found, *expected)));
    let group = |by, title: &str| Group::new(title, by, "events", log.count(), log.bytes());
    let table = group(By::Cpu, "All jobs, from decoded events to rows")
        .ceiling("memory scan", || Ok(Done::by(|| plain::scan(log), |sum| assert_ne!(sum, 0))))
        .ceiling("plain hash maps", plain(Sessions::Counted))
        .ceiling("plain hash maps, sessions as rows", plain(Sessions::Written))
        .case("the graph, 1 worker", graph(1))
        .case("the graph, 2 workers", graph(2))
        .measure(scale)?;
    Ok(vec![table])
}
