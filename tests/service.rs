//! The service as a whole, over HTTP: what is sent comes out, and nothing else.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::http::{Answer, Client};
use common::service::{SHORT, Service, up};
use common::{Event, Seeded, now_ms, query, run, tidegate, wait_for};
use serde_json::Value;
use tempfile::TempDir;

const TRACK: &str = "/v1/analytics/track";

/// One event of some user, now.
fn event(random: &mut Seeded) -> Event {
    let user = format!("u{}", random.below(40));
    let kind = random.of(&["page_view", "page_view", "click", "add_to_cart", "conversion"]);
    let agent = random.of(&["Mozilla Mobile", "Mozilla Tablet", "Mozilla", "Googling Bot"]).to_owned();
    let load_time = (random.below(4) > 0).then(|| i64::try_from(random.below(3_000)).expect("small"));
    Event { kind, agent, load_time, ..Event::page_view(&user, now_ms()) }
}

/// The ledger as the journal has it.
fn ledger(dir: &Path) -> Value {
    let ran = run(tidegate(dir).args(["ledger", "--format", "json", "--data-dir", "data"]));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).unwrap_or(Value::Null)
}

fn accepted(dir: &Path) -> u64 {
    ledger(dir)["EventAggregator"]["accepted"].as_u64().unwrap_or(0)
}

/// The windows of a route of the API, by their start.
fn windows(api: &mut Client, route: &str) -> BTreeMap<i64, Value> {
    let answer = api.get(&format!("/metrics/{route}/windows?limit=120")).expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("tidegate-frontier").is_some(), "{}", answer.head);
    let json = answer.json();
    let list = json["windows"].as_array().expect("a list");
    list.iter().map(|window| (window["window_start"].as_i64().expect("a number"), window.clone())).collect()
}

fn sum(windows: &BTreeMap<i64, Value>, field: &str) -> u64 {
    let of = |window: &Value| {
        let fields = window.as_object().expect("an object").iter();
        fields.filter(|(name, _)| name.ends_with(field)).filter_map(|(_, value)| value.as_u64()).sum::<u64>()
    };
    windows.values().map(of).sum()
}

