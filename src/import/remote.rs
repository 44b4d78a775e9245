//! `tidegate import --url`: events of lines to a running instance, each as a request of its own.
//!
//! An event is sent again only after an answer, or a failure, that proves that it was not taken. Where nobody can
//! know, the import ends and says up to where everything is surely acknowledged: a second request would be a second
//! event.

mod order;
mod outcome;
mod verdict;

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::line_events::excerpt;
use super::{LineEvent, Malformed, Reason};
use crate::client::{Client, Target};
use crate::service::signals;
use order::{Fate, Order, Place};
pub(crate) use outcome::{Stopped, Why};
use verdict::{Verdict, judge};

/// An event that is refused for now, again and again, is given up after so long.
const RETRY_PATIENCE: Duration = Duration::from_mins(10);
/// How long is waited at most before an event is sent again, whatever the instance says.
const RETRY_WAIT_MAX: Duration = Duration::from_mins(1);

/// Where events are sent, and how.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// The tracking endpoint.
    pub(crate) target: Arc<Target>,
    /// Requests under way at once.
    pub(crate) connections: usize,
    /// How long a request may take.
    pub(crate) timeout: Duration,
    /// End at the first event that is refused for good.
    pub(crate) strict: bool,
    /// How many refused events are shown.
    pub(crate) shown_max: usize,
}

/// What was sent, when all of it has been answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Where to.
    pub url: String,
    /// Events that are durable there.
    pub acknowledged: u64,
    /// Events that were refused for good.
    pub refused: u64,
    /// How often an event was sent again, because it was refused for now.
    pub retries: u64,
    /// The first of those refused for good.
    pub first_refused: Vec<Malformed>,
}

/// Sends on a thread of its own, in the order of the lines as far as several requests under way allow.
pub(crate) struct Sender {
    feed: mpsc::Sender<Job>,
    thread: JoinHandle<std::io::Result<()>>,
    shared: Arc<Shared>,
}

struct Job {
    number: u64,
    json: Bytes,
}

struct Shared {
    remote: Remote,
    /// Names of the files, by number.
    files: Vec<String>,
    state: Mutex<State>,
    /// Nothing more is to be sent.
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    order: Order,
    sent: Sent,
    /// What ended the import, if anything did; of several, that of the earliest line.
    stopped: Option<(u64, Why)>,
}

impl Sender {
    /// Begins to send.
    ///
    /// # Errors
    /// When the system gives neither thread nor runtime.
    pub(crate) fn start(remote: Remote, files: Vec<String>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (feed, jobs) = mpsc::channel(remote.connections);
        let sent = Sent { url: remote.target.to_string(), ..Sent::default() };
        let state = Mutex::new(State { sent, ..State::default() });
        let shared = Arc::new(Shared { remote, files, state, stop: CancellationToken::new() });
        let own = shared.clone();
        let thread = std::thread::Builder::new()
            .name("tidegate-import-sender".to_owned())
            .spawn(move || runtime.block_on(own.send_all(jobs)))?;
        Ok(Self { feed, thread, shared })
    }

    /// Hands over the next event; waits while all connections are busy.
    ///
    /// # Errors
    /// When nothing more is sent. [`Sender::finish`] says why.
    pub(crate) fn event(&mut self, event: &LineEvent<'_>) -> Result<(), Ended> {
        let number = self.shared.state().order.begin(Place { file: event.file, line: event.line });
        let json = Bytes::copy_from_slice(event.json);
        self.feed.blocking_send(Job { number, json }).map_err(|_| Ended)
    }

    /// Waits for the answers under way.
    ///
    /// # Errors
    /// Why sending ended before the last event.
    pub(crate) fn finish(self) -> Result<Sent, Box<Stopped>> {
        drop(self.feed);
        let ran = self.thread.join().expect("a panic of this thread ends the process");
        let state = &mut *self.shared.state();
        if let Err(error) = ran {
            state.stopped.get_or_insert((0, Why::System(error.to_string())));
        }
        match state.stopped.take() {
            None => Ok(std::mem::take(&mut state.sent)),
            Some((number, why)) => {
                let at = state.order.place(number).map(|place| self.shared.spell(place));
                let standing = state.order.standing();
                let from = standing.from.map(|place| self.shared.spell(place));
                Err(Box::new(Stopped { why, at, from, acknowledged: state.sent.acknowledged, standing }))
            }
        }
    }
}

