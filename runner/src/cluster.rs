//! Several processes as one dataflow: how they find each other, and what they tell each other beside timely.
//!
//! Timely moves records between workers, of whatever process. Everything else goes over a *link* between process 0
//! and each other one: what the run starts from, commits, snapshots that were written, and how it ends. A process
//! that is gone is noticed there and named; timely's threads know of broken connections only.
//!
//! The port is private: nobody has to prove who he is, and events and the deployment's hash key pass as they are.

mod frame;
mod link;
mod meeting;
mod mesh;
mod message;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use tidegate_dataflow::settings::JobSettings;

pub use self::meeting::MeetingError;
pub use self::message::How;

pub(crate) use self::link::{Event, Events, Links};
pub(crate) use self::mesh::{Ends, Mesh};
pub(crate) use self::message::{Message, Plan};

/// How often whoever waits looks whether he is told to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often a process says that it is still there, and the other side notices that it heard nothing.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// One process of several.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Its number.
    pub process: usize,
    /// Where each process listens for the others: `host:port`, by their numbers.
    pub hosts: Vec<String>,
    /// Worker threads of each process.
    pub workers: usize,
    /// The version of the program, such that others differ.
    pub version: String,
    /// Which events are read: the same for all of them.
    pub log: String,
    /// What decides rows.
    pub jobs: JobSettings,
    /// What this meeting is told from others by; nobody else may come to the same.
    pub meeting: u64,
    /// A process that says nothing for so long is gone.
    pub silence_max: Duration,
}

impl ClusterConfig {
    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.hosts.len()
    }
}

/// Whether a process is told to end while it waits for others.
pub type ToldToEnd = Arc<dyn Fn() -> bool + Send + Sync>;

/// A process that has found the others. When it is dropped, they notice.
pub struct Cluster {
    config: ClusterConfig,
    told_to_end: ToldToEnd,
    links: Arc<Links>,
    events: Events,
    mesh: Mesh,
}

impl Cluster {
    /// Waits for the other processes. `told_to_end` is asked now and then.
    ///
    /// # Errors
    /// When the port cannot be had, process 0 does not want this one, or it is told to end.
    pub fn meet(config: ClusterConfig, told_to_end: ToldToEnd) -> Result<Self, MeetingError> {
        let met = meeting::meet(&config, &*told_to_end)?;
        let (links, events) = Links::start(&config, met.links)?;
        let mesh = Mesh::new(config.process, config.workers, met.data);
        let cluster = Self { config, told_to_end, links, events, mesh };
        if cluster.config.process == 0 {
            // Nothing is taken over before all of them are connected, each with each.
            cluster.wait_for_all("the others to connect", &Message::Connected)?;
        } else {
            cluster.links.tell_all(&Message::Connected);
        }
        Ok(cluster)
    }

    /// Waits until process 0 says what the run starts from.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn plan(&self) -> Result<ClusterPlan, MeetingError> {
        loop {
            if let (_, Message::Start(plan)) = self.hear("process 0 to recover")? {
                return Ok(ClusterPlan(*plan));
            }
        }
    }

    /// Waits until each of the others has said this.
    pub(crate) fn wait_for_all(&self, what: &str, message: &Message) -> Result<(), MeetingError> {
        let mut said = BTreeSet::new();
        while said.len() < self.links.count() {
            let (process, heard) = self.hear(what)?;
            if heard == *message {
                said.insert(process);
            }
        }
        Ok(())
    }

    /// The next thing that is said.
    fn hear(&self, what: &str) -> Result<(usize, Message), MeetingError> {
        loop {
            let host = |process: usize| self.config.hosts[process].clone();
            match self.events.recv_timeout(LOOK_EVERY) {
                Ok((process, Event::Said(Message::Ended { reason, how }))) => {
                    let error = MeetingError::Ended { process, host: host(process), reason, how };
                    self.end(&error.to_string(), how);
                    return Err(error);
                }
                Ok((process, Event::Said(message))) => return Ok((process, message)),
                Ok((process, Event::Gone(reason))) => {
                    let error = MeetingError::Gone { process, host: host(process), reason };
                    self.end(&error.to_string(), How::Failed);
                    return Err(error);
                }
                Err(RecvTimeoutError::Timeout) if (self.told_to_end)() => {
                    self.end("it was told to end", How::Told);
                    return Err(MeetingError::ToldToEnd { waited_for: what.to_owned() });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("whoever reads a link says that it is gone before he is")
                }
            }
        }
    }

    /// Tells the others that this process does not start.
    pub fn end(&self, reason: &str, how: How) {
        self.links.tell_all(&Message::Ended { reason: reason.to_owned(), how });
        self.links.close();
    }

    pub(crate) fn links(&self) -> &Arc<Links> {
        &self.links
    }

    pub(crate) fn into_parts(self) -> (ClusterConfig, Arc<Links>, Events, Mesh) {
        (self.config, self.links, self.events, self.mesh)
    }
}

/// What tells this program from others of the same version: processes exchange what only the same program understands.
///
/// # Errors
/// When the program cannot be read.
pub fn program() -> io::Result<String> {
    let bytes = std::fs::read(std::env::current_exe()?)?;
    Ok(format!("{:08x}", crc32fast::hash(&bytes)))
}

/// What the run starts from, as process 0 says.
#[derive(Clone, Debug)]
pub struct ClusterPlan(pub(crate) Plan);

#[cfg(test)]
mod tests;
