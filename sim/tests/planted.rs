//! The simulator bites: every known bug is found when it is planted.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sim::{Plan, run};
use tidegate_model::planted::{Bug, plant};

const SEEDS_MAX: u64 = 1_000;

/// The first seed that finds what is planted, and what it finds.
fn first_to_find() -> Option<(u64, String)> {
    let (next, found_one) = (AtomicU64::new(0), AtomicBool::new(false));
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while !found_one.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SEEDS_MAX {
                        return;
                    }
                    if let Err(violation) = run(&Plan::of(seed)) {
                        found_one.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((seed, violation.promise.to_owned()));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().min()
}

#[test]
fn every_planted_bug_is_found() {
    // Panics are part of what is found.
    std::panic::set_hook(Box::new(|_| {}));
    let table: Vec<_> = Bug::ALL
        .into_iter()
        .map(|bug| {
            plant(Some(bug));
            let found = first_to_find();
            plant(None);
            if let Some((seed, promise)) = &found {
                let without = run(&Plan::of(*seed));
                assert!(
                    without.is_ok(),
                    "seed {seed} breaks a promise without {}, too: {promise}",
                    bug.name()
                );
            }
            (bug.name(), found)
        })
        .collect();
    let _ = std::panic::take_hook();
    for (bug, found) in &table {
        match found {
            Some((seed, promise)) => println!("{bug:<26} seed {seed:<4} {promise}"),
            None => println!("{bug:<26} was not found"),
        }
    }
    let missed: Vec<_> = table.iter().filter(|(_, found)| found.is_none()).map(|(bug, _)| bug).collect();
    assert!(missed.is_empty(), "not found within {SEEDS_MAX} seeds: {missed:?}");
}
