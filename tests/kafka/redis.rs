//! The cache in a real Redis that is killed, emptied, restored and failed over under load, with the sink killed as
//! well; and what it is refused for.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tidegate_services::redis::{Reply, Sentinel, command};
use tidegate_services::{Redis, redis, test_kafka, tools};

use crate::cached::{Poller, Traffic, answered, kept, newest, stored};
use crate::common::service::Service;
use crate::common::wait_for;
use crate::stack::{Kept, Stack};

/// One of them at a time: each is a load of its own.
static LOAD: Mutex<()> = Mutex::new(());

/// Windows kept of a kind: fewer than there will be.
const KEPT: usize = 4;

/// Whether there is a broker, and a Redis to start.
fn servers() -> Option<String> {
    redis::installed().map_err(|missing| tools::left_out(&format!("{missing:#}"))).ok()?;
    test_kafka().ok()
}

fn settings(further: &[String]) -> Vec<String> {
    let mut all = vec![format!("cache.windows_kept={KEPT}")];
    all.extend_from_slice(further);
    all
}

fn at(address: &str) -> [String; 2] {
    let (host, port) = address.rsplit_once(':').expect("it has a port");
    [format!("redis.host={host}"), format!("redis.port={port}")]
}

/// Waits until a listener answers with that status.
fn wait_for_status(service: &Service, path: &str, status: u16) {
    let mut client = service.client("api");
    wait_for(&format!("{path} to answer {status}"), || {
        client.get(path).is_ok_and(|answer| answer.status == status).then_some(())
    });
}

/// Everything that came of the load is in the cache: by the APIs, and by the keys of the contract.
fn check(dir: &Path, apis: &[Service], pollers: Vec<Poller>, redis: &str) {
    let all = stored(dir);
    let expected = newest(&all, KEPT);
    assert!(all["event"].len() > KEPT, "there was more than is kept: {}", all["event"].len());
    for api in apis {
        wait_for_status(api, "/readyz", 200);
        let mut client = api.client("api");
        let mut last = None;
        let same = || {
            last = answered(&mut client);
            (last.as_ref() == Some(&expected)).then_some(())
        };
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_for("the same", same)));
        assert!(looked.is_ok(), "{last:?}\n is not\n{expected:?}");
    }
    assert_eq!(kept(redis), expected, "by the keys of the contract");
    for poller in pollers {
        let (answers, refusals) = poller.end(&all["event"]);
        println!("{answers} answers, {refusals} times 503, no window twice, nothing that was not committed");
        assert!(refusals > 0, "it was away");
    }
}

/// The next message on the channel of the contract.
fn published(redis: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(redis).expect("it answers");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a socket");
    stream.write_all(b"SUBSCRIBE cache:updates\r\n").expect("it listens");
    let lines = BufReader::new(stream).lines();
    let message = lines.map(|line| line.expect("it answers")).find(|line| line.starts_with('{'));
    serde_json::from_str(&message.expect("something is published")).expect("it is JSON")
}

