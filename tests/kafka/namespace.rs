//! Two hosts, as far as the network goes: a namespace of its own for one of the processes.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_services::{Kafka, test_kafka};

use crate::load::Sender;
use crate::stack::{Stack, start_all};

/// A network namespace, and the wire to it.
struct Namespace {
    name: String,
    far_link: String,
    near: String,
    far: String,
}

impl Namespace {
    /// Makes one, where the machine allows it.
    fn new() -> Option<Self> {
        let number = std::process::id();
        let (name, net) = (format!("tidegate-{number}"), number % 200);
        let (near_link, far_link) = (format!("tgn{number}"), format!("tgf{number}"));
        let (near, far) = (format!("10.213.{net}.1"), format!("10.213.{net}.2"));
        if !ip(&["netns", "add", &name]) {
            return None;
        }
        let namespace = Self { name, far_link, near, far };
        let Self { name, far_link, near, far } = &namespace;
        let made = [
            &["link", "add", &near_link, "type", "veth", "peer", "name", far_link][..],
            &["link", "set", far_link, "netns", name],
            &["addr", "add", &format!("{near}/30"), "dev", &near_link],
            &["link", "set", &near_link, "up"],
            &["-n", name, "addr", "add", &format!("{far}/30"), "dev", far_link],
            &["-n", name, "link", "set", far_link, "up"],
            &["-n", name, "link", "set", "lo", "up"],
        ];
        let is_made = made.into_iter().all(ip);
        is_made.then_some(namespace)
    }

    /// The same command, inside.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.name]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        inside
    }

    /// Cuts the wire, or mends it: nobody is told.
    fn set(&self, state: &str) {
        assert!(ip(&["-n", &self.name, "link", "set", &self.far_link, state]));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // With it goes the wire.
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_host_that_is_cut_off_ends_the_dataflow_on_both_sides() {
    if test_kafka().is_err() {
        return;
    }
    let Some(namespace) = Namespace::new() else {
        println!("left out: this machine gives no network namespaces; run it as root");
        return;
    };
    let dir = TempDir::new().expect("a temporary directory");
    let broker = Kafka::start_at(dir.path(), &namespace.near).expect("a broker starts");
    let mut stack = Stack::new(broker.address());
    stack.settings = vec!["cluster.silence=2s".to_owned()];
    let (ingest, _sink) = (stack.start("ingest"), stack.start("sink"));
    let sender = Sender::start(ingest.address("ingest"));
    let hosts = format!("{}:2101,{}:2101", namespace.near, namespace.far);
    let command = |process| {
        let mut command = stack.command("dataflow");
        command.args(["--hosts", &hosts, "--process", process, "--workers", "2"]);
        command
    };
    let started = || start_all("dataflow", vec![command("0"), namespace.inside(&command("1"))]);
    let processes = started();
    std::thread::park_timeout(Duration::from_millis(500));
    namespace.set("down");
    for mut process in processes {
        let ended = process.ended();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
        assert!(ended.err.contains("nothing was heard of it for 2 s"), "{}", ended.err);
    }
    namespace.set("up");
    let again = started();
    sender.end().check(stack.dir());
    again[0].signal("TERM");
    for mut process in again {
        let ended = process.ended();
        assert!(ended.status.success(), "{}", ended.err);
    }
}
