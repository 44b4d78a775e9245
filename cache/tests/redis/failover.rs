//! A master, its replica, and a Sentinel that puts one in the place of the other: whoever writes, reads and follows
//! goes on with the new one by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tempfile::TempDir;
use tidegate_cache::conformance::{NOW, Subject as _, batch, row, window};
use tidegate_cache::redis::{Password, RedisAt, RedisConfig, Sentinels};
use tidegate_cache::{
    Ask, CacheReader as _, CacheWriter as _, Config, MemoryCache, ReadError, UpdateError, WriteError,
};
use tidegate_services::Redis;
use tidegate_services::redis::{Reply, Sentinel, command};

use crate::loss::log_row;
use crate::subject::{RedisCache, Server, next_update, wait_until};

const MASTER: &str = "cache";

/// A master, a replica that follows it, and a Sentinel that knows both.
struct Trio {
    master: Server,
    replica: Redis,
    sentinel: Sentinel,
    _dir: TempDir,
}

impl Trio {
    fn start() -> Option<Self> {
        let master = Server::start(&[])?;
        let dir = tempfile::tempdir().expect("there is room");
        let of = master.redis.address().replace(':', " ");
        let replica =
            Redis::start_with(&dir.path().join("replica"), &[("replicaof", &of)]).expect("it starts");
        let sentinel = Sentinel::start(&dir.path().join("sentinel"), MASTER, master.redis.address());
        let trio = Self { master, replica, sentinel: sentinel.expect("it starts"), _dir: dir };
        wait_until("the replica follows", || {
            let info = command(trio.replica.address(), &["INFO", "replication"]);
            matches!(info, Ok(Reply::Text(info)) if info.contains("master_link_status:up"))
        });
        wait_until("the Sentinel knows the replica", || {
            let known = command(trio.sentinel.address(), &["SENTINEL", "replicas", MASTER]);
            known.is_ok_and(|found| found != Reply::List(Vec::new()))
        });
        Some(trio)
    }

    /// The cache of whoever is the master, asked for behind a Sentinel that is not there.
    fn cache(&self) -> RedisCache {
        self.cache_called(MASTER)
    }

    fn cache_called(&self, master: &str) -> RedisCache {
        let addresses = ["127.0.0.1:1", self.sentinel.address()];
        let addresses = addresses.map(|address| address.parse().expect("it has a port")).into();
        let sentinels = Sentinels { addresses, master: master.to_owned(), password: None };
        RedisCache(RedisConfig { at: RedisAt::Sentinels(sentinels), ..RedisConfig::default() })
    }
}

