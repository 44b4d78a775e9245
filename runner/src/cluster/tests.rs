//! Processes that meet, here as threads.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::frame::{receive, send};
use super::message::{Greeting, Hello};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn config(hosts: &[String], process: usize) -> ClusterConfig {
    ClusterConfig {
        process,
        hosts: hosts.to_vec(),
        workers: 1,
        version: "1".to_owned(),
        log: "a log".to_owned(),
        jobs: JobSettings::default(),
        meeting: 7,
        silence_max: Duration::from_secs(5),
    }
}

fn free_hosts(count: usize) -> Vec<String> {
    let free: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    free.iter().map(|listener| listener.local_addr().expect("it listens").to_string()).collect()
}

/// Nobody is told to end, unless a test hangs.
fn in_time() -> ToldToEnd {
    let until = Instant::now() + PATIENCE;
    Arc::new(move || until < Instant::now())
}

/// A connection to whoever listens at `host`, as soon as he does.
fn connect(host: &str) -> TcpStream {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(host) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "nobody listens at {host}: {error}"),
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn hello(process: usize) -> Hello {
    let jobs = JobSettings::default();
    Hello { process, processes: 3, workers: 1, version: "1".to_owned(), log: "a log".to_owned(), jobs }
}

#[test]
fn three_meet_whoever_else_comes_by() {
    let hosts = free_hosts(3);
    let meet = |process: usize| Cluster::meet(config(&hosts, process), in_time());
    let clusters: Vec<Cluster> = std::thread::scope(|scope| {
        let zero = scope.spawn(|| meet(0));
        // Somebody looks what is there, and goes away.
        connect(&hosts[0]).write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it is taken");
        // A process 1 was there, and is gone again.
        send(&mut connect(&hosts[0]), &Greeting::Link(hello(1))).expect("it is taken");
        // One that is left over from another meeting.
        let data = Greeting::Data { process: 2, meeting: 6 };
        send(&mut connect(&hosts[0]), &data).expect("it is taken");
        let others = [scope.spawn(|| meet(2)), scope.spawn(|| meet(1))];
        let all = std::iter::once(zero).chain(others);
        all.map(|met| met.join().expect("no panic").expect("they meet")).collect()
    });
    for cluster in &clusters {
        let connected = cluster.mesh.sockets.iter().filter(|socket| socket.is_some()).count();
        assert_eq!(connected, 2, "to each other one");
    }
    // What is said over a link arrives; and when one of them is dropped the other notices.
    clusters[0].links.tell_all(&Message::Released(tidegate_model::Epoch(3)));
    let mut clusters = clusters.into_iter();
    let (zero, two) = (clusters.next().expect("three"), clusters.next().expect("three"));
    let (from, event) = two.events.recv().expect("it is said");
    assert!(from == 0 && matches!(event, Event::Said(Message::Released(_))), "{event:?}");
    drop(zero);
    let (from, event) = two.events.recv().expect("it is noticed");
    assert!(from == 0 && matches!(event, Event::Gone(_)), "{event:?}");
}

#[test]
fn a_number_is_given_once() {
    let hosts = free_hosts(3);
    let ends = Arc::new(AtomicBool::new(false));
    std::thread::scope(|scope| {
        let zero = scope.spawn(|| {
            let (in_time, ends) = (in_time(), Arc::clone(&ends));
            let told = Arc::new(move || ends.load(Ordering::Acquire) || in_time());
            Cluster::meet(config(&hosts, 0), told).err().expect("told to end")
        });
        let mut first = connect(&hosts[0]);
        send(&mut first, &Greeting::Link(hello(1))).expect("it is taken");
        assert_eq!(receive::<Message>(&mut first).expect("it is wanted"), Message::Beat);
        let mut second = connect(&hosts[0]);
        send(&mut second, &Greeting::Link(hello(1))).expect("it is taken");
        let Message::Refused { reason, for_now: true } = receive(&mut second).expect("it is answered") else {
            panic!("it is not refused");
        };
        assert!(reason.contains("there is a process 1 already"), "{reason}");
        ends.store(true, Ordering::Release);
        let error = zero.join().expect("no panic").to_string();
        assert_eq!(error, format!("told to end while it waited for process 2 at {}", hosts[2]));
    });
}

#[test]
fn a_place_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let host = taken.local_addr().expect("it listens").to_string();
    let hosts = [host.clone(), free_hosts(1).remove(0)];
    let error = Cluster::meet(config(&hosts, 0), in_time()).err().expect("it is taken").to_string();
    assert!(error.contains(&format!("process 0 cannot listen at {host} (cluster.hosts)")), "{error}");
}