/// Sends events from four connections at once, and says what was sent. Each must be acknowledged.
fn send(service: &Service, events: usize) -> Vec<Event> {
    let sender = |seed: u64| {
        let mut client = service.client("ingest");
        std::thread::spawn(move || {
            let mut random = Seeded(seed);
            let mut sent = Vec::new();
            for _ in 0..events / 4 {
                let event = event(&mut random);
                let answer = client.post(TRACK, &event.line()).expect("it answers");
                assert_eq!((answer.status, answer.text().as_str()), (202, r#"{"status":"accepted"}"#));
                sent.push(event);
            }
            sent
        })
    };
    let senders: Vec<_> = (0..4).map(sender).collect();
    senders.into_iter().flat_map(|sender| sender.join().expect("it does not panic")).collect()
}

/// What the windows of events must say.
fn expected_windows(sent: &[Event]) -> BTreeMap<i64, Value> {
    let mut users: BTreeMap<(i64, &str), (u64, BTreeSet<&str>)> = BTreeMap::new();
    for event in sent {
        let start = event.time.div_euclid(2_000) * 2_000;
        let (count, distinct) = users.entry((start, event.kind)).or_default();
        *count += 1;
        distinct.insert(&event.user);
    }
    let mut windows: BTreeMap<i64, Value> = BTreeMap::new();
    for ((start, kind), (count, distinct)) in users {
        let window = windows.entry(start).or_insert_with(|| serde_json::json!({ "window_start": start }));
        window[format!("{kind}.count")] = count.into();
        window[format!("{kind}.users")] = distinct.len().into();
    }
    windows
}

#[test]
fn the_numbers_of_the_api_are_those_that_were_sent() {
    let dir = TempDir::new().expect("a temporary directory");
    // Whoever is slow here is late, not lost.
    let lateness = ["--set", "jobs.allowed_lateness=10m"];
    let service = Service::start(up(dir.path(), "data").args(SHORT).args(lateness));
    let mut sent = send(&service, 400);
    wait_for("the first window to be over", || (now_ms() > sent[0].time + 2_000).then_some(()));
    sent.extend(send(&service, 400));

    let mut api = service.client("api");
    wait_for("every event to be in a closed window", || {
        let counted = sum(&windows(&mut api, "event"), ".count");
        assert!(counted <= sent.len() as u64, "{counted} events are counted, {} were sent", sent.len());
        (counted == sent.len() as u64).then_some(())
    });
    assert_eq!(windows(&mut api, "event"), expected_windows(&sent));

    let views = sent.iter().filter(|event| event.kind == "page_view").count() as u64;
    let pages = "SELECT count(*) AS sessions, sum(page_count) AS pages FROM session_metrics";
    let sessions = wait_for("every session to be closed", || {
        let row = query(dir.path(), pages).remove(0);
        (row["pages"].as_u64() == Some(views)).then(|| row["sessions"].as_u64().expect("a number"))
    });
    wait_for("every session to be in a closed window", || {
        (sum(&windows(&mut api, "session"), ".sessions") == sessions).then_some(())
    });
    for window in windows(&mut api, "performance").values() {
        for (name, value) in
            window.as_object().expect("an object").iter().filter(|(name, _)| *name != "window_start")
        {
            assert!(value.as_f64().is_some_and(|value| (0.0..3_000.0).contains(&value)), "{name} {value}");
        }
    }

    let status = service.client("dataflow").get("/v1/ledger").expect("it answers");
    assert_eq!(status.status, 200, "{}", status.text());
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(accepted(dir.path()), sent.len() as u64);
    assert!(ended.out.contains("adds up") && !ended.out.contains("DOES NOT ADD UP"), "{}", ended.out);
    for secret in ["\"u1\"", "s-u1"] {
        assert!(!ended.err.contains(secret), "a user is named in the log: {}", ended.err);
    }
}

#[test]
fn what_was_acknowledged_before_the_end_is_committed_by_it() {
    let dir = TempDir::new().expect("a temporary directory");
    let service = Service::start(&mut up(dir.path(), "data"));
    let sent = send(&service, 200);
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(accepted(dir.path()), sent.len() as u64, "{}{}", ended.out, ended.err);
}

#[test]
fn a_service_whose_output_and_log_nobody_reads_serves_on_and_drains() {
    let dir = TempDir::new().expect("a temporary directory");
    let service = Service::start_unread(&mut up(dir.path(), "data"), false);
    // Committed events mean that it was ready, and has said so to nobody.
    let mut sent = send(&service, 8).len() as u64;
    wait_for("the first events to be committed", || (accepted(dir.path()) == sent).then_some(()));
    sent += send(&service, 200).len() as u64;
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(accepted(dir.path()), sent);
}

/// An event whose session is its own, so that a row of a session tells of exactly one event.
fn single(name: &str) -> String {
    Event { kind: "page_view", ..Event::page_view(name, now_ms()) }.line()
}

#[test]
fn every_acknowledged_event_is_counted_once_however_often_the_process_is_killed() {
    let dir = TempDir::new().expect("a temporary directory");
    let command = |workers: u32| {
        let mut command = up(dir.path(), "data");
        command.args(SHORT).args(["--set", "jobs.allowed_lateness=10m"]);
        // Snapshots all the time, and nothing kept that only older ones need.
        command.args(["--set", "snapshot.every=100ms", "--set", "snapshot.history=0s"]);
        command.args(["--set", &format!("workers={workers}")]);
        command
    };
    let mut from_snapshot = 0;
    let (mut sent, mut acknowledged) = (BTreeSet::new(), BTreeSet::new());
    let seed = now_ms().unsigned_abs();
    println!("seed of the moments: {seed}");
    let mut moments = Seeded(seed);
    for round in 0..20 {
        // The rows do not depend on the number of workers, and it changes from one start to the next.
        let service = Service::start(&mut command([1, 4, 2][round % 3]));
        let metrics = service.client("metrics").get("/metrics").expect("it answers").text();
        from_snapshot += u32::from(metrics.contains("\ntidegate_snapshot_read_seconds "));
        let kill_after = moments.below(400);
        // In some rounds everything falls silent for longer than the idle timeout before the load.
        if round % 5 == 0 {
            let mut client = service.client("ingest");
            let name = format!("r{round}-quiet");
            let answer = client.post(TRACK, &single(&name)).expect("it answers");
            assert_eq!(answer.status, 202);
            sent.insert(name.clone());
            acknowledged.insert(name);
            let quiet_since = now_ms();
            wait_for("the idle timeout to pass", || (now_ms() > quiet_since + 1_500).then_some(()));
        }
        let (report, reports) = std::sync::mpsc::channel();
        let senders: Vec<_> = (0..4)
            .map(|thread| {
                let (mut client, report) = (service.client("ingest"), report.clone());
                std::thread::spawn(move || {
                    for index in 0.. {
                        let name = format!("r{round}-t{thread}-{index}");
                        let answer = client.post(TRACK, &single(&name));
                        let ok = answer.as_ref().is_ok_and(|answer| answer.status == 202);
                        report.send((name, ok)).expect("the test listens");
                        if answer.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        drop(report);
        let mut service = Some(service);
        let mut of_round = 0;
        for (name, ok) in reports {
            sent.insert(name.clone());
            if ok {
                acknowledged.insert(name);
                of_round += 1;
            }
            if of_round > kill_after {
                drop(service.take().map(Service::kill));
            }
        }
        assert!(service.is_none(), "the load ended before the kill");
        for sender in senders {
            sender.join().expect("it does not panic");
        }
    }

    println!("started from a snapshot: {from_snapshot} of 20");
    assert!(from_snapshot > 5, "{from_snapshot} of 20 starts were from a snapshot");
    let service = Service::start(&mut command(2));
    let sessions = wait_for("every session to be closed", || {
        let rows = query(dir.path(), "SELECT session_id, page_count FROM session_metrics");
        (rows.len() as u64 == accepted(dir.path()) && rows.len() >= acknowledged.len()).then_some(rows)
    });
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);

    let mut counted = BTreeSet::new();
    for row in &sessions {
        assert_eq!(row["page_count"], 1, "{row} is counted twice");
        let name = row["session_id"].as_str().expect("a string").trim_start_matches("s-").to_owned();
        assert!(counted.insert(name), "{row} has two rows");
    }
    let lost: Vec<_> = acknowledged.difference(&counted).collect();
    assert!(lost.is_empty(), "acknowledged and not counted: {lost:?}");
    let invented: Vec<_> = counted.difference(&sent).collect();
    assert!(invented.is_empty(), "counted and never sent: {invented:?}");
    let events = query(dir.path(), "SELECT sum(event_count) AS events FROM event_metrics").remove(0);
    assert_eq!(events["events"].as_u64(), Some(counted.len() as u64));
    println!("sent {}, acknowledged {}, counted {}", sent.len(), acknowledged.len(), counted.len());
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let dir = TempDir::new().expect("a temporary directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("an address").port().to_string();
    for (flag, others) in [
        ("--ingest-listen", ["--api-listen", "--dataflow-listen"]),
        ("--api-listen", ["--ingest-listen", "--dataflow-listen"]),
        ("--dataflow-listen", ["--ingest-listen", "--api-listen"]),
    ] {
        let mut command = tidegate(dir.path());
        command.args(["up", "--data-dir", "data", flag, &port]);
        command.args(others.iter().flat_map(|other| [*other, "0"]));
        command.args(["--metrics-listen", "0", "--sink-listen", "0"]);
        let ran = run(&mut command);
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        let address = format!("cannot listen on 127.0.0.1:{port}: ");
        assert!(ran.err.contains(&address) && ran.err.contains(flag), "{}", ran.err);
        assert!(!dir.path().join("data").exists(), "something was written before the ports were known");
    }
}

/// Asks until the answer has this status.
fn wait_for_status(client: &mut Client, path: &str, status: u16) -> Answer {
    wait_for(&format!("{path} to answer {status}"), || {
        client.get(path).ok().filter(|answer| answer.status == status)
    })
}

#[test]
fn a_log_that_becomes_full_names_its_limit_before_and_after() {
    let dir = TempDir::new().expect("a temporary directory");
    let small = ["--set", "log.total_bytes_max=1MiB", "--set", "log.segment_bytes_max=1MiB"];
    let service = Service::start(up(dir.path(), "data").args(small));
    let mut client = service.client("ingest");
    let mut event = Event { agent: "x".repeat(100_000), ..Event::page_view("u", now_ms()) };
    for _ in 0..7 {
        assert_eq!(client.post(TRACK, &event.line()).expect("it answers").status, 202);
    }
    assert!(!service.logged().contains("7/8"), "it is less full: {}", service.logged());
    while client.post(TRACK, &event.line()).expect("it answers").status == 202 {}
    // Smaller ones still find room, until there is none.
    event.agent.truncate(20_000);
    while client.post(TRACK, &event.line()).expect("it answers").status == 202 {}
    wait_for("the warning", || service.logged().contains("more than 7/8 full").then_some(()));
    let refused = client.post(TRACK, &event.line()).expect("it answers");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    let detail = refused.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("until the operator raises log.total_bytes_max"), "{detail}");
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(ended.err.matches("more than 7/8 full").count(), 1, "{}", ended.err);
    assert!(ended.err.contains("raise log.total_bytes_max"), "{}", ended.err);
}

#[test]
fn a_full_disk_is_told_to_come_again_and_heals() {
    let dir = TempDir::new().expect("a temporary directory");
    let Some(disk) = common::disk::Disk::mount(&dir.path().join("data"), 6_000) else { return };
    let service = Service::start(up(dir.path(), "data").args(SHORT));
    let mut client = service.client("ingest");
    let long = Event { agent: "x".repeat(100_000), ..Event::page_view("u", now_ms()) };
    let mut acknowledged = 0_u64;
    let refused = wait_for("the disk to be full", || {
        let answer = client.post(TRACK, &long.line()).expect("it answers");
        acknowledged += u64::from(answer.status == 202);
        (answer.status != 202).then_some(answer)
    });
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"), "{}", refused.head);
    assert!(refused.json()["detail"].as_str().expect("a detail").contains("no space is left"), "{refused:?}");
    let not_ready = wait_for_status(&mut client, "/v1/readyz", 503);
    // What is not ready first is the log or the commits.
    let text = not_ready.text();
    assert!(text.contains("no space is left") || text.contains("the disk is full"), "{text}");
    assert!(!text.contains("data/") && !text.contains("journal"), "those who send are told where: {text}");
    let in_full = wait_for_status(&mut service.client("dataflow"), "/readyz", 503).text();
    assert!(in_full.contains("data/"), "an operator is not told where: {in_full}");
    assert_eq!(
        client.get("/v1/healthz").expect("it answers").status,
        200,
        "a full disk is no reason to be killed"
    );

    disk.resize(200_000);
    // It heals although nobody sends anything: whoever is told that it is not ready does not.
    wait_for_status(&mut client, "/v1/readyz", 200);
    wait_for_status(&mut service.client("dataflow"), "/readyz", 200);
    let answer = client.post(TRACK, &single("after")).expect("it answers");
    assert_eq!(answer.status, 202, "{}", answer.text());
    acknowledged += 1;
    let ended = service.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}{}", ended.out, ended.err);
    assert_eq!(accepted(dir.path()), acknowledged);
}
