//! Events that are sent one by one, each a session of its own, and what became of them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::common::http::Client;
use crate::common::{Event, now_ms, query, wait_for};

/// What was sent, and what was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// What the names of its users begin with.
    name: String,
    pub(crate) events: BTreeSet<String>,
    pub(crate) acknowledged: BTreeSet<String>,
}

/// Sends all the time, whatever happens to whom it sends.
pub(crate) struct Sender {
    to: Arc<Mutex<SocketAddr>>,
    ends: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    thread: JoinHandle<Sent>,
}

impl Sender {
    /// Begins to send.
    pub(crate) fn start(to: SocketAddr) -> Self {
        Self::start_as("", to)
    }

    /// Begins to send beside others, whose names are different ones.
    pub(crate) fn start_as(name: &str, to: SocketAddr) -> Self {
        let (to, ends) = (Arc::new(Mutex::new(to)), Arc::new(AtomicBool::new(false)));
        let (address, over) = (Arc::clone(&to), Arc::clone(&ends));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let (count, name) = (Arc::clone(&acknowledged), name.to_owned());
        let thread = std::thread::spawn(move || {
            let mut sent = Sent { name, ..Sent::default() };
            let mut last = *address.lock().expect("nobody panics with it");
            let mut client = Client::new(last);
            while !over.load(Ordering::Relaxed) {
                let now = *address.lock().expect("nobody panics with it");
                if now != last {
                    (client, last) = (Client::new(now), now);
                }
                sent.send(&mut client);
                count.store(sent.acknowledged.len(), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(5));
            }
            sent
        });
        Self { to, ends, acknowledged, thread }
    }

    /// How many events were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// From now on it sends there.
    pub(crate) fn send_to(&self, address: SocketAddr) {
        *self.to.lock().expect("nobody panics with it") = address;
    }

    /// Ends it, and says what it sent.
    pub(crate) fn end(self) -> Sent {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().expect("it does not panic")
    }
}

impl Sent {
    /// Sends a page view; what is not answered is not sent again.
    pub(crate) fn send(&mut self, client: &mut Client) {
        let user = format!("{}u{}", self.name, self.events.len());
        let event = Event { load_time: Some(7), ..Event::page_view(&user, now_ms()) };
        self.events.insert(event.session.clone());
        if client.post("/v1/analytics/track", &event.line()).is_ok_and(|answer| answer.status == 202) {
            self.acknowledged.insert(event.session);
        }
    }

    /// Takes in what another one sent.
    pub(crate) fn add(&mut self, other: Self) {
        self.events.extend(other.events);
        self.acknowledged.extend(other.acknowledged);
    }

    /// Has [`check_in`](Self::check_in) look into the tables of a data directory.
    pub(crate) fn check(&self, dir: &Path) {
        let number = |value: &serde_json::Value| value.as_u64().expect("a number");
        let session = |row: serde_json::Value| {
            (row["session_id"].as_str().expect("text").to_owned(), number(&row["page_count"]))
        };
        let sessions = || {
            query(dir, "SELECT session_id, page_count FROM session_metrics")
                .into_iter()
                .map(session)
                .collect()
        };
        let events =
            || number(&query(dir, "SELECT coalesce(sum(event_count), 0) AS n FROM event_metrics")[0]["n"]);
        self.check_in(sessions, events);
    }

    /// Waits until every acknowledged event has a row, and looks at all of them: none is lost, none is there
    /// twice, and none was never sent. `sessions` gives their names and pages, `events` what the windows count.
    pub(crate) fn check_in(&self, sessions: impl Fn() -> Vec<(String, u64)>, events: impl Fn() -> u64) {
        wait_for("every acknowledged event to have a row", || {
            let found: BTreeSet<String> = sessions().into_iter().map(|(session, _)| session).collect();
            self.acknowledged.is_subset(&found).then_some(())
        });
        let found = sessions();
        let distinct: BTreeSet<&String> = found.iter().map(|(session, _)| session).collect();
        assert_eq!(distinct.len(), found.len(), "each session once");
        let all = found.iter().all(|(session, pages)| self.events.contains(session) && *pages == 1);
        assert!(all, "one page each, of what was sent: {found:?}");
        let counted = found.len() as u64;
        wait_for("the windows to say the same", || {
            let sum = events();
            assert!(sum <= counted, "{sum} events in windows, {counted} in sessions");
            (sum == counted).then_some(())
        });
        println!(
            "sent {}, acknowledged {}, in rows {counted}, lost 0, twice 0",
            self.events.len(),
            self.acknowledged.len()
        );
    }
}
