//! Answers that a reader holds until the server says that they are old.

use std::time::Duration;

use tidegate_cache::conformance::{NOW, Subject as _, batch, row};
use tidegate_cache::redis::{RedisConfig, RedisReader};
use tidegate_cache::{Answer, Ask, CacheReader as _, CacheWriter as _, Config, ReadError, UpdateKind};

use crate::subject::{RedisCache, Server, next_update};

/// Longer than any test takes: what ends sooner was ended by the server.
const HELD: Duration = Duration::from_hours(1);

fn holding(server: &Server, answers_held: Duration) -> RedisCache {
    RedisCache(RedisConfig { answers_held, ..server.cache(Config::default()).0 })
}

async fn read(reader: &RedisReader) -> Result<Answer, ReadError> {
    reader.read(&[Ask::Newest { kind: "event", limit: 9 }]).await
}

/// How many windows there are, as soon as they are `count`.
async fn windows(reader: &RedisReader, count: usize) {
    let changed = async {
        while read(reader).await.expect("it answers").windows[0].len() != count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), changed).await.expect("the server says that it changed");
}

#[tokio::test]
async fn an_answer_is_held_until_the_server_says_that_it_is_old() {
    let Some(mut server) = Server::start(&[]) else { return };
    let cache = holding(&server, HELD);
    let (mut writer, reader) = (cache.writer(), cache.reader());
    writer.apply(&batch(0, vec![row(1, 5, "a", 1), row(1, 6, "a", 1)]), NOW).expect("it is applied");
    windows(&reader, 2).await;
    let before = server.calls("fcall_ro");
    for _ in 0..100 {
        windows(&reader, 2).await;
    }
    assert_eq!(server.calls("fcall_ro"), before);

    writer.apply(&batch(2, vec![row(2, 7, "a", 1)]), NOW).expect("it is applied");
    windows(&reader, 3).await;
    server.ask("DEL metrics:event:300000");
    windows(&reader, 2).await;
    // What the reader is told over ends: the next connection is asked anew.
    server.ask("CLIENT KILL TYPE normal SKIPME yes");
    windows(&reader, 2).await;
    server.ask("FLUSHALL");
    windows(&reader, 0).await;

    server.redis.kill();
    let silent = async {
        while read(&reader).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), silent)
        .await
        .expect("nothing is held of a server that is gone");
}

/// Whoever was told of a change and reads, finds it, whichever connection is faster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_reads_what_it_was_told() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = holding(&server, HELD);
    let reader = cache.reader();
    let mut updates = reader.subscribe().await.expect("it answers");
    let mut writer = cache.writer();
    let writing = std::thread::spawn(move || {
        for number in 0..500 {
            writer.apply(&batch(number, vec![row(1, 5, "a", number)]), NOW).expect("it is applied");
        }
    });
    let mut told = 0;
    while told < 500 {
        let update = next_update(&mut updates).await.expect("it is told");
        told += u32::from(matches!(update.kind, UpdateKind::Changed(_)));
        let found = read(&reader).await.expect("it answers");
        assert!(found.seq >= update.seq, "{} was told, {} found", update.seq, found.seq);
        // Held, most likely, when the next change is told.
        read(&reader).await.expect("it answers");
    }
    writing.join().expect("it wrote");
}

/// A connection can die without a word: no answer is held for longer than the setting.
#[tokio::test]
async fn no_answer_is_held_for_longer_than_it_may_be() {
    let Some(server) = Server::start(&[]) else { return };
    let reader = holding(&server, Duration::from_millis(20)).reader();
    windows(&reader, 0).await;
    let before = server.calls("fcall_ro");
    tokio::time::sleep(Duration::from_millis(50)).await;
    windows(&reader, 0).await;
    assert_eq!(server.calls("fcall_ro"), before + 1);
}
