//! What cannot be a cache says why, and what to do.

use tidegate_cache::conformance::{NOW, Subject as _, batch, row, window};
use tidegate_cache::redis::{Password, RedisConfig};
use tidegate_cache::{CacheReader as _, CacheWriter as _, Config, Seed, UpdateKind};
use tidegate_cache::{ReadError, UpdateError, WriteError};

use crate::subject::{RedisCache, Server, next_update, wait_until};

/// What a writer and a reader say, which begins with the same words.
async fn refused(cache: &RedisCache) -> String {
    let written = cache.writer().positions().expect_err("it is refused");
    let read = cache.reader().read(&[]).await.expect_err("it is refused");
    assert!(matches!(written, WriteError::Refused { .. }), "{written}");
    assert!(matches!(read, ReadError::Refused { .. }), "{read}");
    for text in [written.to_string(), read.to_string()] {
        assert!(text.starts_with(&format!("the cache at {} cannot be used: ", cache.0.address())), "{text}");
    }
    written.to_string()
}

#[tokio::test]
async fn a_cluster_is_refused() {
    let Some(server) = Server::start(&[("cluster-enabled", "yes")]) else { return };
    let cache = server.cache(Config::default());
    let written = cache.writer().positions().expect_err("it is refused");
    assert!(matches!(written, WriteError::Unfit { .. }), "to try again does not help: {written}");
    let read = cache.reader().read(&[]).await.expect_err("it is refused");
    assert!(matches!(read, ReadError::Refused { .. }), "{read}");
    let said = written.to_string();
    assert_eq!(read.to_string(), said);
    assert!(said.contains("Redis Cluster") && said.contains("cluster-enabled no"), "{said}");
}

#[tokio::test]
async fn a_password_is_wanted_and_checked() {
    let Some(server) = Server::start(&[("requirepass", "right")]) else { return };
    let cache = server.cache(Config::default());
    let said = refused(&cache).await;
    assert!(said.contains("password"), "{said}");
    let with = |password: &str| {
        RedisCache(RedisConfig { password: Some(Password::new(password.to_owned())), ..cache.0.clone() })
    };
    let said = refused(&with("left")).await;
    assert!(said.contains("check the password") && !said.contains("left"), "{said}");
    with("right").writer().positions().expect("it is right");
    with("right").reader().ping().await.expect("it is right");
    let elsewhere = RedisCache(RedisConfig { db: 99, ..with("right").0 });
    let said = refused(&elsewhere).await;
    assert!(said.contains("/99"), "{said}");
}

#[tokio::test]
async fn a_replica_is_read_and_not_written() {
    let Some(server) = Server::start(&[]) else { return };
    let of = server.redis.address().replace(':', " ");
    let Some(replica) = Server::start(&[("replicaof", &of)]) else { return };
    let (cache, copy) = (server.cache(Config::default()), replica.cache(Config::default()));
    cache.writer().apply(&batch(0, vec![row(1, 5, "a", 1)]), NOW).expect("it is applied");
    wait_until("the replica has it", || replica.told("EXISTS tidegate:positions") == "1");
    let said = copy.writer().apply(&batch(1, vec![row(1, 5, "a", 2)]), NOW).expect_err("it is none to write");
    assert!(said.to_string().contains("name the master"), "{said}");
    let seq = cache.reader().read(&[]).await.expect("it answers").seq;
    assert_eq!(copy.reader().read(&[]).await.expect("it answers").seq, seq);
}

/// The rights that docs/cache-api.md lists are enough, for who writes and for who reads.
#[tokio::test]
async fn users_need_no_more_rights_than_the_documentation_says() {
    let Some(server) = Server::start(&[]) else { return };
    let page = include_str!("../../../docs/cache-api.md");
    let rules: Vec<&str> = page.lines().filter_map(|line| line.trim().strip_prefix("ACL SETUSER ")).collect();
    assert_eq!(rules.len(), 2, "one for the sink and one for the cache API: {rules:?}");
    for rule in &rules {
        server.ask(&format!("ACL SETUSER {rule}"));
    }
    let as_user = |rule: &str| {
        let (name, rights) = rule.split_once(' ').expect("a name comes first");
        let password = rights.split(' ').find_map(|word| word.strip_prefix('>')).expect("it has a password");
        let (username, password) = (Some(name.to_owned()), Some(Password::new(password.to_owned())));
        RedisCache(RedisConfig { username, password, ..server.cache(Config::default()).0 })
    };
    let (sink, api) = (as_user(rules[0]), as_user(rules[1]));
    // Whoever comes first loads the functions.
    assert_eq!(api.reader().ready().await, Ok(false));
    server.ask("FUNCTION FLUSH");
    let (mut writer, reader) = (sink.writer(), api.reader());
    let mut updates = reader.subscribe().await.expect("it may");
    writer.apply(&batch(0, vec![row(1, 5, "a", 1)]), NOW).expect("it may");
    writer.seed(&Seed::default(), NOW).expect("it may");
    writer.expire(NOW).expect("it may");
    assert_eq!(writer.sizes().expect("it may").len(), 1);
    let at = writer.positions().expect("it may");
    writer.set_as_of(None, &at).expect("it may");
    next_update(&mut updates).await.expect("it is told");
    assert_eq!(reader.ready().await, Ok(true));
    reader.ping().await.expect("it may");
    let said = api.writer().positions().expect_err("it may only read").to_string();
    assert!(said.contains("docs/cache-api.md"), "{said}");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let Some(mut server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    server.redis.kill();
    let written = cache.writer().positions().expect_err("nobody answers").to_string();
    let read = cache.reader().ping().await.expect_err("nobody answers").to_string();
    let subscribed = cache.reader().subscribe().await.map(drop).expect_err("nobody answers").to_string();
    for said in [written, read, subscribed] {
        let expected = format!("the cache at {} does not answer: ", cache.0.address());
        assert!(said.starts_with(&expected) && said.ends_with(" host and port"), "{said}");
    }
}

#[tokio::test]
async fn a_key_of_something_else_is_named_and_nobody_is_left_believing() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let (mut writer, reader) = (cache.writer(), cache.reader());
    writer.apply(&batch(0, vec![row(1, 5, "a", 1)]), NOW).expect("it is applied");
    let mut updates = reader.subscribe().await.expect("it answers");
    writer.apply(&batch(1, vec![row(1, 5, "a", 2)]), NOW).expect("it is applied");
    next_update(&mut updates).await.expect("it is told");
    server.ask("SET metrics:event:420000 mine");
    let rows = batch(2, vec![row(2, 5, "a", 3), row(2, 7, "a", 3)]);
    let said = writer.apply(&rows, NOW).expect_err("it is not ours");
    assert!(matches!(said, WriteError::Refused { .. }), "{said}");
    assert!(said.to_string().contains("belongs to something else"), "{said}");
    server.ask("DEL metrics:event:420000");
    assert_eq!(writer.apply(&rows, NOW).expect("it is applied").put, 2);
    // The window that was written before the other one failed was told; the rest is to be read.
    let update = next_update(&mut updates).await.expect("it is told");
    assert!(matches!(update.kind, UpdateKind::Changed(change) if change.window_start == window(5).start));
    assert_eq!(next_update(&mut updates).await, Err(UpdateError::Missed));
}
