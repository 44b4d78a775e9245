//! How the processes of a cluster find each other.
//!
//! Each one listens. The others open a link to process 0 and say who they are; it refuses those that do not fit, and
//! waits for the rest as long as that takes. When all are there it says so, and then each process opens one of
//! timely's connections to every one with a lower number: that takes no longer than [`CONNECTING_MAX`], or they
//! all end, to be started again.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::frame::{Frames, receive, send};
use super::mesh::give_up_in_time;
use super::message::{Greeting, Hello};
use super::{BEAT_EVERY, ClusterConfig, How, Message};

/// So long may it take, once all are there, to connect each to each. Less than anybody may be silent.
const CONNECTING_MAX: Duration = Duration::from_secs(10);

/// So long may one connection take that is opened, and what is said first on it.
const GREETING_MAX: Duration = Duration::from_secs(2);

/// How often it is looked for connections.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long whoever is not reached is left alone.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How often it is said who is waited for.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeetingError {
    /// The place of this process cannot be listened at.
    #[error(
        "process {process} cannot listen at {host} (cluster.hosts): {reason}; name an address of this machine and a \
         port that is free, or end the process that has it"
    )]
    Listen {
        /// This process.
        process: usize,
        /// Where it is to listen.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// Process 0 does not want this one.
    #[error("process 0 at {host} does not want process {process}: {reason}")]
    Refused {
        /// Where process 0 is.
        host: String,
        /// This process.
        process: usize,
        /// Why.
        reason: String,
    },
    /// Not all connections were made in time.
    #[error(
        "no connection with process {other} at {host} within {} s although it was there: see that every process reaches \
         every other one at its address in cluster.hosts", CONNECTING_MAX.as_secs()
    )]
    Unconnected {
        /// The other process.
        other: usize,
        /// Where it is.
        host: String,
    },
    /// Another process is gone before the run began.
    #[error("process {process} at {host} is gone before the run began: {reason}")]
    Gone {
        /// That process.
        process: usize,
        /// Where it is.
        host: String,
        /// Why it is thought so.
        reason: String,
    },
    /// Another process ended before the run began.
    #[error("process {process} at {host} does not start: {reason}")]
    Ended {
        /// That process.
        process: usize,
        /// Where it is.
        host: String,
        /// What it said.
        reason: String,
        /// In which way.
        how: How,
    },
    /// This process was told to end.
    #[error("told to end while it waited for {waited_for}")]
    ToldToEnd {
        /// What for.
        waited_for: String,
    },
    /// The system does not give what is needed.
    #[error("cannot connect the processes: {reason}")]
    System {
        /// What it said.
        reason: String,
    },
}

impl From<io::Error> for MeetingError {
    fn from(error: io::Error) -> Self {
        Self::System { reason: error.to_string() }
    }
}

/// Connections to the other processes.
pub(super) struct Met {
    /// To process 0; or from process 0 to each other one.
    pub(super) links: BTreeMap<usize, TcpStream>,
    /// Timely's, by process.
    pub(super) data: Vec<Option<TcpStream>>,
}

/// Finds the others.
pub(super) fn meet(config: &ClusterConfig, is_told_to_end: &dyn Fn() -> bool) -> Result<Met, MeetingError> {
    let host = &config.hosts[config.process];
    let listener = TcpListener::bind(host.as_str()).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let listener = listener.map_err(|error| MeetingError::Listen {
        process: config.process,
        host: host.clone(),
        reason: error.to_string(),
    })?;
    let meeting = Meeting { config, listener, is_told_to_end };
    let (mut links, number) = if config.process == 0 {
        (meeting.gather()?, config.meeting)
    } else {
        let (link, number) = meeting.join()?;
        (BTreeMap::from([(0, link)]), number)
    };
    let connected = meeting.connect(number).inspect_err(|error| {
        let how = if matches!(error, MeetingError::ToldToEnd { .. }) { How::Told } else { How::Failed };
        for link in links.values_mut() {
            // One that does not hear it notices that the link is closed.
            let _ = send(link, &Message::Ended { reason: error.to_string(), how });
        }
    });
    Ok(Met { data: connected?, links })
}

struct Meeting<'a> {
    config: &'a ClusterConfig,
    listener: TcpListener,
    is_told_to_end: &'a dyn Fn() -> bool,
}

