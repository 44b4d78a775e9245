//! The links between process 0 and the others, once all are there.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::frame::{Frames, send};
use super::meeting::MeetingError;
use super::{BEAT_EVERY, ClusterConfig, Message};

/// A link that takes nothing for so long is broken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What comes of a link.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something was said.
    Said(Message),
    /// The process is gone, and why it is thought so. Nothing comes after that.
    Gone(String),
}

/// What comes of all links, with the process at their other end.
pub(crate) type Events = Receiver<(usize, Event)>;

/// The links of one process.
pub(crate) struct Links {
    hosts: Vec<String>,
    streams: BTreeMap<usize, Mutex<TcpStream>>,
    is_closed: AtomicBool,
}

impl Links {
    /// Listens to each of them, on a thread of its own.
    pub(super) fn start(
        config: &ClusterConfig,
        streams: BTreeMap<usize, TcpStream>,
    ) -> Result<(Arc<Self>, Events), MeetingError> {
        let (events, received) = channel();
        let started = || -> io::Result<Arc<Self>> {
            for (process, stream) in &streams {
                stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
                stream.set_read_timeout(Some(BEAT_EVERY))?;
                let (stream, events, process) = (stream.try_clone()?, events.clone(), *process);
                let silence_max = config.silence_max;
                let thread = std::thread::Builder::new().name(format!("tidegate-link-{process}"));
                thread.spawn(move || listen(stream, process, silence_max, &events))?;
            }
            let hosts = config.hosts.clone();
            let streams = streams.into_iter().map(|(process, stream)| (process, Mutex::new(stream)));
            let links =
                Arc::new(Self { hosts, streams: streams.collect(), is_closed: AtomicBool::new(false) });
            let beating = Arc::downgrade(&links);
            std::thread::Builder::new().name("tidegate-beat".to_owned()).spawn(move || beat(&beating))?;
            Ok(links)
        };
        let links = started().map_err(|error| MeetingError::System { reason: error.to_string() })?;
        Ok((links, received))
    }

    /// How many other processes there are at the ends of the links.
    pub(crate) fn count(&self) -> usize {
        self.streams.len()
    }

    /// Where a process listens.
    pub(crate) fn host(&self, process: usize) -> String {
        self.hosts.get(process).cloned().unwrap_or_default()
    }

    /// Says something to all of them. Where that fails, whoever listens there notices.
    pub(crate) fn tell_all(&self, message: &Message) {
        for (process, stream) in &self.streams {
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = send(&mut *stream, message) {
                tracing::debug!(process, %error, "a process cannot be told anything");
                // A message that was cut off would spoil those that follow.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Ends all of them.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        for stream in self.streams.values() {
            // One that is broken already is closed.
            let _ = stream.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.close();
    }
}

/// Passes on what comes, until the other side is gone.
fn listen(stream: TcpStream, process: usize, silence_max: Duration, events: &Sender<(usize, Event)>) {
    let mut frames = Frames::new(stream);
    // Counted and not measured: a machine that slept has not listened.
    let mut silence = Duration::ZERO;
    let gone = loop {
        match frames.next() {
            Ok(Some(Message::Beat)) => silence = Duration::ZERO,
            Ok(Some(message)) => {
                silence = Duration::ZERO;
                if events.send((process, Event::Said(message))).is_err() {
                    return;
                }
            }
            Ok(None) if silence >= silence_max => {
                break format!("nothing was heard of it for {} s", silence.as_secs());
            }
            Ok(None) => silence += BEAT_EVERY,
            Err(error) => break error.to_string(),
        }
    };
    // Nobody wants to know any more when the run is over.
    let _ = events.send((process, Event::Gone(gone)));
}

fn beat(links: &Weak<Links>) {
    loop {
        let Some(links) = links.upgrade().filter(|links| !links.is_closed.load(Ordering::Acquire)) else {
            return;
        };
        links.tell_all(&Message::Beat);
        drop(links);
        std::thread::park_timeout(BEAT_EVERY);
    }
}
