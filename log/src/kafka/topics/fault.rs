//! What may be wrong with a topic, and the command that mends it.

use std::fmt::Write as _;

/// What is wrong with a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicFault {
    /// It is not there, or whoever asked may not see it. A start creates it.
    #[error("topic {topic} is missing, or this user may not describe it")]
    Missing {
        /// The topic.
        topic: String,
        /// Partitions that it is created with.
        partitions: u32,
        /// Replicas that it is created with; the brokers' own default when `None`.
        replicas: Option<u32>,
        /// Settings that it is created with.
        settings: Vec<(&'static str, &'static str)>,
    },
    /// It is set in a way under which events or rows would be lost or misread.
    #[error("topic {topic} has {setting} = {found}, and must have {wanted}: {why}")]
    Setting {
        /// The topic.
        topic: String,
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// The value that it must have.
        wanted: &'static str,
        /// What would go wrong.
        why: &'static str,
    },
    /// The topic of bindings has more than one partition.
    #[error(
        "topic {topic} has {found} partitions, and bindings need exactly one: they are in order in a partition only"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: u32,
    },
    /// It asks for more replicas in sync than it has: nothing can be written. A start does not look at this.
    #[error(
        "topic {topic} has min.insync.replicas = {min_insync_replicas} and replicas = {replicas}: no write is ever acknowledged"
    )]
    Unwritable {
        /// The topic.
        topic: String,
        /// How many replicas its partitions have.
        replicas: u32,
        /// How many must be in sync.
        min_insync_replicas: u32,
    },
}

impl TopicFault {
    /// Whether a start refuses such a topic.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::Partitions { .. })
    }

    /// What mends it: a command of Kafka's own tools, where one is enough.
    pub fn remedy(&self, bootstrap: &str) -> String {
        let alter = |topic: &str, setting: &str, value: &dyn std::fmt::Display| {
            format!(
                "kafka-configs --bootstrap-server {bootstrap} --alter --topic {topic} --add-config {setting}={value}"
            )
        };
        match self {
            Self::Missing { topic, partitions, replicas, settings } => {
                let mut text = format!(
                    "kafka-topics --bootstrap-server {bootstrap} --create --topic {topic} --partitions {partitions}"
                );
                if let Some(replicas) = replicas {
                    let _ = write!(text, " --replication-factor {replicas}");
                }
                for (name, value) in settings {
                    let _ = write!(text, " --config {name}={value}");
                }
                text
            }
            Self::Setting { topic, setting, wanted, .. } => alter(topic, setting, wanted),
            Self::Partitions { topic, .. } => format!(
                "name another deployment (deployment), or, where nobody needs it any more, \
                 kafka-topics --bootstrap-server {bootstrap} --delete --topic {topic}"
            ),
            Self::Unwritable { topic, replicas, .. } => alter(topic, "min.insync.replicas", replicas),
        }
    }
}
