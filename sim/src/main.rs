//! `cargo run --release -p sim -- --seeds 1000`: runs the simulator over many seeds.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Parser;
use sim::shrink::shrink;
use sim::{Plan, Report, Violation, run};
use tidegate_model::planted::{Bug, plant};

/// Simulates the whole system, with everything that can go wrong going wrong, once for each seed.
#[derive(Parser)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Simulations at a time; as many as there are cores, unless said otherwise.
    #[arg(long)]
    at_a_time: Option<usize>,
    /// Plants a known bug, to see that it is found.
    #[arg(long, value_parser = bug)]
    plant: Option<Bug>,
    /// Carries out only these steps of a seed's plan, as a report says them: 3,7-9.
    #[arg(long, value_parser = steps)]
    steps: Option<Steps>,
    /// Shows the plan and what came of it, of each seed.
    #[arg(long, short)]
    verbose: bool,
    /// Reports a violation as it is, without looking for a smaller plan.
    #[arg(long)]
    no_shrink: bool,
}

/// Numbers of steps.
#[derive(Clone)]
struct Steps(Vec<usize>);

fn bug(name: &str) -> Result<Bug, String> {
    let known = || Bug::ALL.map(Bug::name).join(", ");
    Bug::ALL
        .into_iter()
        .find(|bug| bug.name() == name)
        .ok_or_else(|| format!("there is none of that name; there are {}", known()))
}

fn steps(text: &str) -> Result<Steps, String> {
    let mut steps = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            text.parse::<usize>().map_err(|_| format!("{text:?} is no number of a step; say it as 3,7-9"))
        };
        steps.extend(number(from)?..=number(to)?);
    }
    Ok(Steps(steps))
}

/// Numbers as [`steps`] reads them.
fn said(steps: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for step in steps {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == *step => *to = *step,
            _ => runs.push((*step, *step)),
        }
    }
    let run = |(from, to): &(usize, usize)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    plant(args.plant);
    // A panic of the product's is caught, and part of the report.
    std::panic::set_hook(Box::new(|_| {}));
    let began = Instant::now();
    let outcome = all(&args)?;
    let Outcome { reports, found } = outcome;
    let sum = |of: fn(&Report) -> u64| reports.values().map(of).sum::<u64>();
    println!(
        "{} seeds in {:.1} s: {} events acknowledged, {} epochs, {} rows, {} processes, {} from a snapshot, {} across a gap, {} faults",
        reports.len() + found.len(),
        began.elapsed().as_secs_f64(),
        sum(|report| report.events),
        sum(|report| report.epochs),
        sum(|report| report.rows),
        sum(|report| report.processes),
        sum(|report| report.restored),
        sum(|report| report.gaps),
        sum(|report| report.faults),
    );
    if let Some((seed, violation)) = found.first_key_value() {
        show(&args, *seed, violation);
        bail!("{} of the seeds found something", found.len());
    }
    println!("every promise held");
    Ok(())
}

/// What the seeds came to.
#[derive(Default)]
struct Outcome {
    reports: BTreeMap<u64, Report>,
    found: BTreeMap<u64, Violation>,
}

fn plan_of(args: &Args, seed: u64) -> Plan {
    let plan = Plan::of(seed);
    args.steps.as_ref().map_or(plan.clone(), |steps| plan.keep(&steps.0))
}

/// Runs every seed, until one finds something.
fn all(args: &Args) -> anyhow::Result<Outcome> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(args.first_seed);
    let until = args.first_seed.checked_add(args.seeds).context("--first-seed and --seeds exceed 2^64")?;
    let outcome = Mutex::new(Outcome::default());
    let lock = || outcome.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..args.at_a_time.unwrap_or(cores).max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= until || !lock().found.is_empty() {
                        return;
                    }
                    let plan = plan_of(args, seed);
                    let ran = run(&plan);
                    if args.verbose {
                        println!("seed {seed}: {:#?}\n{:?}\n{ran:?}", plan.setup, plan.steps);
                    }
                    match ran {
                        Ok(report) => lock().reports.insert(seed, report).map(|_| ()),
                        Err(violation) => lock().found.insert(seed, violation).map(|_| ()),
                    };
                }
            });
        }
    });
    Ok(outcome.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Shows what a seed found, as small as it gets, and how to see it again.
fn show(args: &Args, seed: u64, violation: &Violation) {
    let plan = plan_of(args, seed);
    let (smallest, shown) = if args.no_shrink { (plan, violation.clone()) } else { shrink(&plan, violation) };
    println!("\nseed {seed} found: {violation}");
    println!("\nwith {} of its steps left: {shown}", smallest.steps.len());
    println!("\n{:#?}", smallest.setup);
    for (number, step) in &smallest.steps {
        println!("{number:>4} {step:?}");
    }
    let numbers: Vec<usize> = smallest.steps.iter().map(|(number, _)| *number).collect();
    let planted = args.plant.map(|bug| format!(" --plant {}", bug.name())).unwrap_or_default();
    println!(
        "\nto see it again: cargo run --release -p sim --{planted} --seeds 1 --first-seed {seed} --steps {}",
        said(&numbers)
    );
}
