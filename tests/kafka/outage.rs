//! A broker that is away for longer than anything that is on its way to it is kept.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_services::{Kafka, test_kafka};

use crate::common::service::Service;
use crate::common::wait_for;
use crate::load::{Sender, Sent};
use crate::stack::Stack;

/// How long the broker is away: twice as long as an event or an epoch is waited for.
const OUTAGE: Duration = Duration::from_mins(1);

/// Longer than an event waits for the broker before its sender is told to come again.
const EVENT_WAIT: Duration = Duration::from_secs(40);

/// When a process that ended is started again.
const RESTART_REST: Duration = Duration::from_secs(1);

/// Those who send at once.
const SENDERS: usize = 8;

/// Whoever runs the dataflow: starts it again when it ends, and does nothing else.
struct Supervisor<'a> {
    stack: &'a Stack,
    child: Child,
    ended: Option<Instant>,
    /// The exit codes that it has seen.
    codes: Vec<Option<i32>>,
}

impl<'a> Supervisor<'a> {
    fn start(stack: &'a Stack) -> Self {
        Self { stack, child: spawn(stack), ended: None, codes: Vec::new() }
    }

    /// Looks after it.
    fn look(&mut self) {
        match self.ended {
            Some(ended) if ended.elapsed() >= RESTART_REST => {
                (self.child, self.ended) = (spawn(self.stack), None);
            }
            Some(_) => {}
            None => {
                if let Some(status) = self.child.try_wait().expect("a child") {
                    self.codes.push(status.code());
                    self.ended = Some(Instant::now());
                }
            }
        }
    }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(stack: &Stack) -> Child {
    let mut command = stack.command("dataflow");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
}

#[test]
fn a_broker_that_is_away_for_a_minute_loses_nothing_and_doubles_nothing() {
    if test_kafka().is_err() {
        return;
    }
    // One of its own: the other tests need theirs.
    let dir = TempDir::new().expect("a temporary directory");
    let mut broker = Kafka::start(dir.path()).expect("a broker starts");
    let mut stack = Stack::new(broker.address());
    // An event that waits for the broker and is acknowledged after all is that old, and no later one may have closed its
    // windows.
    stack.settings = vec![format!("time.watermark_bound={}s", EVENT_WAIT.as_secs())];
    let mut roles = ["ingest", "sink", "cache-api"].map(|role| stack.start(role));
    let mut dataflow = Supervisor::start(&stack);
    let address = roles[0].address("ingest");
    let senders: Vec<Sender> =
        (0..SENDERS).map(|sender| Sender::start_as(&format!("{sender}-"), address)).collect();
    let counts = || senders.iter().map(Sender::acknowledged).collect::<Vec<_>>();
    wait_for("everybody to be sending", || counts().iter().all(|count| *count > 50).then_some(()));

    broker.kill();
    let began = Instant::now();
    while began.elapsed() < OUTAGE {
        dataflow.look();
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let before = counts();
    broker.restart().expect("it starts again");
    wait_for("everybody to be sending again", || {
        dataflow.look();
        counts().iter().zip(&before).all(|(now, before)| *now > before + 50).then_some(())
    });
    let mut all = Sent::default();
    for sender in senders {
        all.add(sender.end());
    }
    wait_for("the dataflow to stay", || {
        dataflow.look();
        dataflow.ended.is_none().then_some(())
    });
    assert!(dataflow.codes.iter().all(|code| *code == Some(1)), "another start helps: {:?}", dataflow.codes);
    println!("the dataflow was started {} times", dataflow.codes.len() + 1);
    // Nobody else was started again.
    assert!(!roles.iter_mut().any(Service::is_over), "one of them ended");
    all.check(stack.dir());
    for role in roles {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}