#[tokio::test]
async fn a_replica_takes_the_place_of_a_killed_master_under_load() {
    const ROWS: u64 = 3_000;
    let Some(mut trio) = Trio::start() else { return };
    let cache = trio.cache();
    let mut updates = cache.reader().subscribe().await.expect("it answers");
    let reader = cache.reader();
    reader.ping().await.expect("it answers");
    let (mut writer, calls) = (cache.writer(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&calls);
    let writing = thread::spawn(move || {
        let (mut at, mut errors) = (0, 0_u32);
        while at < ROWS {
            let end = ROWS.min(at + 4);
            let rows = (at..end).map(log_row).collect();
            counted.fetch_add(1, Ordering::Relaxed);
            let mut applied = writer.apply(&batch(at, rows), NOW).map(|_| end);
            while let Err(error) = applied {
                assert!(
                    matches!(error, WriteError::Gap { .. } | WriteError::Unreachable { .. }),
                    "a failover is no refusal: {error}"
                );
                errors += 1;
                applied = writer
                    .positions()
                    .map(|positions| positions.values().next().map_or(0, |position| position.next.0));
            }
            at = applied.expect("it was applied at last");
        }
        errors
    });
    wait_until("rows are written", || calls.load(Ordering::Relaxed) >= 200);
    trio.master.redis.kill();
    wait_until("the replica is the master", || {
        trio.sentinel.master(MASTER).is_ok_and(|address| address == trio.replica.address())
    });
    let errors = writing.join().expect("it comes to an end");
    println!("{errors} requests failed meanwhile");
    while next_update(&mut updates).await != Err(UpdateError::Missed) {}
    let mut memory = MemoryCache::new(Config::default());
    memory.apply(&batch(0, (0..ROWS).map(log_row).collect()), NOW).expect("it is applied");
    let asks = [Ask::Newest { kind: "event", limit: 200 }, Ask::Live { kind: "event" }];
    let expected = memory.read(&asks).await.expect("it answers").windows;
    assert_eq!(reader.read(&asks).await.expect("it answers").windows, expected);
    assert_eq!(cache.writer().positions(), memory.positions());
    // The old master comes back, and is a replica soon; whoever asks is not sent there.
    trio.master.redis.restart().expect("it starts again");
    let fresh = trio.cache();
    fresh.writer().apply(&batch(ROWS, vec![row(u64::MAX >> 1, 200, "a", 1)]), NOW).expect("it is applied");
    wait_until("the old master follows", || {
        let info = command(trio.master.redis.address(), &["INFO", "replication"]);
        matches!(info, Ok(Reply::Text(info)) if info.contains("master_link_status:up"))
    });
    let newest = fresh.reader().read(&asks).await.expect("it answers").windows.swap_remove(0);
    assert_eq!(newest[0].window, window(200));
}

/// The connection stays when a master becomes a replica; what it says to a write is no end.
#[test]
fn a_master_that_was_demoted_is_left_for_the_new_one() {
    let Some(trio) = Trio::start() else { return };
    let mut writer = trio.cache().writer();
    writer.apply(&batch(0, vec![row(1, 5, "a", 1)]), NOW).expect("it is applied");
    let at = trio.master.redis.address().to_owned();
    wait_until("the replica has it", || {
        let found = command(trio.replica.address(), &["EXISTS", "metrics:event:300000"]);
        found.is_ok_and(|found| found == Reply::Number(1))
    });
    // It has to have heard of the replica lately.
    let failover = || command(trio.sentinel.address(), &["SENTINEL", "failover", MASTER]);
    wait_until("a failover begins", || failover().is_ok());
    wait_until("the master is a replica", || {
        let info = command(&at, &["INFO", "replication"]);
        matches!(info, Ok(Reply::Text(info)) if info.contains("role:slave"))
    });
    wait_until("rows are taken", || match writer.apply(&batch(1, vec![row(2, 5, "a", 2)]), NOW) {
        Ok(_) => true,
        Err(WriteError::Unreachable { .. }) => false,
        Err(error) => panic!("{error}"),
    });
    let words = ["HGET", "metrics:event:300000", "a.count"];
    let found = command(trio.replica.address(), &words).expect("it answers");
    assert_eq!(found, Reply::Text("2".to_owned()));
}

#[tokio::test]
async fn sentinels_that_know_nothing_are_said() {
    let Some(trio) = Trio::start() else { return };
    let other = trio.cache_called("other");
    let said = other.writer().positions().expect_err("there is no such master").to_string();
    assert!(said.contains("no master called other") && said.contains("redis.sentinel_master"), "{said}");
    assert!(said.starts_with("the cache at other/0 of the Sentinels at 127.0.0.1:1, "), "{said}");
    let mut nobody = trio.cache().0;
    if let RedisAt::Sentinels(sentinels) = &mut nobody.at {
        sentinels.addresses.truncate(1);
    }
    let said = RedisCache(nobody).reader().ping().await.expect_err("nobody answers");
    assert!(matches!(said, ReadError::Unreachable { .. }), "{said}");
    assert!(said.to_string().contains("no Sentinel answers (127.0.0.1:1: "), "{said}");
}

#[tokio::test]
async fn the_password_of_the_sentinels_is_not_the_servers() {
    let Some(trio) = Trio::start() else { return };
    let rule = ["ACL", "SETUSER", "default", "resetpass", ">right"];
    command(trio.sentinel.address(), &rule).expect("it has users");
    let with = |password: Option<&str>| {
        let mut cache = trio.cache();
        if let RedisAt::Sentinels(sentinels) = &mut cache.0.at {
            sentinels.password = password.map(|password| Password::new(password.to_owned()));
        }
        cache.reader()
    };
    with(Some("right")).ping().await.expect("it is theirs");
    for password in [None, Some("wrong")] {
        let said = with(password).ping().await.expect_err("they want another one").to_string();
        assert!(said.contains("redis.sentinel_password") && !said.contains("right"), "{said}");
    }
}
