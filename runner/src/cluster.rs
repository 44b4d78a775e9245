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

/// One process of several.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Its number.
    pub process: usize,
    /// Where each process listens for the others: `host:port`, by their numbers.
    pub hosts: Vec<String>,
    /// Worker threads of each process.
    pub workers: usize,
    /// The version of the program.
    pub version: String,
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

/// A process that has found the others. When it is dropped, they notice.
pub struct Cluster {
    config: ClusterConfig,
    links: Arc<Links>,
    events: Events,
    mesh: Mesh,
}

impl Cluster {
    /// Waits for the other processes. `is_told_to_end` is asked now and then.
    ///
    /// # Errors
    /// When the port cannot be had, process 0 does not want this one, or it is told to end.
    pub fn meet(config: ClusterConfig, is_told_to_end: &dyn Fn() -> bool) -> Result<Self, MeetingError> {
        let met = meeting::meet(&config, is_told_to_end)?;
        let (links, events) = Links::start(&config, met.links)?;
        let mesh = Mesh::new(config.process, config.workers, met.data);
        Ok(Self { config, links, events, mesh })
    }

    /// Waits until process 0 says what the run starts from.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn plan(&self, is_told_to_end: &dyn Fn() -> bool) -> Result<ClusterPlan, MeetingError> {
        loop {
            match self.events.recv_timeout(LOOK_EVERY) {
                Ok((0, Event::Said(Message::Start(plan)))) => return Ok(ClusterPlan(*plan)),
                Ok((process, Event::Said(Message::Ended { reason, how }))) => {
                    let host = self.config.hosts[process].clone();
                    return Err(MeetingError::Ended { process, host, reason, how });
                }
                Ok((process, Event::Gone(reason))) => {
                    let host = self.config.hosts[process].clone();
                    return Err(MeetingError::Gone { process, host, reason });
                }
                Err(RecvTimeoutError::Timeout) if is_told_to_end() => {
                    return Err(MeetingError::ToldToEnd { waited_for: "process 0 to recover".to_owned() });
                }
                Ok((_, Event::Said(_))) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    unreachable!("whoever reads a link says that it is gone before he is")
                }
            }
        }
    }

    /// Tells the others that this process cannot start.
    pub fn refuse(self, reason: &str, how: How) {
        self.links.tell_all(&Message::Ended { reason: reason.to_owned(), how });
        self.links.close();
    }

    pub(crate) fn into_parts(self) -> (ClusterConfig, Arc<Links>, Events, Mesh) {
        (self.config, self.links, self.events, self.mesh)
    }
}

/// What the run starts from, as process 0 says.
#[derive(Clone, Debug)]
pub struct ClusterPlan(pub(crate) Plan);

#[cfg(test)]
mod tests;
