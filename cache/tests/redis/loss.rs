//! A server that is emptied, killed, restored or robbed of a part: nothing older takes the place of something
//! newer, and what is missing is known.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use tidegate_cache::conformance::{NOW, Subject as _, batch, positions_after, provisional, retraction, row};
use tidegate_cache::redis::{RedisAt, RedisReader};
use tidegate_cache::{
    Answer, Applied, Ask, CacheReader as _, CacheWriter, Config, MemoryCache, Number, Positions, Row,
    Standing, UpdateError, UpdateKind, Updates, WriteError,
};
use tidegate_model::{Epoch, Offset};
use tidegate_services::redis::command;

use crate::subject::{Server, as_of, next_update, wait_until};
use crate::wire::Wire;

async fn answer(reader: &RedisReader) -> Answer {
    reader.read(&[Ask::Newest { kind: "event", limit: 9 }]).await.expect("it answers")
}

/// The counts of label `a`, newest window first.
async fn counts(reader: &RedisReader) -> Vec<u64> {
    let answer = answer(reader).await;
    let count = |number: &Number| match number {
        Number::UInt(count) => *count,
        Number::Float(_) => panic!("counts are whole"),
    };
    answer.windows[0].iter().map(|window| count(&window.fields["a.count"])).collect()
}

fn next(cache: &mut impl CacheWriter) -> Option<Offset> {
    let positions = cache.positions().expect("it answers");
    positions.values().next().map(|position| position.next)
}

async fn missed(updates: &mut impl Updates) {
    assert_eq!(next_update(updates).await, Err(UpdateError::Missed));
}

