//! What the topics of a deployment must be: the rules, each written once.

use crate::kafka::options::Options;

/// What a topic is for, as far as a log knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRole {
    /// Events.
    Events,
    /// Rows of any kind.
    Rows,
    /// Bindings of epochs.
    Epochs,
}

/// What a topic must be.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) topic: String,
    pub(super) role: TopicRole,
    /// How many partitions it gets when it is created.
    pub(super) partitions: u32,
    pub(super) settings: &'static [Setting],
}

/// A setting that a topic must have.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    /// What would go wrong without it.
    pub(super) why: &'static str,
}

/// How long records are kept. Only the topic of bindings must have it in one way; whoever looks wants to see it.
const RETENTION: &str = "retention.ms";

const NOT_COMPACTED: Setting = Setting {
    name: "cleanup.policy",
    value: "delete",
    why: "compaction removes records that are counted one by one",
};

const EVENTS: &[Setting] = &[
    NOT_COMPACTED,
    Setting {
        name: "message.timestamp.type",
        value: "LogAppendTime",
        why: "events that claim to be from the future are judged by the broker's clock",
    },
];

const ROWS: &[Setting] = &[NOT_COMPACTED];

const EPOCHS: &[Setting] = &[
    NOT_COMPACTED,
    Setting { name: RETENTION, value: "-1", why: "a start needs bindings however old they are" },
    Setting { name: "retention.bytes", value: "-1", why: "a start needs bindings however many they are" },
];

impl Wanted {
    /// Every topic of a deployment.
    pub(super) fn all(options: &Options) -> Vec<Self> {
        let events = Self {
            topic: options.topics.events.clone(),
            role: TopicRole::Events,
            partitions: options.events_partitions,
            settings: EVENTS,
        };
        let rows = options.topics.rows.iter().map(|topic| Self {
            topic: topic.clone(),
            role: TopicRole::Rows,
            partitions: options.rows_partitions,
            settings: ROWS,
        });
        let epochs =
            Self { topic: options.epochs_topic(), role: TopicRole::Epochs, partitions: 1, settings: EPOCHS };
        std::iter::once(events).chain(rows).chain([epochs]).collect()
    }

    /// Whether a setting of the topic says something to whoever looks at it.
    pub(super) fn shows(&self, setting: &str) -> bool {
        setting == RETENTION || self.settings.iter().any(|wanted| wanted.name == setting)
    }
}
