//! The dataflow as several processes: their rows, rescaling, and what becomes of it when one of them is gone.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tidegate_services::test_kafka;

use crate::common::service::{Ended, SHORT, Service, up};
use crate::common::{self, assert_same, now_ms, query, wait_for};
use crate::load::{Sender, Sent};
use crate::stack::{Stack, start_all};
use crate::wire::Wire;
use crate::{counted, events, send_all, tables};

/// The processes of a dataflow, by their numbers.
struct Cluster {
    processes: Vec<Service>,
}

/// Where so many processes listen for each other. These ports are below those that the system gives to whoever opens a
/// connection: nobody takes one between now and then.
fn hosts(processes: usize) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 500).expect("small") * 20;
    let mut hosts = Vec::new();
    while hosts.len() < processes {
        let port = 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let host = format!("127.0.0.1:{port}");
        // Somebody else may have it all the same.
        if TcpListener::bind(&host).is_ok() {
            hosts.push(host);
        }
    }
    hosts.join(",")
}

impl Cluster {
    /// Starts so many processes of so many workers, and waits until all are there.
    fn start(stack: &Stack, processes: usize, workers: usize) -> Self {
        Self::start_at(stack, &vec![hosts(processes); processes], workers)
    }

    /// Starts processes each of which knows the others under addresses of its own.
    fn start_at(stack: &Stack, hosts: &[String], workers: usize) -> Self {
        let (workers, mut commands) = (workers.to_string(), Vec::new());
        for (process, hosts) in hosts.iter().enumerate() {
            let mut command = stack.command("dataflow");
            command.args(["--hosts", hosts, "--process", &process.to_string(), "--workers", &workers]);
            commands.push(command);
        }
        let processes = start_all("dataflow", commands);
        Self { processes }
    }

    /// Tells one of them to end; all do, in order.
    fn terminate(self, told: usize) {
        self.processes[told].signal("TERM");
        for mut process in self.processes {
            let ended = process.ended();
            assert!(ended.status.success(), "{}{}", ended.out, ended.err);
        }
    }

    /// Waits until all of them have ended, except one.
    fn ended_but(&mut self, gone: usize) -> Vec<Ended> {
        let others = self.processes.iter_mut().enumerate().filter(|(process, _)| *process != gone);
        others.map(|(_, process)| process.ended()).collect()
    }
}

#[test]
fn any_number_of_processes_makes_the_rows_of_one() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    let patient = ["time.watermark_bound=4s", "time.idle_timeout=4s"];
    stack.settings = patient.map(str::to_owned).into();
    stack.settings.push("snapshot.every=500ms".to_owned());
    let (ingest, sink) = (stack.start("ingest"), stack.start("sink"));
    let alone = tempfile::TempDir::new().expect("a temporary directory");
    let mut command = up(alone.path(), "data");
    command.args(SHORT).args(patient.iter().flat_map(|setting| ["--set", setting]));
    let one = Service::start(&mut command);

    let mut pages = 0;
    // Sessions and windows are open at each change: what is open moves between workers and processes.
    for (round, (processes, workers)) in [(2, 2), (3, 1), (1, 4), (2, 1)].into_iter().enumerate() {
        let cluster = Cluster::start(&stack, processes, workers);
        let events = events(now_ms());
        pages += events.iter().filter(|event| event.kind == "page_view").count() as u64;
        send_all(&mut ingest.client("ingest"), &events);
        send_all(&mut one.client("ingest"), &events);
        if round == 3 {
            for dir in [alone.path(), stack.dir()] {
                wait_for("every page view to be in a session", || (counted(dir) == pages).then_some(()));
                wait_for("the windows over sessions to close", || {
                    let sql = "SELECT (SELECT sum(sessions) FROM session_window_metrics) = count(*) AS n \
                               FROM session_metrics";
                    (query(dir, sql)[0]["n"] == 1).then_some(())
                });
            }
        }
        cluster.terminate(round % processes);
    }
    for service in [ingest, sink, one] {
        assert!(service.terminate().status.success());
    }
    assert_same(&tables(stack.dir()), &tables(alone.path()), "with several processes");
}

#[test]
fn a_process_that_is_killed_ends_the_others_and_loses_nothing() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["snapshot.every=300ms".to_owned()];
    let (ingest, sink) = (stack.start("ingest"), stack.start("sink"));
    let sender = Sender::start(ingest.address("ingest"));
    for (round, (processes, workers)) in [(2, 2), (3, 1), (2, 1), (3, 2)].into_iter().enumerate() {
        let mut cluster = Cluster::start(&stack, processes, workers);
        std::thread::park_timeout(Duration::from_millis([700, 200, 1_200, 400][round]));
        let gone = [1, 0, 0, 2][round];
        cluster.processes[gone].signal("KILL");
        for ended in cluster.ended_but(gone) {
            let (code, err) = (ended.status.code(), ended.err);
            assert_eq!(code, Some(1), "{err}");
            assert!(err.contains(&format!("process {gone} of the dataflow, at 127.0.0.1:")), "{err}");
            assert!(err.contains("is gone"), "{err}");
        }
    }
    let cluster = Cluster::start(&stack, 2, 1);
    let sent = sender.end();
    sent.check(stack.dir());
    assert!(sent.acknowledged.len() > 100, "{}", sent.acknowledged.len());
    cluster.terminate(1);
    assert!(ingest.terminate().status.success() && sink.terminate().status.success());
}