#[tokio::test]
async fn an_emptied_server_says_so_and_is_filled_again() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, reader) = (cache.writer(), cache.reader());
    let mut updates = reader.subscribe().await.expect("it answers");
    let first = batch(0, vec![row(1, 5, "a", 1), row(1, 6, "a", 2)]);
    writer.apply(&first, NOW).expect("it is applied");
    let at = writer.positions().expect("it answers");
    writer.set_as_of(Some(as_of(1)), &at).expect("it stands there");
    for _ in 0..3 {
        next_update(&mut updates).await.expect("it is told");
    }
    let before = answer(&reader).await;

    server.ask("FLUSHALL");
    assert_eq!(reader.ready().await, Ok(false));
    let found = answer(&reader).await;
    assert_eq!((found.as_of, found.windows), (None, vec![vec![]]));
    // Whoever goes on as if nothing had happened is stopped, by rows or by the news of how far they are in.
    match writer.apply(&batch(2, vec![row(2, 7, "a", 3)]), NOW) {
        Err(WriteError::Gap { next, start, .. }) => assert_eq!((next, start), (Offset(0), Offset(2))),
        other => panic!("{other:?}"),
    }
    match writer.set_as_of(Some(as_of(2)), &at) {
        Err(WriteError::Moved { expected, actual, .. }) => {
            assert_eq!((expected, actual), (Offset(2), Offset(0)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(writer.positions(), Ok(Positions::new()));
    writer.apply(&first, NOW).expect("it is applied");
    missed(&mut updates).await;
    writer.set_as_of(Some(as_of(1)), &at).expect("it stands there");
    let after = answer(&reader).await;
    assert_eq!((&after.windows, after.as_of), (&before.windows, before.as_of));
    assert!(after.seq > before.seq, "it does not count from the beginning");
}

#[tokio::test]
async fn a_killed_server_goes_on_where_it_was() {
    let Some(mut server) = Server::start(&[("appendfsync", "always")]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, reader) = (cache.writer(), cache.reader());
    let mut updates = reader.subscribe().await.expect("it answers");
    let first = batch(0, vec![row(5, 5, "a", 5), provisional(5, 6, "a", 6)]);
    writer.apply(&first, NOW).expect("it is applied");
    for _ in 0..2 {
        next_update(&mut updates).await.expect("it is told");
    }
    server.redis.kill();
    match writer.apply(&first, NOW) {
        Err(WriteError::Unreachable { address, .. }) => assert_eq!(address, cache.0.address()),
        other => panic!("{other:?}"),
    }
    reader.ping().await.expect_err("it is gone");
    server.redis.restart().expect("it starts again");
    missed(&mut updates).await;
    assert_eq!(next(&mut writer), Some(Offset(2)));
    assert_eq!(counts(&reader).await, [5]);
    let applied = writer.apply(&first, NOW).expect("it is applied");
    assert_eq!(applied, Applied { repeated: 2, ..Applied::default() });
    let older = batch(2, vec![row(4, 5, "a", 4), provisional(4, 6, "a", 4), row(6, 7, "a", 7)]);
    let applied = writer.apply(&older, NOW).expect("it is applied");
    assert_eq!(applied, Applied { stale: 2, put: 1, ..Applied::default() });
    assert_eq!(counts(&reader).await, [7, 5]);
    let update = next_update(&mut updates).await.expect("it is told");
    assert!(matches!(update.kind, UpdateKind::Changed(change) if change.epoch == Epoch(6)));
}

/// Rows of a log that is read again from wherever the cache says that it stands.
pub(crate) fn log_row(offset: u64) -> Row {
    let minute = i64::try_from(offset / 40 + offset % 7).expect("a small number");
    match offset % 5 {
        0 => retraction(offset / 3, minute, "a"),
        1 => provisional(offset / 3, minute, "b", offset),
        _ => row(offset / 3, minute, "a", offset),
    }
}

#[tokio::test]
async fn a_server_that_is_killed_while_it_is_written_to_has_the_same_in_the_end() {
    const ROWS: u64 = 2_000;
    let Some(mut server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, calls) = (cache.writer(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&calls);
    let writing = thread::spawn(move || {
        let mut at = 0;
        while at < ROWS {
            let pieces = [at..ROWS.min(at + 2), ROWS.min(at + 2)..ROWS.min(at + 4)];
            let end = pieces[1].end;
            let batches = pieces.map(|offsets| batch(offsets.start, offsets.map(log_row).collect()));
            let after = positions_after(&batches);
            let standing = Standing { as_of: Some(as_of(end)), at: &after };
            counted.fetch_add(1, Ordering::Relaxed);
            at = match writer.advance(&batches, Some(standing), NOW) {
                Ok(_) => end,
                Err(_) => {
                    // As a sink does: what is there is asked, and not remembered.
                    loop {
                        if let Ok(positions) = writer.positions() {
                            break positions.values().next().map_or(0, |position| position.next.0);
                        }
                    }
                }
            };
        }
    });
    for reached in [100, 250, 400] {
        wait_until("rows are written", || calls.load(Ordering::Relaxed) >= reached);
        server.redis.kill();
        server.redis.restart().expect("it starts again");
    }
    writing.join().expect("it comes to an end");
    let mut memory = MemoryCache::new(Config::default());
    memory.apply(&batch(0, (0..ROWS).map(log_row).collect()), NOW).expect("it is applied");
    let asks = [Ask::Newest { kind: "event", limit: 200 }, Ask::Live { kind: "event" }];
    let expected = memory.read(&asks).await.expect("it answers").windows;
    assert_eq!(cache.reader().read(&asks).await.expect("it answers").windows, expected);
    assert_eq!(cache.writer().positions(), memory.positions());
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp is there");
    assert!(copied.success());
}

#[tokio::test]
async fn a_server_restored_from_an_old_state_is_filled_from_there() {
    let Some(mut server) = Server::start(&[("appendfsync", "always")]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, reader) = (cache.writer(), cache.reader());
    let all = || vec![row(1, 5, "a", 1), row(1, 6, "a", 2), row(2, 5, "a", 3), row(3, 7, "a", 4)];
    writer.apply(&batch(0, all()[..2].to_vec()), NOW).expect("it is applied");
    let at = writer.positions().expect("it answers");
    writer.set_as_of(Some(as_of(1)), &at).expect("it stands there");
    let (kept, old) = (server.dir().join("appendonlydir"), server.dir().join("old"));
    copy(&kept, &old);
    writer.apply(&batch(0, all()), NOW).expect("it is applied");
    let at = writer.positions().expect("it answers");
    writer.set_as_of(Some(as_of(3)), &at).expect("it stands there");
    let newest = answer(&reader).await;

    server.redis.kill();
    std::fs::remove_dir_all(&kept).expect("it is there");
    copy(&old, &kept);
    server.redis.restart().expect("it starts again");
    let found = answer(&reader).await;
    assert_eq!(found.as_of, Some(as_of(1)), "it says how old it is");
    assert_eq!(counts(&reader).await, [2, 1]);
    assert!(matches!(writer.set_as_of(Some(as_of(4)), &at), Err(WriteError::Moved { .. })));
    assert!(matches!(writer.apply(&batch(4, vec![row(4, 8, "a", 5)]), NOW), Err(WriteError::Gap { .. })));
    assert_eq!(next(&mut writer), Some(Offset(2)));
    writer.apply(&batch(2, all()[2..].to_vec()), NOW).expect("it is applied");
    writer.set_as_of(Some(as_of(3)), &at).expect("it stands there");
    assert_eq!(answer(&reader).await.windows, newest.windows);
}

#[tokio::test]
async fn a_second_writer_with_an_older_epoch_changes_nothing() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, mut other, reader) = (cache.writer(), cache.writer(), cache.reader());
    writer.apply(&batch(0, vec![row(9, 5, "a", 9), provisional(9, 6, "a", 9)]), NOW).expect("it is applied");
    let before = (answer(&reader).await, server.told("HGETALL metrics:event:300000"));
    let older = batch(2, vec![row(8, 5, "a", 1), provisional(8, 6, "a", 1)]);
    let applied = other.apply(&older, NOW).expect("it is applied");
    assert_eq!(applied, Applied { stale: 2, ..Applied::default() });
    assert_eq!((answer(&reader).await, server.told("HGETALL metrics:event:300000")), before);
}

#[tokio::test]
async fn lost_connections_and_functions_are_made_again() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, reader) = (cache.writer(), cache.reader());
    let mut updates = reader.subscribe().await.expect("it answers");
    for step in 0..4_u64 {
        writer.apply(&batch(step, vec![row(step, 5, "a", step + 1)]), NOW).expect("it is applied");
        assert_eq!(counts(&reader).await, [step + 1]);
        match step {
            0 => drop(server.ask("CLIENT KILL TYPE normal")),
            1 => drop(server.ask("FUNCTION FLUSH")),
            _ => drop(server.ask("CLIENT KILL TYPE pubsub")),
        }
    }
    while next_update(&mut updates).await != Err(UpdateError::Missed) {}
    // A reader that comes first brings the functions along.
    server.ask("FUNCTION FLUSH");
    assert_eq!(counts(&cache.reader()).await, [4]);
}