impl Meeting<'_> {
    /// Process 0: waits until every other process has opened its link.
    fn gather(&self) -> Result<BTreeMap<usize, TcpStream>, MeetingError> {
        let mut links = BTreeMap::<usize, TcpStream>::new();
        let (mut beat_at, mut said_at) = (Instant::now(), Instant::now());
        loop {
            let is_complete = links.len() + 1 == self.config.processes();
            // Nothing begins with one that is gone again.
            if beat_at <= Instant::now() || is_complete {
                links.retain(|process, link| is_there(*process, link));
                beat_at = Instant::now() + BEAT_EVERY;
            }
            if links.len() + 1 == self.config.processes() {
                break;
            }
            let missing = Missing { config: self.config, there: links.keys().copied().collect() };
            self.look_whether_to_end(&missing)?;
            if said_at <= Instant::now() {
                tracing::info!("waiting for {missing}");
                said_at = Instant::now() + SAY_EVERY;
            }
            if let Some((mut stream, Greeting::Link(hello))) = self.accept()? {
                let process = hello.process;
                let is_taken = links.get_mut(&process).is_some_and(|link| is_there(process, link));
                let refused = match self.objection(&hello) {
                    Some(reason) => Message::Refused { reason, for_now: false },
                    // It may be one that is gone, and not known to be.
                    None if is_taken => Message::Refused { reason: taken(process), for_now: true },
                    None => {
                        give_up_in_time(&stream)?;
                        links.insert(process, stream);
                        continue;
                    }
                };
                tracing::warn!(process, ?refused, "another process is refused");
                // One that does not hear it asks again.
                let _ = send(&mut stream, &refused);
            }
        }
        for link in links.values_mut() {
            // One that is gone is missed when all connect.
            let _ = send(link, &Message::Welcome { meeting: self.config.meeting });
        }
        Ok(links)
    }

    /// What process 0 has against another one.
    fn objection(&self, theirs: &Hello) -> Option<String> {
        let ours = hello(self.config);
        let differs = |what: &str, theirs: &dyn fmt::Display, ours: &dyn fmt::Display| {
            Some(format!("its {what} is {theirs}, that of process 0 is {ours}; they must be the same"))
        };
        if theirs.version != ours.version {
            return differs("version", &theirs.version, &ours.version);
        }
        if theirs.processes != ours.processes {
            return differs("number of processes (cluster.hosts)", &theirs.processes, &ours.processes);
        }
        if theirs.workers != ours.workers {
            return differs("number of workers (workers)", &theirs.workers, &ours.workers);
        }
        if theirs.process == 0 || theirs.process >= ours.processes {
            let (process, last) = (theirs.process, ours.processes - 1);
            return Some(format!("cluster.process is {process} there, and must be one of 1 to {last}"));
        }
        if theirs.log != ours.log {
            return differs("log", &theirs.log, &ours.log);
        }
        let json = |hello: &Hello| serde_json::to_value(&hello.jobs).unwrap_or(Value::Null);
        let (ours, theirs) = (json(&ours), json(theirs));
        let fields = ours.as_object()?;
        let (field, value) =
            fields.iter().find(|(field, value)| theirs.get(field.as_str()) != Some(value))?;
        differs(&format!("setting {field}"), &theirs.get(field).unwrap_or(&Value::Null), value)
    }

    /// Any other process: opens its link, and waits until all are there.
    fn join(&self) -> Result<(TcpStream, u64), MeetingError> {
        let host = &self.config.hosts[0];
        let waited_for = format!("process 0 at {host}");
        let mut said_at = Instant::now() + AGAIN_AFTER;
        loop {
            self.look_whether_to_end(&waited_for)?;
            let reason = match self.ask(host)? {
                Ok(met) => return Ok(met),
                Err(reason) => reason,
            };
            if said_at <= Instant::now() {
                tracing::info!(%reason, "waiting for {waited_for}");
                said_at = Instant::now() + SAY_EVERY;
            }
            std::thread::park_timeout(AGAIN_AFTER);
        }
    }

    /// Opens a link and waits until all are there. What is tried again is `Ok(Err(_))`.
    fn ask(&self, host: &str) -> Result<Result<(TcpStream, u64), io::Error>, MeetingError> {
        let mut stream = match open(host, &Greeting::Link(hello(self.config))) {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        give_up_in_time(&stream)?;
        stream.set_read_timeout(Some(super::LOOK_EVERY))?;
        let mut said = Frames::new(&mut stream);
        let mut silent_since = Instant::now();
        let meeting = loop {
            match said.next() {
                Ok(Some(Message::Welcome { meeting })) => break meeting,
                Ok(Some(Message::Refused { reason, for_now: true })) => {
                    return Ok(Err(io::Error::other(reason)));
                }
                Ok(Some(Message::Refused { reason, for_now: false })) => {
                    let (host, process) = (host.to_owned(), self.config.process);
                    return Err(MeetingError::Refused { host, process, reason });
                }
                Ok(Some(_)) => silent_since = Instant::now(),
                Ok(None) if silent_since.elapsed() > self.config.silence_max => {
                    return Ok(Err(io::Error::new(ErrorKind::TimedOut, "it says nothing")));
                }
                Ok(None) => self.look_whether_to_end(&"the other processes")?,
                Err(error) => return Ok(Err(error)),
            }
        };
        Ok(Ok((stream, meeting)))
    }

    /// Opens timely's connections to those with lower numbers, and waits for those with higher ones.
    fn connect(&self, meeting: u64) -> Result<Vec<Option<TcpStream>>, MeetingError> {
        let process = self.config.process;
        let until = Instant::now() + CONNECTING_MAX;
        let mut data: Vec<Option<TcpStream>> = self.config.hosts.iter().map(|_| None).collect();
        let missing = |data: &[Option<TcpStream>]| {
            data.iter().enumerate().position(|(other, stream)| other != process && stream.is_none())
        };
        while let Some(other) = missing(&data) {
            let host = &self.config.hosts[other];
            self.look_whether_to_end(&format_args!("process {other} at {host}"))?;
            if until <= Instant::now() {
                return Err(MeetingError::Unconnected { other, host: host.clone() });
            }
            if other < process {
                match open(host, &Greeting::Data { process, meeting }) {
                    Ok(stream) => data[other] = Some(stream),
                    Err(error) => {
                        tracing::debug!(other, %host, %error, "not connected yet");
                        std::thread::park_timeout(AGAIN_AFTER);
                    }
                }
            } else if let Some((stream, Greeting::Data { process: other, meeting: theirs })) =
                self.accept()?
            {
                // Whoever belongs to another meeting is about to end, or to come again.
                if theirs == meeting && other > process && other < data.len() {
                    data[other] = Some(stream);
                }
            }
        }
        Ok(data)
    }

    /// Somebody who opened a connection and said what for. Rests a little when there is nobody.
    fn accept(&self) -> io::Result<Option<(TcpStream, Greeting)>> {
        match self.listener.accept() {
            Ok((mut stream, from)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(GREETING_MAX))?;
                stream.set_write_timeout(Some(GREETING_MAX))?;
                match receive(&mut stream) {
                    Ok(greeting) => {
                        stream.set_read_timeout(None)?;
                        stream.set_write_timeout(None)?;
                        Ok(Some((stream, greeting)))
                    }
                    Err(error) => {
                        tracing::warn!(%from, %error, "a connection to the port of the cluster that is none of ours");
                        Ok(None)
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::park_timeout(LOOK_EVERY);
                Ok(None)
            }
            // It was gone before it was taken.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn look_whether_to_end(&self, waited_for: &dyn fmt::Display) -> Result<(), MeetingError> {
        if (self.is_told_to_end)() {
            return Err(MeetingError::ToldToEnd { waited_for: waited_for.to_string() });
        }
        Ok(())
    }
}

/// The processes that are not there yet.
struct Missing<'a> {
    config: &'a ClusterConfig,
    there: Vec<usize>,
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.config.hosts.iter().enumerate().skip(1);
        let missing = others.filter(|(process, _)| !self.there.contains(process));
        for (at, (process, host)) in missing.enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            write!(f, "{comma}process {process} at {host}")?;
        }
        Ok(())
    }
}