#[test]
fn a_process_that_hangs_ends_the_others() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["cluster.silence=2s".to_owned()];
    let (ingest, _sink) = (stack.start("ingest"), stack.start("sink"));
    let (mut sent, mut client) = (Sent::default(), ingest.client("ingest"));
    for hangs in [1, 0] {
        let mut cluster = Cluster::start(&stack, 2, 1);
        for _ in 0..30 {
            sent.send(&mut client);
        }
        cluster.processes[hangs].signal("STOP");
        let ended = cluster.processes[1 - hangs].ended();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
        assert!(ended.err.contains("nothing was heard of it for 2 s"), "{}", ended.err);
        // Others take over before it wakes up: it must not change anything.
        let successor = Cluster::start(&stack, 2, 1);
        for _ in 0..30 {
            sent.send(&mut client);
        }
        cluster.processes[hangs].signal("CONT");
        let ended = cluster.processes[hangs].ended();
        assert!(matches!(ended.status.code(), Some(1 | 6)), "{}", ended.err);
        sent.check(stack.dir());
        successor.terminate(0);
    }
}

#[test]
fn a_cut_between_processes_ends_both() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["cluster.silence=2s".to_owned()];
    let (ingest, _sink) = (stack.start("ingest"), stack.start("sink"));
    let sender = Sender::start(ingest.address("ingest"));
    let hosts = hosts(2);
    let (zero, one) = hosts.split_once(',').expect("two");
    let wire = Wire::to(zero);
    let through_it = format!("{},{one}", wire.host());
    let mut cluster = Cluster::start_at(&stack, &[hosts.clone(), through_it], 1);
    std::thread::park_timeout(Duration::from_millis(500));
    // Both still reach Kafka, and neither is told that the other is not there.
    wire.cut();
    for process in &mut cluster.processes {
        let ended = process.ended();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
        assert!(ended.err.contains("nothing was heard of it for 2 s"), "{}", ended.err);
    }
    let successor = Cluster::start(&stack, 2, 1);
    sender.end().check(stack.dir());
    successor.terminate(1);
}

#[test]
fn processes_that_wait_for_others_end_when_they_are_told_to() {
    let Ok(bootstrap) = test_kafka() else { return };
    let stack = Stack::new(&bootstrap);
    let hosts = hosts(3);
    for process in ["0", "1"] {
        let mut command = stack.command("dataflow");
        command.args(["--hosts", &hosts, "--process", process]).stderr(Stdio::piped());
        let mut waiting = Killed(command.spawn().expect("the program starts"));
        let mut said = BufReader::new(waiting.0.stderr.take().expect("it is piped")).lines();
        let mut next = || said.next().expect("it goes on").expect("text");
        while !next().contains("waiting for process") {}
        let pid = waiting.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().expect("there is a kill").success());
        let status = wait_for("it to end", || waiting.0.try_wait().expect("a child"));
        assert_eq!(status.code(), Some(0), "{}", next());
    }
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn processes_that_do_not_fit_are_refused() {
    let Ok(bootstrap) = test_kafka() else { return };
    let stack = Stack::new(&bootstrap);
    for (args, said) in [
        (&["--process", "1"][..], "cluster.process is 1, but there is one process only"),
        (&["--processes", "2"], "cluster.processes is 2, but cluster.hosts names 0 (none)"),
        (&["--hosts", "a:1,b"], "cluster.hosts names \"b\", which is no host:port"),
        (&["--hosts", "a:1,a:1"], "cluster.hosts names a:1 twice"),
        (&["--hosts", "a:1,b:1", "--process", "2"], "must be one of 0 to 1"),
        (&["--hosts", "a:1,b:1", "--workers", "200"], "more than 256 workers in all"),
    ] {
        let ran = common::run(stack.command("dataflow").args(args));
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(said), "no {said:?} in {}", ran.err);
    }
    let hosts = hosts(3);
    let of = |process: &'static str| ["--hosts", hosts.as_str(), "--process", process];
    // They say their addresses when all are there, which never happens.
    let spawn = |process| {
        let mut command = stack.command("dataflow");
        command.args(of(process)).stdout(Stdio::null()).stderr(Stdio::null());
        Killed(command.spawn().expect("the program starts"))
    };
    let (first, second) = (spawn("0"), spawn("1"));
    let other = format!("topics.events={}", stack.topic("others"));
    // Where nobody else listens.
    let fewer = hosts.split(',').step_by(2).collect::<Vec<_>>().join(",");
    for (args, said) in [
        (&["--hosts", &fewer, "--process", "1"][..], "its number of processes (cluster.hosts) is 2"),
        (&["--hosts", &hosts, "--process", "2", "--workers", "3"], "its number of workers (workers) is 3"),
        (
            &["--hosts", &hosts, "--process", "2", "--set", "jobs.session_gap=9s"],
            "its setting session_gap_ms is 9000",
        ),
        (&["--hosts", &hosts, "--process", "2", "--set", &other], "its log is deployment "),
    ] {
        let ran = common::run(stack.command("dataflow").args(args));
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(said), "no {said:?} in {}", ran.err);
    }
    // A third one completes them, but its snapshots are its own.
    let elsewhere = tempfile::TempDir::new().expect("a temporary directory");
    let ran = common::run(stack.command("dataflow").args(of("2")).current_dir(elsewhere.path()));
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("the snapshots of process 0 are not seen here"), "{}", ran.err);
    for mut process in [first, second] {
        assert_eq!(process.0.wait().expect("a child").code(), Some(3), "they end with it");
    }
}
