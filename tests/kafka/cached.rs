//! Windows in a cache, as its readers see them, beside those of the metric store.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_services::redis::{Reply, command};

use crate::common::http::Client;
use crate::common::{Event, now_ms, query, wait_for};
use crate::stack::Stack;

/// The windows of a kind: by their starts, the values of their fields.
pub(crate) type Windows = BTreeMap<i64, BTreeMap<String, f64>>;

/// A kind, its route, and the statement that gives its windows: start, label, and the cached columns.
const KINDS: [(&str, &str, &str, &[&str]); 3] = [
    ("event", "event", "event_type AS label, event_count AS count, user_count AS users", &["count", "users"]),
    (
        "perf",
        "performance",
        "device_category AS label, avg_load_time, p95_load_time",
        &["avg_load_time", "p95_load_time"],
    ),
    (
        "session",
        "session",
        "device_category AS label, sessions, bounces, avg_duration, avg_page_count",
        &["sessions", "bounces", "avg_duration", "avg_page_count"],
    ),
];

/// The table of a kind.
fn table(kind: &str) -> &'static str {
    match kind {
        "event" => "event_metrics",
        "perf" => "performance_metrics",
        _ => "session_window_metrics",
    }
}

/// The windows of every kind, by the metric store of a data directory.
pub(crate) fn stored(dir: &Path) -> BTreeMap<&'static str, Windows> {
    let of_kind = |(kind, _, columns, fields): &(&'static str, &str, &str, &[&str])| {
        let start = "CAST(strftime('%s', window_start) AS INTEGER) * 1000 + CAST(substr(window_start, 21) AS INTEGER)";
        let mut windows = Windows::new();
        for row in query(dir, &format!("SELECT {start} AS start, {columns} FROM {}", table(kind))) {
            let start = row["start"].as_i64().expect("a number");
            let label = row["label"].as_str().expect("text");
            for field in *fields {
                let value = row[*field].as_f64().expect("a number");
                windows.entry(start).or_default().insert(format!("{label}.{field}"), value);
            }
        }
        (*kind, windows)
    };
    KINDS.iter().map(of_kind).collect()
}

/// The newest of every kind.
pub(crate) fn newest(all: &BTreeMap<&'static str, Windows>, kept: usize) -> BTreeMap<&'static str, Windows> {
    let cut = |windows: &Windows| windows.iter().rev().take(kept).map(|(a, b)| (*a, b.clone())).collect();
    all.iter().map(|(kind, windows)| (*kind, cut(windows))).collect()
}

/// The windows of every kind, by a cache API; `None` while it does not answer.
pub(crate) fn answered(client: &mut Client) -> Option<BTreeMap<&'static str, Windows>> {
    let mut all = BTreeMap::new();
    for (kind, route, ..) in KINDS {
        let answer = client.get(&format!("/metrics/{route}/windows?limit=120")).ok()?;
        if answer.status != 200 {
            assert_eq!(answer.status, 503, "{}", answer.text());
            return None;
        }
        all.insert(kind, windows(&answer.json()));
    }
    Some(all)
}

/// The windows of an answer, each once and the newest first.
fn windows(answer: &serde_json::Value) -> Windows {
    let list = answer["windows"].as_array().expect("a list");
    let mut found = Windows::new();
    for window in list {
        let mut fields = window.as_object().expect("an object").clone();
        let start = fields.remove("window_start").and_then(|start| start.as_i64()).expect("a number");
        let oldest = found.first_key_value().map(|(oldest, _)| *oldest);
        assert!(oldest.is_none_or(|oldest| start < oldest), "twice, or out of order: {answer}");
        let fields = fields.into_iter().map(|(name, value)| (name, value.as_f64().expect("a number")));
        found.insert(start, fields.collect());
    }
    found
}

/// The windows of every kind, by the keys of the contract.
pub(crate) fn kept(redis: &str) -> BTreeMap<&'static str, Windows> {
    let list = |words: &[&str]| match command(redis, words).expect("it answers") {
        Reply::List(items) => items.into_iter().map(|item| match item {
            Reply::Text(text) => text,
            other => panic!("{other:?}"),
        }),
        other => panic!("{other:?}"),
    };
    let of_kind = |(kind, ..): &(&'static str, &str, &str, &[&str])| {
        let starts = list(&["ZRANGE", &format!("metrics:{kind}:windows"), "0", "-1"]);
        let windows = starts.map(|start| {
            let flat: Vec<String> = list(&["HGETALL", &format!("metrics:{kind}:{start}")]).collect();
            let pair = |pair: &[String]| (pair[0].clone(), pair[1].parse().expect("a number"));
            (start.parse().expect("a number"), flat.chunks(2).map(pair).collect())
        });
        (*kind, windows.collect())
    };
    KINDS.iter().map(of_kind).collect()
}

