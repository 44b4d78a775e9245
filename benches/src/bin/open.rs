//! `open HOW WHAT COUNT`: opens so many sessions or users, and prints how many seconds that took, how many of
//! CPU time, and how many bytes each of them takes beside its names.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, bail};
use tidegate_benches::clock::timed;
use tidegate_benches::state::worker::{Held, NAMES, Worked};
use tidegate_dataflow::hash::HashKey;

/// That of the program `tidegate`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A little, so that what is there in any case is there before memory is asked for.
const FIRST: usize = 10_000;

/// A session as somebody would hold it who only counts pages.
struct Session {
    start_ms: i64,
    last_ms: i64,
    pages: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [how, what, count] = &arguments[..] else { bail!("usage: open map|graph sessions|users COUNT") };
    let count: usize = count.parse().context("COUNT is a number")?;
    let held = match &**what {
        "sessions" => Held::Sessions,
        "users" => Held::Users,
        other => bail!("{other}: neither sessions nor users"),
    };
    let names = if held == Held::Sessions { NAMES } else { 0 };
    let (before, after, took);
    match (&**how, held) {
        ("graph", _) => {
            let mut worked = Worked::start(None);
            worked.visit(held, FIRST);
            before = resident()?;
            took = worked.visit(held, count).took;
            after = resident()?;
            let open = if held == Held::Sessions { worked.open().sessions } else { worked.open().users };
            anyhow::ensure!(usize::try_from(open)? >= count, "{open} of {count} are open");
        }
        ("map", Held::Sessions) => {
            let mut map: HashMap<(String, String), Session> = HashMap::new();
            before = resident()?;
            ((), took) = timed(|| {
                for (number, at) in (0..count).zip(0..) {
                    let key = (format!("u{number:011}"), format!("s{number:019}"));
                    let new = || Session { start_ms: at, last_ms: at, pages: 0 };
                    let session = map.entry(key).or_insert_with(new);
                    session.last_ms = session.start_ms.max(at);
                    session.pages += 1;
                }
            });
            after = resident()?;
            std::hint::black_box(&map);
        }
        ("map", Held::Users) => {
            let mut set = HashSet::new();
            before = resident()?;
            let key = HashKey(11, 7);
            ((), took) = timed(|| set.extend((0..count).map(|number| key.hash(&format!("u{number:011}")))));
            after = resident()?;
            anyhow::ensure!(set.len() == count, "hashes of 64 bits are distinct");
        }
        (other, _) => bail!("{other}: neither a map nor the graph"),
    }
    let bytes = after.saturating_sub(before) as f64 / count as f64 - names as f64;
    println!("{} {} {bytes}", took.wall.as_secs_f64(), took.cpu.as_secs_f64());
    Ok(())
}

/// Bytes of this process that are in memory.
fn resident() -> anyhow::Result<u64> {
    // The second field of proc_pid_statm(5).
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).context("a field is missing")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