/// A server that is cut off closes no connection: whoever follows it finds out by asking.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_asked_whether_it_is_there() {
    let Some(server) = Server::start(&[]) else { return };
    let wire = Wire::to(server.redis.address());
    let mut cache = server.cache(Config::default());
    cache.0.at = RedisAt::Server(wire.address.parse().expect("it has a port"));
    cache.0.silence = Duration::from_millis(20);
    let mut updates = cache.reader().subscribe().await.expect("it answers");
    let asked = || server.calls("subscribe");
    // One that is there and has nothing to say is followed as before.
    wait_until("it is asked", || asked() > 4);
    let mut writer = server.cache(Config::default()).writer();
    writer.apply(&batch(0, vec![row(1, 5, "a", 1)]), NOW).expect("it is applied");
    next_update(&mut updates).await.expect("nothing was missed");
    wire.cut();
    missed(&mut updates).await;
    writer.apply(&batch(1, vec![row(2, 5, "a", 2)]), NOW).expect("it is applied");
    next_update(&mut updates).await.expect("it is followed again");
}

/// Where nobody answers, those who came meanwhile do not try one after the other.
#[tokio::test]
async fn many_readers_wait_for_one_attempt_to_connect() {
    let Some(server) = Server::start(&[]) else { return };
    let mut cache = server.cache(Config::default());
    cache.0.connect_timeout = Duration::from_millis(500);
    let connections = || {
        let stats = server.told("INFO stats");
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.map_or(0, |count| count.trim().parse::<u64>().expect("a number"))
    };
    let (before, reader) = (connections(), cache.reader());
    server.redis.pause().expect("it is there");
    let asked: Vec<_> = (0..30)
        .map(|_| {
            let reader = reader.clone();
            tokio::spawn(async move { reader.ping().await })
        })
        .collect();
    for answer in asked {
        answer.await.expect("it does not panic").expect_err("nobody answers");
    }
    server.redis.resume().expect("it is there");
    let made = connections() - before;
    assert!(made < 10, "{made} connections for 30 readers");
}

