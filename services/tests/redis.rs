//! A Redis starts, keeps what it acknowledged when it is killed, and a Sentinel puts a replica in its place.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tidegate_services::redis::{Reply, Sentinel, command, version};
use tidegate_services::{Redis, redis, tools};

/// Whether the server is here; says so where it is not.
fn is_here() -> bool {
    redis::installed().map_err(|missing| tools::left_out(&format!("{missing:#}"))).is_ok()
}

fn text(text: &str) -> Reply {
    Reply::Text(text.to_owned())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}: not yet");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_redis_still_has_every_key() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().expect("there is room");
    let mut server = Redis::start_with(dir.path(), &[("appendfsync", "always")]).expect("it starts");
    let address = server.address().to_owned();
    let ask = |words: &[&str]| command(&address, words).expect("it answers");
    assert!(version(&address).expect("it answers").contains('.'));
    assert_eq!(ask(&["SET", "kept", "a\r\nb"]), text("OK"));
    server.kill();
    assert!(command(&address, &["PING"]).is_err(), "it is gone");
    server.restart().expect("it starts again");
    assert_eq!(ask(&["GET", "kept"]), text("a\r\nb"));
    assert_eq!(
        ask(&["CONFIG", "GET", "appendfsync"]),
        Reply::List(vec![text("appendfsync"), text("always")])
    );
    assert_eq!(ask(&["CONFIG", "GET", "save"]), Reply::List(vec![text("save"), text("")]));

    server.pause().expect("it is stopped");
    let (sender, answer) = mpsc::channel();
    let asked = address.clone();
    let asking = thread::spawn(move || sender.send(command(&asked, &["DEL", "kept"])));
    assert!(answer.recv_timeout(Duration::from_millis(200)).is_err(), "nothing answers");
    server.resume().expect("it goes on");
    assert_eq!(answer.recv().expect("an answer comes").expect("it is no error"), Reply::Number(1));
    asking.join().expect("it has its answer").expect("the answer is waited for");
    assert_eq!(ask(&["GET", "kept"]), Reply::Nothing);
}

#[test]
fn a_sentinel_puts_the_replica_in_the_place_of_a_killed_master() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().expect("there is room");
    let mut master = Redis::start(&dir.path().join("master")).expect("it starts");
    let of = master.address().replace(':', " ");
    let replica = Redis::start_with(&dir.path().join("replica"), &[("replicaof", &of)]).expect("it starts");
    let sentinel =
        Sentinel::start(&dir.path().join("sentinel"), "cache", master.address()).expect("it starts");
    assert_eq!(sentinel.master("cache").expect("it answers"), master.address());
    assert_eq!(command(master.address(), &["SET", "kept", "1"]).expect("it answers"), text("OK"));
    wait_until("the replica has it", || {
        command(replica.address(), &["GET", "kept"]).is_ok_and(|value| value == text("1"))
    });
    let words = ["SENTINEL", "replicas", "cache"];
    wait_until("the Sentinel knows the replica", || {
        command(sentinel.address(), &words).is_ok_and(|found| found != Reply::List(Vec::new()))
    });
    master.kill();
    wait_until("the replica is the master", || {
        sentinel.master("cache").is_ok_and(|address| address == replica.address())
    });
    assert_eq!(command(replica.address(), &["GET", "kept"]).expect("it answers"), text("1"));
}