fn taken(process: usize) -> String {
    format!("there is a process {process} already; give each a number of its own (cluster.process)")
}

fn hello(config: &ClusterConfig) -> Hello {
    Hello {
        process: config.process,
        processes: config.processes(),
        workers: config.workers,
        version: config.version.clone(),
        log: config.log.clone(),
        jobs: config.jobs.clone(),
    }
}

/// Whether the other side of a link that waits is still there, as far as the system knows.
fn is_there(process: usize, link: &mut TcpStream) -> bool {
    let is_closed = |link: &TcpStream| -> io::Result<bool> {
        link.set_nonblocking(true)?;
        let peeked = link.peek(&mut [0]);
        link.set_nonblocking(false)?;
        match peeked {
            // It has nothing to say yet.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
            Ok(read) => Ok(read == 0),
        }
    };
    let is_there = matches!(is_closed(link), Ok(false)) && send(link, &Message::Beat).is_ok();
    if !is_there {
        tracing::info!(process, "a process that was there is gone again");
    }
    is_there
}

/// Connects and says what for.
fn open(host: &str, greeting: &Greeting) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "its name stands for no address");
    for address in host.to_socket_addrs()? {
        let opened = TcpStream::connect_timeout(&address, GREETING_MAX).and_then(|mut stream| {
            stream.set_write_timeout(Some(GREETING_MAX))?;
            send(&mut stream, greeting)?;
            stream.set_write_timeout(None)?;
            Ok(stream)
        });
        match opened {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
