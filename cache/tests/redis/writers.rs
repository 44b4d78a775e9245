//! Two writers at once, by mistake or because one wakes up: the later one writes, the earlier one is told, and no
//! position ever moves back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tidegate_cache::conformance::{NOW, Subject as _, TOPIC, batch, events, row};
use tidegate_cache::redis::RedisWriter;
use tidegate_cache::{
    Ask, CacheReader as _, CacheWriter, Config, Gap, MemoryCache, Positions, Seed, Standing, WriteError,
};
use tidegate_model::{Offset, PartitionId};

use crate::loss::log_row;
use crate::subject::{RedisCache, Server, as_of};

type Request<'a> = Box<dyn Fn(&mut RedisWriter) -> Result<(), WriteError> + 'a>;

/// Everything that changes a cache.
fn requests(at: &Positions) -> [Request<'_>; 7] {
    [
        Box::new(|cache| cache.apply(&batch(1, vec![row(9, 5, "a", 9), row(9, 6, "a", 9)]), NOW).map(drop)),
        Box::new(|cache| {
            let missing = Offset(2)..Offset(9);
            cache.skip(&Gap { topic: TOPIC.into(), partition: PartitionId(0), missing, view: Some(events()) })
        }),
        Box::new(|cache| cache.adopt(&(TOPIC.into(), PartitionId(0)), Offset(1))),
        Box::new(|cache| cache.seed(&Seed::default(), NOW)),
        Box::new(|cache| cache.set_as_of(Some(as_of(1)), at)),
        Box::new(|cache| cache.expire(NOW)),
        Box::new(|cache| {
            let standing = Standing { as_of: Some(as_of(1)), at };
            cache
                .advance(&[batch(1, vec![row(9, 5, "a", 9), row(9, 6, "a", 9)])], Some(standing), NOW)
                .map(drop)
        }),
    ]
}

fn generations(error: &WriteError) -> (u64, u64) {
    match error {
        WriteError::Fenced { generation, by, .. } => (*generation, *by),
        other => panic!("{other}"),
    }
}

/// The whole server, apart from what counts every look.
fn everything(server: &Server) -> Vec<String> {
    let mut keys: Vec<_> = server.told("KEYS *").split(' ').map(str::to_owned).collect();
    keys.sort_unstable();
    let dump = |key: &String| format!("{key} {}", server.told(&format!("DUMP {key}")));
    keys.iter().map(dump).collect()
}

#[test]
fn whoever_was_taken_over_from_changes_nothing_and_is_told() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut earlier, mut later) = (cache.writer(), cache.writer());
    earlier.apply(&batch(0, vec![row(1, 5, "a", 1), row(1, 6, "a", 2)]), NOW).expect("it is applied");
    let at = later.positions().expect("it answers");
    later.set_as_of(Some(as_of(2)), &at).expect("it stands there");
    let before = everything(&server);
    for request in requests(&at) {
        let error = request(&mut earlier).expect_err("it is fenced");
        let (generation, by) = generations(&error);
        assert!(generation < by, "{error}");
        assert!(error.to_string().contains("run one of them only"), "{error}");
    }
    // A connection of before, and one of after: nothing takes over twice.
    server.ask("CLIENT KILL TYPE normal");
    generations(&earlier.expire(NOW).expect_err("it is fenced"));
    assert_eq!(everything(&server), before);
    later.apply(&batch(2, vec![row(2, 7, "a", 3)]), NOW).expect("it goes on");
}

#[test]
fn an_emptied_server_is_taken_over_again_by_the_latest() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut earlier, mut later) = (cache.writer(), cache.writer());
    earlier.positions().expect("it answers");
    later.positions().expect("it answers");
    server.ask("FLUSHALL");
    let rows = || vec![row(1, 5, "a", 1)];
    earlier.apply(&batch(0, rows()), NOW).expect("nobody else is known there");
    assert_eq!(later.apply(&batch(0, rows()), NOW).expect("it takes over").repeated, 1);
    generations(&earlier.expire(NOW).expect_err("it is fenced again"));
    // The next one is later than both, although the server counted anew.
    let mut next = cache.writer();
    next.positions().expect("it answers");
    generations(&later.expire(NOW).expect_err("it is fenced"));
}

/// As a sink does: what is there is asked, and not remembered. Ends at the end of the log, or fenced.
fn write_all(cache: &RedisCache, rows: u64, piece: u64) -> bool {
    let mut writer = cache.writer();
    let mut known: Option<u64> = None;
    loop {
        let at = match known {
            Some(at) => at,
            None => match writer.positions() {
                Ok(positions) => positions.values().next().map_or(0, |position| position.next.0),
                Err(error) => panic!("{error}"),
            },
        };
        if at >= rows {
            return true;
        }
        let end = rows.min(at + piece);
        match writer.apply(&batch(at, (at..end).map(log_row).collect()), NOW) {
            Ok(_) => known = Some(end),
            Err(WriteError::Gap { .. }) => known = None,
            Err(WriteError::Fenced { .. }) => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn writers_that_keep_taking_over_from_each_other_leave_no_gap() {
    const ROWS: u64 = 3_000;
    let Some(server) = Server::start(&[]) else { return };
    let cache = Arc::new(server.cache(Config::default()));
    let (over, fenced) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let watched = (Arc::clone(&over), server.redis.address().to_owned());
    let watching = thread::spawn(move || {
        let (over, address) = watched;
        let mut last = 0;
        while !over.load(Ordering::Relaxed) {
            let words = ["HVALS", "tidegate:positions"];
            let said = tidegate_services::redis::command(&address, &words).expect("it answers");
            let said = crate::subject::told(&said);
            let at = said.split(' ').next().and_then(|at| at.parse().ok()).unwrap_or(0);
            assert!(at >= last, "it went back from {last} to {at}");
            last = at;
        }
    });
    let writers: Vec<_> = [3, 7]
        .into_iter()
        .map(|piece| {
            let (cache, fenced) = (Arc::clone(&cache), Arc::clone(&fenced));
            // Whoever runs it starts it again.
            thread::spawn(move || {
                while !write_all(&cache, ROWS, piece) {
                    fenced.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("it does not panic");
    }
    over.store(true, Ordering::Relaxed);
    watching.join().expect("it never went back");
    assert!(fenced.load(Ordering::Relaxed) > 0, "they met");
    let mut memory = MemoryCache::new(Config::default());
    memory.apply(&batch(0, (0..ROWS).map(log_row).collect()), NOW).expect("it is applied");
    let asks = [Ask::Newest { kind: "event", limit: 200 }, Ask::Live { kind: "event" }];
    let expected = memory.read(&asks).await.expect("it answers").windows;
    assert_eq!(cache.reader().read(&asks).await.expect("it answers").windows, expected);
    assert_eq!(cache.writer().positions(), memory.positions());
}