/// Nothing more is sent.
#[derive(Debug, thiserror::Error)]
#[error("the instance is sent nothing more")]
pub(crate) struct Ended;

impl Shared {
    async fn send_all(self: Arc<Self>, jobs: mpsc::Receiver<Job>) -> std::io::Result<()> {
        let interrupted = CancellationToken::new();
        signals::on_signal(interrupted.clone())?;
        let jobs = Arc::new(tokio::sync::Mutex::new(jobs));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..self.remote.connections {
            all.spawn(self.clone().connection(jobs.clone()));
        }
        loop {
            tokio::select! {
                () = interrupted.cancelled(), if !self.stop.is_cancelled() => {
                    self.state().stopped.get_or_insert((u64::MAX, Why::Interrupted));
                    self.stop.cancel();
                }
                joined = all.join_next() => match joined {
                    Some(joined) => joined.expect("a connection neither panics nor is it aborted"),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn connection(self: Arc<Self>, jobs: Arc<tokio::sync::Mutex<mpsc::Receiver<Job>>>) {
        let mut client = Client::new(self.remote.target.clone(), self.remote.timeout);
        let next = async || {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => None,
                job = async { jobs.lock().await.recv().await } => job,
            }
        };
        while let Some(job) = next().await {
            self.deliver(&mut client, job).await;
        }
    }

    /// Sends one event until its fate is known, or nothing more is to be sent.
    async fn deliver(&self, client: &mut Client, job: Job) {
        let begun = Instant::now();
        loop {
            self.state().order.sending(job.number);
            let result = client.send(Method::POST, job.json.clone()).await;
            let wait = match judge(&result) {
                Verdict::Acknowledged => return self.settle(job.number, Fate::Acknowledged),
                Verdict::Refused(reason) => return self.refuse(&job, reason),
                Verdict::Unknown(why) => return self.stop(job.number, Fate::Unknown, Why::Unknown(why)),
                Verdict::Wrong(why) => return self.stop(job.number, Fate::NotTaken, Why::Wrong(why)),
                Verdict::Again { after, why } if begun.elapsed() + after > RETRY_PATIENCE => {
                    return self.stop(job.number, Fate::NotTaken, Why::Patience(why));
                }
                Verdict::Again { after, .. } => after.min(RETRY_WAIT_MAX),
            };
            self.again(job.number);
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn settle(&self, number: u64, fate: Fate) {
        let mut state = self.state();
        state.order.end(number, fate);
        state.sent.acknowledged += u64::from(fate == Fate::Acknowledged);
    }

    fn refuse(&self, job: &Job, reason: Reason) {
        if self.remote.strict {
            return self.stop(job.number, Fate::NotTaken, Why::Strict(reason.to_string()));
        }
        let mut state = self.state();
        let place = state.order.place(job.number).expect("an event is known until its fate is");
        state.order.end(job.number, Fate::Refused);
        state.sent.refused += 1;
        if state.sent.first_refused.len() < self.remote.shown_max {
            let file = self.files[place.file].clone();
            let excerpt = excerpt(&job.json);
            state.sent.first_refused.push(Malformed { file, line: place.line, reason, excerpt });
        }
    }

    fn again(&self, number: u64) {
        let mut state = self.state();
        state.order.end(number, Fate::NotTaken);
        state.sent.retries += 1;
    }

    fn stop(&self, number: u64, fate: Fate, why: Why) {
        let mut state = self.state();
        state.order.end(number, fate);
        if state.stopped.as_ref().is_none_or(|(earliest, _)| number < *earliest) {
            state.stopped = Some((number, why));
        }
        self.stop.cancel();
    }

    fn spell(&self, place: Place) -> String {
        format!("{}:{}", self.files[place.file], place.line)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the state")
    }
}
