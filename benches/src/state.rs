//! What is open: how much memory it takes, how long the worker stands still for a snapshot of it, and how soon a
//! start has it back.

mod restart;
pub mod worker;

use std::cell::RefCell;
use std::hint::black_box;
use std::process::Command;

use anyhow::{Context, ensure};
use tidegate_dataflow::snapshot::{Captured, Object, Restored, decode, encode};

use self::worker::{Held, Worked};
use crate::measure::{By, Done, Group};
use crate::{Scale, Table, built};

const SESSIONS: usize = 1_000_000;

/// Measures open sessions and users of open windows.
///
/// # Errors
/// When a file cannot be written, or the program that measures memory does not run.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let count = scale.of(SESSIONS);
    let mut tables = snapshots(scale, count)?;
    tables.push(memory("Open sessions, and the memory that they take", "sessions", scale)?);
    tables.push(memory("Distinct users of an open window, and the memory that they take", "users", scale)?);
    tables.push(restart::measure(scale, count)?);
    Ok(tables)
}

/// A worker's snapshot of so many open sessions.
fn snapshots(scale: Scale, count: usize) -> anyhow::Result<Vec<Table>> {
    let mut worked = Worked::start(None);
    worked.visit(Held::Sessions, count);
    let (captured, _) = worked.snapshot();
    let bytes = encode(captured);
    let object = decode(&bytes)?;
    let sessions = |object: &Object| object.groups.iter().map(|group| group.sessions.len()).sum::<usize>();
    assert_eq!(sessions(&object), count, "every session is in the snapshot");
    let (state, open) = (worked.state().clone(), worked.open().sessions);
    assert_eq!(usize::try_from(open), Ok(count), "every session is open");
    let worked = RefCell::new(worked);
    let taken: RefCell<Option<Captured>> = RefCell::new(None);
    let size = format!("{} B a session", bytes.len() / count);
    let title = "A snapshot of open sessions, one worker";
    let first = Group::new(title, By::Wall, "sessions", count, bytes.len())
        .ceiling("memory copy", || {
            Ok(Done::by(|| black_box(&bytes).clone(), |copy| assert_eq!(copy.len(), bytes.len())))
        })
        .case("the worker stands still", || {
            let mut worked = worked.borrow_mut();
            let quiet = worked.rest();
            let (captured, took) = worked.snapshot();
            *taken.borrow_mut() = Some(captured);
            let note = format!("{:.1} ms; an epoch without one {:.1} ms", ms(took.wall), ms(quiet.wall));
            Ok(Done { took, note })
        })
        .case("`encode`", || {
            let captured = taken.borrow_mut().take().expect("the case before left it");
            let done = Done::by(|| encode(captured), |out| assert_eq!(out.len(), bytes.len()));
            Ok(done.noted(size.clone()))
        })
        .case("`decode`", || {
            Ok(Done::by(|| decode(&bytes), |found| assert_eq!(found.as_ref().map(sessions), Ok(count))))
        })
        .case("a graph that starts from it", || {
            let restored = Restored::new(object.epoch, vec![object.clone()]);
            let start = || Worked::start(Some((restored, state.clone())));
            Ok(Done::by(start, |worked| assert_eq!(worked.open().sessions, open)))
        })
        .measure(scale)?;
    let again =
        Group::new("An event for each of the open sessions, one worker", By::Wall, "events", count, 0)
            .ceiling("no snapshot", || Ok(worked.borrow_mut().visit(Held::Sessions, count)))
            .case("after a snapshot, which is there", || {
                let (captured, _) = worked.borrow_mut().snapshot();
                let done = worked.borrow_mut().visit(Held::Sessions, count);
                drop(captured);
                Ok(done)
            })
            .measure(scale)?;
    Ok(vec![first, again])
}

fn ms(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Each case in a process of its own, of which the memory is asked.
fn memory(title: &str, what: &'static str, scale: Scale) -> anyhow::Result<Table> {
    let program = built::program("tidegate-benches", "open", scale)?;
    let measure = |how: &'static str| {
        let program = program.clone();
        move || {
            let counts = [scale.of(SESSIONS), scale.of(2 * SESSIONS), scale.of(3 * SESSIONS)];
            let mut notes = Vec::new();
            let mut took = None;
            for count in counts {
                let output = Command::new(&program).args([how, what, &count.to_string()]).output()?;
                ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let said = String::from_utf8(output.stdout)?;
                let mut numbers = said.split_whitespace().map(str::parse::<f64>);
                let mut number = || numbers.next().context("a number is missing")?.context(said.clone());
                let (seconds, cpu, bytes) = (number()?, number()?, number()?);
                took.get_or_insert_with(|| crate::clock::Took {
                    wall: std::time::Duration::from_secs_f64(seconds),
                    cpu: std::time::Duration::from_secs_f64(cpu),
                });
                notes.push(format!("{bytes:.0}"));
            }
            let took = took.context("there are counts")?;
            Ok(Done { took, note: format!("{} B", notes.join(", ")) })
        }
    };
    Group::new(title, By::Cpu, what, scale.of(SESSIONS), 0)
        .rounds(3)
        .ceiling("a hash map", measure("map"))
        .case("the graph", measure("graph"))
        .measure(scale)
}
