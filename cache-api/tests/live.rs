//! `GET /live`: snapshots, changes, coming back, falling behind, the end.

mod common;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::json;
use tidegate_cache::{CacheWriter as _, MemoryCache};
use tidegate_cache_api::Config;
use tidegate_model::EventTime;
use tidegate_server::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use common::{BOOT, Event, Events, NOW, PATIENCE, Server, events, one, open_events, performance};

async fn server() -> Server {
    let server = Server::start(Config { frontier_every: Duration::ZERO, ..Config::default() }).await;
    following(&server).await;
    server
}

/// Waits until the cache is followed: the first event of the ring is there.
async fn following(server: &Server) {
    let mut probe = server.follow(&[]).await;
    let id = format!("{BOOT}-1");
    while probe.next_of("snapshot").await.id != id {}
}

/// What a follower makes of a change: its label, and the count that it brings.
fn counts(event: &Event) -> (String, u64) {
    let fields = event.data["fields"].as_object().expect("a change has fields");
    let mut counts = fields.iter().filter_map(|(name, value)| Some((name.strip_suffix(".count")?, value)));
    let (label, count) = counts.next().expect("a count");
    (label.to_owned(), count.as_u64().expect("a number"))
}

#[tokio::test]
async fn a_reader_is_sent_a_snapshot_and_then_every_change() {
    let mut server = server().await;
    server.apply(vec![open_events(5, 10, "click", 1), performance(5, 9, "Bot", 1.0, 2.5)]);
    server.set_as_of(5, EventTime::from_millis(600_000));
    let mut reader = server.follow(&[]).await;
    assert_eq!(reader.headers["content-type"], "text/event-stream");
    assert_eq!(reader.headers["cache-control"], "no-store");
    let snapshot = reader.next().await.expect("the stream goes on");
    assert_eq!(snapshot.name, "snapshot");
    let open = json!({"window_start": 600_000, "window_end": 660_000, "click.count": 1, "click.users": 1});
    let expected = json!({"event": {"windows": [open]}, "performance": {"windows": []}});
    assert_eq!(snapshot.data, expected);
    let frontier = reader.next().await.expect("the stream goes on");
    assert_eq!(frontier.name, "frontier");
    assert_eq!(frontier.data, json!({"epoch": 5, "frontier": "1970-01-01T00:10:00.000Z"}));

    server.apply(vec![events(6, 10, "click", 4)]);
    server.set_as_of(6, EventTime::from_millis(660_000));
    let change = reader.next_of("change").await;
    let expected = json!({
        "kind": "event", "window_start": 600_000, "window_end": 660_000, "provisional": false,
        "fields": {"click.count": 4, "click.users": 1}, "removed": [], "epoch": 6,
    });
    assert_eq!(change.data, expected);
    let change = reader.next_of("change").await;
    let expected = json!({
        "kind": "event", "window_start": 600_000, "window_end": 660_000, "provisional": true,
        "fields": {}, "removed": ["click.count", "click.users"], "epoch": 6,
    });
    assert_eq!(change.data, expected);
    let frontier = reader.next_of("frontier").await;
    assert_eq!(frontier.data, json!({"epoch": 6, "frontier": "1970-01-01T00:11:00.000Z"}));
    server.wait_for_metric("tidegate_live_readers 1").await;
    server.wait_for_metric("tidegate_live_changes_total 4").await;
    drop(reader);
    server.wait_for_metric("tidegate_live_readers 0").await;
    server.shut_down().await;
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_what_it_missed_and_nothing_twice() {
    let mut server = server().await;
    let mut reader = server.follow(&[]).await;
    reader.next_of("snapshot").await;
    server.apply(vec![events(1, 1, "click", 1)]);
    let seen = reader.next_of("change").await;
    drop(reader);
    for count in 2..=4 {
        server.apply(vec![events(count, 1, "click", count)]);
    }
    let mut reader = server.follow(&[("last-event-id", &seen.id)]).await;
    let mut found = Vec::new();
    for count in 2..=5 {
        if count == 5 {
            server.apply(vec![events(5, 1, "click", 5)]);
        }
        let event = reader.next().await.expect("the stream goes on");
        assert_eq!(event.name, "change", "no snapshot is needed");
        found.push(counts(&event).1);
    }
    assert_eq!(found, [2, 3, 4, 5]);
    // Whoever missed nothing is sent nothing.
    let last = format!(
        "{BOOT}-{}",
        seen.id.rsplit('-').next().and_then(|id| id.parse::<u64>().ok()).expect("a number") + 4
    );
    let mut reader = server.follow(&[("last-event-id", &last)]).await;
    server.apply(vec![events(6, 1, "click", 6)]);
    assert_eq!(counts(&reader.next().await.expect("the stream goes on")).1, 6);
}

#[tokio::test]
async fn an_id_that_is_unknown_or_too_old_begins_with_a_snapshot() {
    let config = Config { live_replay_max: 2, live_backlog_max: 2, ..Config::default() };
    let mut server = Server::start(config).await;
    following(&server).await;
    let mut reader = server.follow(&[]).await;
    reader.next_of("snapshot").await;
    for count in 1..=4 {
        server.apply(vec![events(count, 1, "click", count)]);
        reader.next_of("change").await;
    }
    let id = |number: u64| format!("{BOOT}-{number}");
    let old_boot = "00000000000000af-5".to_owned();
    for unknown in [id(2), id(0), id(6), id(u64::MAX), old_boot, String::new(), "5".to_owned(), id(1)] {
        let mut reader = server.follow(&[("last-event-id", &unknown)]).await;
        let first = reader.next().await.expect("the stream goes on");
        assert_eq!((&*first.name, &first.id), ("snapshot", &id(5)), "{unknown}");
    }
    let mut reader = server.follow(&[("last-event-id", &id(3))]).await;
    for count in [3, 4] {
        assert_eq!(counts(&reader.next().await.expect("the stream goes on")).1, count);
    }
}

/// Readers that come while the cache changes miss nothing between their snapshot and the first change, and
/// see nothing twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_begin_exactly_behind_the_snapshot() {
    const CHANGES: u64 = 20_000;
    let config = Config { live_backlog_max: 50_000, ..Config::default() };
    let limits = tidegate_cache::Config { updates_max: 50_000, ..tidegate_cache::Config::default() };
    let mut server = Server::start_with(config, MemoryCache::new(limits), Limits::default()).await;
    following(&server).await;
    server.apply(vec![open_events(1, 10, "click", 1)]);
    let mut cache = server.cache.clone();
    let writing = tokio::spawn(async move {
        for count in 2..=CHANGES {
            cache.apply(&one(count - 1, open_events(count, 10, "click", count)), NOW).expect("it follows");
            tokio::task::yield_now().await;
        }
    });
    let (mut midway, mut readers) = (0, 0);
    loop {
        let is_last = writing.is_finished();
        let mut reader = server.follow(&[]).await;
        let snapshot = reader.next_of("snapshot").await;
        let shown = snapshot.data["event"]["windows"][0]["click.count"].as_u64().expect("a number");
        count_changes(&mut reader, shown + 1, (CHANGES - shown).min(20)).await;
        readers += 1;
        midway += u32::from(shown > 1 && shown < CHANGES);
        if is_last {
            break;
        }
    }
    writing.await.expect("it does not panic");
    assert!(midway > 0, "none of {readers} readers came while there were changes");
}