/// However many ask for the same at once: one is answered, and those who came meanwhile share the next answer.
#[tokio::test]
async fn readers_share_answers() {
    let Some(server) = Server::start(&[]) else { return };
    let calls = || server.calls("fcall_ro");
    let reader = server.cache(Config::default()).reader();
    answer(&reader).await;
    let before = calls();
    join_all((0..100).map(|_| answer(&reader))).await;
    assert_eq!(calls() - before, 2);
}

/// Functions are loaded when the server has others than those of this version, and only then.
#[test]
fn functions_are_replaced_when_they_differ() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let loads = || server.calls("function|load");
    for (before, after) in [(0, 1), (1, 1)] {
        assert_eq!(loads(), before);
        cache.writer().positions().expect("it answers");
        assert_eq!(loads(), after);
    }
    let other = "#!lua name=tidegate_cache_1\nredis.register_function('old', function() return 1 end)";
    command(server.redis.address(), &["FUNCTION", "LOAD", "REPLACE", other]).expect("it is code");
    let applied = cache.writer().apply(&batch(0, vec![row(1, 5, "a", 1)]), NOW).expect("it is applied");
    assert_eq!((applied.put, loads()), (1, 3));
}

/// The server lets go of keys when their time is over, and when its memory is full.
#[tokio::test]
async fn what_the_server_let_go_of_does_not_come_back_in_part() {
    let Some(server) = Server::start(&[]) else { return };
    for lost in ["metrics:event:300000", "tidegate:final:event:300000"] {
        server.ask("FLUSHALL");
        let cache = server.cache(Config::default());
        let (mut writer, reader) = (cache.writer(), cache.reader());
        let rows = vec![row(1, 5, "a", 1), row(1, 5, "b", 1), row(1, 6, "a", 2)];
        writer.apply(&batch(0, rows), NOW).expect("it is applied");
        server.ask(&format!("DEL {lost}"));
        assert_eq!(counts(&reader).await, [2], "{lost}");
        let mut updates = reader.subscribe().await.expect("it answers");
        let applied = writer.apply(&batch(3, vec![row(2, 5, "a", 3)]), NOW).expect("it is applied");
        assert_eq!(applied, Applied { old: 1, ..Applied::default() }, "{lost}");
        let update = next_update(&mut updates).await.expect("it is told");
        let UpdateKind::Changed(change) = update.kind else { panic!("{update:?}") };
        let removed: Vec<&str> = change.removed.iter().map(|name| &**name).collect();
        assert_eq!(removed, ["a.count", "a.users", "b.count", "b.users"], "{lost}");
        assert_eq!(counts(&reader).await, [2], "{lost}");
        assert_eq!(server.told("ZRANGE metrics:event:windows 0 -1"), "360000");
        writer.expire(NOW.plus_ms(i64::from(u32::MAX))).expect("it answers");
        assert_eq!(server.told("ZCARD tidegate:expiry"), "0");
    }
}
