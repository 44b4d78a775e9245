//! How the steps of a plan are drawn.

use rand::{Rng, RngExt as _};

use super::setup::{Setup, WORKERS, one};
use super::{JobChange, Step, send};
use crate::world::faults::{Armed, Effect, Site};
use crate::world::snapshots::Spoil;

/// The steps of a plan, in order.
pub(super) fn steps(rng: &mut impl Rng, setup: &Setup) -> Vec<Step> {
    let count = rng.random_range(20..140);
    let mut steps = Vec::with_capacity(count);
    while steps.len() < count {
        // Faults come in phases: a system that is never left alone shows only that it survives.
        let calm = rng.random_ratio(1, 3);
        for _ in 0..rng.random_range(5..30) {
            steps.push(step(rng, setup, calm));
        }
    }
    steps
}

fn step(rng: &mut impl Rng, setup: &Setup, calm: bool) -> Step {
    let partition = rng.random_range(0..16);
    match rng.random_range(0..if calm { 60 } else { 94 }) {
        0..24 => Step::Send(send::draw(rng, setup.jobs.session_gap_ms)),
        24..40 => Step::Run {
            turns: one(rng, &[5, 20, 20, 60, 150]),
            starved: rng.random_ratio(1, 4).then(|| rng.random_range(0..8)),
        },
        40..57 => Step::Clock { by_ms: one(rng, &[50, 100, 100, 500, 1_000, 1_000, 3_000, 6_000, 20_000]) },
        57..60 => Step::Replicate { partition },
        60 => Step::Clock { by_ms: one(rng, &[-2_000, -500, -60_000]) },
        61 => Step::LoseLeader { partition },
        62..72 => Step::Arm(fault(rng)),
        72..75 => Step::Kill { workers: one(rng, &WORKERS) },
        75 => Step::Stop { drain: rng.random(), workers: one(rng, &WORKERS) },
        76 => Step::TakeOver { workers: one(rng, &WORKERS) },
        77 => Step::ChangeJobs(change(rng)),
        78 => Step::Wake,
        79 => Step::KillSinks { rows_max: rng.random_range(1..50) },
        80..83 => Step::Blind { partition, on: rng.random_ratio(1, 3) },
        83..85 => Step::Unreadable { partition, on: rng.random_ratio(1, 3) },
        85 => Step::Slow { partition, on: rng.random() },
        86 => one(rng, &[Step::AddPartition, Step::RetainRows].each_ref()).clone(),
        87 => Step::RetainRows,
        88 => Step::BackUpCache,
        89 => Step::RestoreCache,
        90 => Step::RetainEvents,
        // Seldom: everything that was open is given up.
        91 if rng.random_ratio(1, 4) => Step::LoseEvents { partition, quarters: rng.random_range(1..=4) },
        _ => Step::SpoilSnapshot {
            object: rng.random_range(0..16),
            how: one(rng, &[Spoil::Lost, Spoil::CutOff, Spoil::Damaged]),
        },
    }
}

fn change(rng: &mut impl Rng) -> JobChange {
    match rng.random_range(0..4) {
        0 => JobChange::EventWindow(one(rng, &[5_000, 10_000, 30_000])),
        1 => JobChange::SessionWindow(one(rng, &[5_000, 10_000, 30_000])),
        2 => JobChange::SessionGap(one(rng, &[2_000, 5_000, 10_000])),
        _ => JobChange::Lateness(one(rng, &[0, 20_000, 60_000])),
    }
}

fn fault(rng: &mut impl Rng) -> Armed {
    let sites = [
        Site::Commit,
        Site::Commit,
        Site::Store,
        Site::Cache,
        Site::Acknowledge,
        Site::Recover,
        Site::PutSnapshot,
        Site::GetSnapshot,
        Site::RemoveSnapshot,
        Site::Prune,
    ];
    let effects =
        [Effect::CrashBefore, Effect::CrashAfter, Effect::Fails, Effect::UnknownLost, Effect::UnknownKept];
    Armed { site: one(rng, &sites), skip: rng.random_range(0..6), effect: one(rng, &effects) }
}