/// Sends events of every kind and device, all the time.
pub(crate) struct Traffic {
    ends: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Traffic {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let (ends, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (over, count) = (Arc::clone(&ends), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let mut client = Client::new(to);
            let mut index: usize = 0;
            while !over.load(Ordering::Relaxed) {
                let kind = ["page_view", "click", "page_view", "conversion", "add_to_cart"][index % 5];
                let agent = ["Mozilla", "Mobile Safari", "Googlebot Bot", "Tablet"][index % 4].to_owned();
                let load_time = Some(i64::try_from(index * 37 % 900).expect("small"));
                let page_view = Event::page_view(&format!("user-{}", index / 3), now_ms());
                let event = Event { kind, agent, load_time, ..page_view };
                let answer = client.post("/v1/analytics/track", &event.line()).expect("it answers");
                if answer.status == 202 {
                    count.fetch_add(1, Ordering::Relaxed);
                    index += 1;
                } else {
                    // A broker that is slow: it may have been counted. Another user's comes next.
                    assert_eq!(answer.status, 503, "{}", answer.text());
                    index += 3;
                }
                std::thread::park_timeout(Duration::from_millis(5));
            }
        });
        Self { ends, acknowledged, thread }
    }

    /// Waits until so many further events were acknowledged.
    pub(crate) fn go_on(&self, events: u64) {
        let until = self.acknowledged.load(Ordering::Relaxed) + events;
        wait_for("events to be sent", || (self.acknowledged.load(Ordering::Relaxed) >= until).then_some(()));
    }

    /// Ends it, and waits until every acknowledged event was read, what was counted of them is in rows of the metric
    /// store, and every session is in a window.
    pub(crate) fn end(self, stack: &Stack) {
        let dir = stack.dir();
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic");
        let sent = self.acknowledged.load(Ordering::Relaxed);
        let number = |sql: &str| query(dir, sql)[0]["n"].as_u64().expect("a number");
        wait_for("every event to be in a row", || {
            let stored = number("SELECT coalesce(sum(event_count), 0) AS n FROM event_metrics");
            let ledger = &stack.ledger()["EventAggregator"];
            // Where the broker was slow some may have come too late: those are not counted, and have no row.
            let is_read = ledger["accepted"].as_u64().is_some_and(|accepted| accepted >= sent);
            (is_read && ledger["counted"].as_u64() == Some(stored)).then_some(())
        });
        wait_for("every session to be in a window", || {
            let pages = number("SELECT coalesce(sum(page_count), 0) AS n FROM session_metrics");
            let viewed = stack.ledger()["SessionTracker"]["counted"].as_u64();
            let ended = number("SELECT count(*) AS n FROM session_metrics");
            let in_windows = number("SELECT coalesce(sum(sessions), 0) AS n FROM session_window_metrics");
            (Some(pages) == viewed && ended == in_windows).then_some(())
        });
        println!("{sent} events acknowledged; what was counted is in rows");
    }
}

/// Reads closed windows all the time, and remembers what it saw.
pub(crate) struct Poller {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What a poller saw: the values of each field of each window, as bits; and how often there was no answer.
#[derive(Default)]
pub(crate) struct Seen {
    values: BTreeSet<(i64, String, u64)>,
    answers: u64,
    refusals: u64,
}

impl Poller {
    pub(crate) fn start(api: SocketAddr) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let (mut client, mut seen) = (Client::new(api), Seen::default());
            while !over.load(Ordering::Relaxed) {
                let answer = client.get("/metrics/event/windows?limit=120").expect("the API is there");
                if answer.status == 200 {
                    seen.answers += 1;
                    for (start, fields) in windows(&answer.json()) {
                        let fields = fields.into_iter();
                        seen.values.extend(fields.map(|(field, value)| (start, field, value.to_bits())));
                    }
                } else {
                    assert_eq!(answer.status, 503, "{}", answer.text());
                    seen.refusals += 1;
                }
                std::thread::park_timeout(Duration::from_millis(2));
            }
            seen
        });
        Self { ends, thread }
    }

    /// Ends it: what it saw of closed windows is what was committed.
    pub(crate) fn end(self, stored: &Windows) -> (u64, u64) {
        self.ends.store(true, Ordering::Relaxed);
        let seen = self.thread.join().expect("it saw no window twice");
        for (start, field, bits) in &seen.values {
            let committed = stored.get(start).and_then(|fields| fields.get(field));
            assert_eq!(committed.map(|value| value.to_bits()), Some(*bits), "{field} of {start}");
        }
        assert!(!seen.values.is_empty(), "it saw something");
        (seen.answers, seen.refusals)
    }
}