fn end(services: impl IntoIterator<Item = Service>) {
    for service in services {
        let ended = service.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn the_cache_in_redis_heals_whatever_becomes_of_it() {
    let Some(bootstrap) = servers() else { return };
    let _alone = LOAD.lock().unwrap_or_else(PoisonError::into_inner);
    // One of its own: it is killed. What it keeps is as of its last snapshot.
    let dir = TempDir::new().expect("a temporary directory");
    let mut server = Redis::start_with(dir.path(), &[("appendonly", "no")]).expect("a server starts");
    let address = server.address().to_owned();
    let ask = |words: &[&str]| command(&address, words).expect("it answers");
    let mut stack = Stack::new(&bootstrap);
    stack.settings = settings(&at(&address));
    let (ingest, _dataflow) = (stack.start("ingest"), Kept::start(stack.command("dataflow")));
    // Both sinks in one process.
    let mut sink = stack.start("sink");
    let apis = [stack.start("cache-api"), stack.start("cache-api")];
    let traffic = Traffic::start(ingest.address("ingest"));
    for api in &apis {
        wait_for_status(api, "/readyz", 200);
    }
    let message = published(&address);
    assert!(message["kind"].is_string() && message["fields"].is_object(), "{message}");
    let pollers = apis.iter().map(|api| Poller::start(api.address("api"))).collect();

    // An older state, and one that lacks what comes after it.
    let (dump, older) = (dir.path().join("dump.rdb"), dir.path().join("older.rdb"));
    traffic.go_on(400);
    ask(&["SAVE"]);
    std::fs::copy(&dump, &older).expect("it was saved");
    traffic.go_on(400);
    ask(&["SAVE"]);
    traffic.go_on(100);
    for api in &apis {
        wait_for_status(api, "/healthz", 200);
    }
    server.kill();
    for api in &apis {
        wait_for_status(api, "/healthz", 503);
        wait_for_status(api, "/metrics/event/latest", 503);
    }
    traffic.go_on(200);
    server.restart().expect("it starts again");
    for api in &apis {
        wait_for_status(api, "/healthz", 200);
        let said = api.logged().matches("readers have to wait").count();
        assert!((1..=2).contains(&said), "it is told once, and not with every request: {}", api.logged());
    }
    traffic.go_on(200);
    sink.kill();
    traffic.go_on(100);
    sink = stack.start("sink");
    traffic.go_on(200);
    ask(&["FLUSHALL"]);
    traffic.go_on(300);
    server.kill();
    std::fs::copy(&older, &dump).expect("there is room");
    server.restart().expect("it starts again");
    traffic.go_on(200);

    traffic.end(&stack);
    check(stack.dir(), &apis, pollers, &address);
    // It is the sink that fills the cache, and says so on its port.
    let page = sink.client("sinks").get("/metrics").expect("it answers").text();
    assert!(page.contains("tidegate_cache_rows_total{outcome=\"put\"}"), "{page}");
    assert!(page.contains("tidegate_sink_rows_total{outcome=\"put\"}"), "{page}");
    let page = apis[0].client("api").get("/metrics").expect("it answers").text();
    assert!(!page.contains("tidegate_cache_rows_total"), "{page}");
    end([ingest, sink].into_iter().chain(apis));
}

#[test]
fn the_cache_follows_its_master_to_another_server() {
    let Some(bootstrap) = servers() else { return };
    let _alone = LOAD.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = TempDir::new().expect("a temporary directory");
    let mut master = Redis::start(&dir.path().join("master")).expect("a server starts");
    let of = master.address().replace(':', " ");
    let replica = Redis::start_with(&dir.path().join("replica"), &[("replicaof", &of)]).expect("it starts");
    let sentinel = Sentinel::start(&dir.path().join("sentinel"), "cache", master.address());
    let sentinel = sentinel.expect("a Sentinel starts");
    wait_for("the Sentinel to know the replica", || {
        let known = command(sentinel.address(), &["SENTINEL", "replicas", "cache"]);
        known.is_ok_and(|found| found != Reply::List(Vec::new())).then_some(())
    });
    let mut stack = Stack::new(&bootstrap);
    stack.settings = settings(&[
        format!("redis.sentinels=127.0.0.1:1,{}", sentinel.address()),
        "redis.sentinel_master=cache".to_owned(),
    ]);
    let _dataflow = Kept::start(stack.command("dataflow"));
    let roles = ["ingest", "sink"].map(|role| stack.start(role));
    let apis = [stack.start("cache-api")];
    let traffic = Traffic::start(roles[0].address("ingest"));
    wait_for_status(&apis[0], "/readyz", 200);
    let pollers = vec![Poller::start(apis[0].address("api"))];
    traffic.go_on(500);
    master.kill();
    wait_for_status(&apis[0], "/healthz", 503);
    wait_for("the replica to be the master", || {
        sentinel.master("cache").is_ok_and(|address| address == replica.address()).then_some(())
    });
    wait_for_status(&apis[0], "/healthz", 200);
    traffic.go_on(500);
    traffic.end(&stack);
    check(stack.dir(), &apis, pollers, replica.address());
    end(roles.into_iter().chain(apis));
}

#[test]
fn of_two_sinks_into_one_redis_the_later_one_goes_on() {
    let Some(bootstrap) = servers() else { return };
    let dir = TempDir::new().expect("a temporary directory");
    let server = Redis::start(dir.path()).expect("a server starts");
    let mut stack = Stack::new(&bootstrap);
    stack.settings = settings(&at(server.address()));
    // The topics are there.
    let dataflow = stack.start("dataflow");
    let mut earlier = stack.start_with("sink", &["redis"]);
    let generation = || command(server.address(), &["HGET", "tidegate:state", "generation"]).ok();
    let first = wait_for("it to write", || generation().filter(|held| *held != Reply::Nothing));
    // It sleeps while the other one takes over, and wakes up.
    earlier.signal("STOP");
    let later = stack.start_with("sink", &["redis"]);
    wait_for("the other one to write", || generation().filter(|held| *held != first));
    earlier.signal("CONT");
    let ended = earlier.ended();
    assert_eq!(ended.status.code(), Some(6), "{}", ended.err);
    assert!(ended.err.contains("which took over"), "{}", ended.err);
    // It stores nothing else.
    assert!(!stack.dir().join("data").join("metrics.db").exists());
    end([dataflow, later]);
}

#[test]
fn a_node_of_a_cluster_ends_the_sink_and_is_told_by_the_api() {
    let Some(bootstrap) = servers() else { return };
    let dir = TempDir::new().expect("a temporary directory");
    let server = Redis::start_with(dir.path(), &[("cluster-enabled", "yes")]).expect("a server starts");
    let mut stack = Stack::new(&bootstrap);
    stack.settings = settings(&at(server.address()));
    let dataflow = stack.start("dataflow");
    let mut sink = stack.start_with("sink", &["redis"]);
    let ended = sink.ended();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.err);
    assert!(ended.err.contains("Redis Cluster") && ended.err.contains("cluster-enabled no"), "{}", ended.err);
    let api = stack.start("cache-api");
    let mut client = api.client("api");
    let seen: BTreeMap<u16, usize> = (0..20).fold(BTreeMap::new(), |mut seen, _| {
        let answer = client.get("/healthz").expect("it answers");
        assert!(answer.text().contains("Redis Cluster"), "{}", answer.text());
        *seen.entry(answer.status).or_default() += 1;
        seen
    });
    assert_eq!(seen, BTreeMap::from([(503, 20)]));
    assert_eq!(api.logged().matches("Redis Cluster").count(), 1, "{}", api.logged());
    end([dataflow, api]);
}

#[test]
fn the_whole_pipeline_in_one_process_keeps_its_cache_in_redis() {
    let Some(bootstrap) = servers() else { return };
    let _alone = LOAD.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = TempDir::new().expect("a temporary directory");
    let server = Redis::start(dir.path()).expect("a server starts");
    let mut stack = Stack::new(&bootstrap);
    stack.settings = settings(&at(server.address()));
    let listeners =
        ["--ingest-listen", "--api-listen", "--dataflow-listen", "--metrics-listen", "--sink-listen"];
    let mut command = stack.tool(&["up", "--data-dir", "data"]);
    let all = Service::start(command.args(listeners.iter().flat_map(|listener| [listener, "0"])));
    let traffic = Traffic::start(all.address("ingest"));
    traffic.go_on(200);
    wait_for_status(&all, "/readyz", 200);
    traffic.end(&stack);
    let mut client = all.client("api");
    let expected = newest(&stored(stack.dir()), KEPT);
    wait_for("the same", || (answered(&mut client).as_ref() == Some(&expected)).then_some(()));
    assert_eq!(kept(server.address()), expected, "by the keys of the contract");
    assert!(!all.logged().contains("has no effect"), "{}", all.logged());
    end([all]);
}

/// It answers from Redis, and needs nothing else.
#[test]
fn a_cache_api_on_redis_needs_no_kafka() {
    if servers().is_none() {
        return;
    }
    let dir = TempDir::new().expect("a temporary directory");
    let server = Redis::start(dir.path()).expect("a server starts");
    let mut stack = Stack::new("127.0.0.1:1");
    stack.settings = settings(&at(server.address()));
    let api = stack.start("cache-api");
    wait_for_status(&api, "/healthz", 200);
    wait_for_status(&api, "/readyz", 503);
    end([api]);
}