#[tokio::test]
async fn readers_beyond_the_limit_are_turned_away() {
    let server = Server::start(Config { live_readers_max: 2, ..Config::default() }).await;
    let (first, second) = (server.follow(&[]).await, server.follow(&[]).await);
    let refused = server.get("/live").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert_eq!(refused.json()["title"], "Too Many Readers");
    drop(first);
    server.wait_for_metric("tidegate_live_readers 1").await;
    let mut third = server.follow(&[]).await;
    third.next_of("snapshot").await;
    server.wait_for_metric("tidegate_live_readers_refused_total 1").await;
    drop((second, third));
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive() {
    let config = Config { keep_alive_every: Duration::from_millis(5), ..Config::default() };
    let server = Server::start(config).await;
    let mut reader = server.follow(&[]).await;
    assert_eq!(reader.comment().await, "keep-alive");
    assert_eq!(reader.comment().await, "keep-alive");
}

#[tokio::test]
async fn the_frontier_is_told_no_more_often_than_is_set() {
    let config = Config { frontier_every: Duration::from_millis(50), ..Config::default() };
    let mut server = Server::start(config).await;
    following(&server).await;
    let mut reader = server.follow(&[]).await;
    reader.next_of("snapshot").await;
    let began = std::time::Instant::now();
    for epoch in 1..=1_000 {
        server.set_as_of(epoch, EventTime::MIN);
    }
    let mut told = 0_u32;
    loop {
        let frontier = reader.next_of("frontier").await;
        assert_eq!(frontier.data["frontier"], json!(null));
        told += 1;
        if frontier.data["epoch"] == 1_000 {
            break;
        }
    }
    let most = u32::try_from(began.elapsed().as_millis() / 50).expect("a small number") + 2;
    assert!((1..=most).contains(&told), "{told} of at most {most}");
}

#[tokio::test]
async fn shutting_down_ends_the_streams() {
    let server = server().await;
    let mut reader = server.follow(&[]).await;
    reader.next_of("snapshot").await;
    server.shut_down().await;
    assert_eq!(reader.count_to_end().await, 0);
}

/// Changes that were missed between the cache and the API are made up for by a new snapshot.
#[tokio::test]
async fn readers_begin_anew_when_changes_were_missed() {
    let cache = MemoryCache::new(tidegate_cache::Config { updates_max: 4, ..Default::default() });
    let mut server = Server::start_with(Config::default(), cache, Limits::default()).await;
    following(&server).await;
    let mut reader = server.follow(&[]).await;
    reader.next_of("snapshot").await;
    // Nothing is awaited in between, so the one who follows cannot keep up.
    for count in 1..=50 {
        server.apply(vec![open_events(count, 10, "click", count)]);
    }
    let snapshot = reader.next_of("snapshot").await;
    assert_eq!(snapshot.data["event"]["windows"][0]["click.count"], 50);
    server.apply(vec![open_events(51, 10, "click", 51)]);
    assert_eq!(counts(&reader.next_of("change").await).1, 51);
    server.wait_for_metric("tidegate_live_resyncs_total 1").await;
}

/// A connection that asks for `/live` and then reads nothing.
async fn sleeper(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("it can be set");
    let mut stream = socket.connect(server.address).await.expect("it listens");
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("it is open");
    stream
}

/// Follows until `changes` changes have come, in order.
async fn count_changes(reader: &mut Events, from: u64, changes: u64) {
    for count in from..from + changes {
        assert_eq!(counts(&reader.next_of("change").await).1, count, "every change comes once, and in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_dropped_while_a_fast_one_gets_everything() {
    let config = Config { live_backlog_max: 32, live_replay_max: 8, ..Config::default() };
    let limits = Limits { write_timeout: Duration::from_secs(2), ..Limits::default() };
    let cache = MemoryCache::new(tidegate_cache::Config::default());
    let mut server = Server::start_with(config, cache, limits).await;
    following(&server).await;
    let mut slow = sleeper(&server).await;
    let mut fast = server.follow(&[]).await;
    fast.next_of("snapshot").await;
    server.wait_for_metric("tidegate_live_readers 2").await;
    // Long names, so that what the system holds for a connection is soon full.
    let label = "x".repeat(50_000);
    for burst in 0..40 {
        let from = burst * 8 + 1;
        for count in from..from + 8 {
            server.apply(vec![events(count, 1, &label, count)]);
        }
        // Its second field stays the same, so each change is of one field.
        count_changes(&mut fast, from, 8).await;
    }
    server.wait_for_metric("tidegate_live_readers_dropped_total 1").await;
    server.wait_for_metric("tidegate_live_readers 1").await;
    server.apply(vec![events(1_000, 2, "click", 1_000)]);
    count_changes(&mut fast, 1_000, 1).await;
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("it is closed");
    // Closed or reset: it is over.
    drop(end);
    assert!(rest.len() < 320 * 50_000, "it was not sent everything");
    server.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_slow_readers_do_not_slow_the_writer() {
    let config = Config { live_backlog_max: 256, ..Config::default() };
    let cache = MemoryCache::new(tidegate_cache::Config::default());
    let mut server = Server::start_with(config, cache, Limits::default()).await;
    following(&server).await;
    let mut sleepers = Vec::new();
    for _ in 0..200 {
        sleepers.push(sleeper(&server).await);
    }
    server.wait_for_metric("tidegate_live_readers 200").await;
    let mut fast = server.follow(&[]).await;
    fast.next_of("snapshot").await;
    let label = "x".repeat(2_000);
    let mut longest = Duration::ZERO;
    for burst in 0..100 {
        let from = burst * 20 + 1;
        for count in from..from + 20 {
            let began = std::time::Instant::now();
            server.apply(vec![events(count, 1, &label, count)]);
            longest = longest.max(began.elapsed());
        }
        count_changes(&mut fast, from, 20).await;
    }
    // Whoever waited for a reader would wait for ever: these never read.
    assert!(longest < Duration::from_secs(5), "{longest:?} for one row");
    let answer = server.ask(Method::GET, "/metrics/event/latest", &[]).await;
    assert_eq!(answer.json()[format!("{label}.count")], 2_000);
    drop(sleepers);
    server.wait_for_metric("tidegate_live_readers 1").await;
    server.shut_down().await;
}
