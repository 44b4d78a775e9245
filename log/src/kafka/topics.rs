//! The topics of a deployment: created where they are missing, and looked at where they are there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tidegate_model::PartitionId;

use super::client::{Context, consumer};
use super::ends::{Ends, Place};
use super::options::Options;
use crate::block_on::block_on;

/// How long a topic may take to be there once it was created.
const CREATED_DEADLINE: Duration = Duration::from_secs(30);

/// How long it rests between two looks whether it is.
const CREATED_REST: Duration = Duration::from_millis(20);

/// Why a log on Kafka cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is not understood by the client.
    #[error("the Kafka client cannot be set up: {reason}; see the settings kafka.*")]
    Client {
        /// What it said.
        reason: String,
    },
    /// Nobody answers, or Kafka refuses.
    #[error("Kafka at {bootstrap} cannot be used: {reason}")]
    Unreachable {
        /// The brokers asked.
        bootstrap: String,
        /// What was said instead.
        reason: String,
    },
    /// A topic could not be created.
    #[error("topic {topic} is missing and cannot be created: {reason}")]
    Create {
        /// The topic.
        topic: String,
        /// What Kafka said.
        reason: String,
    },
    /// A topic is set in a way under which events or rows would be lost or misread.
    #[error(
        "topic {topic} has {setting} = {found}, and must have {wanted}: {why}; kafka-configs --alter --topic {topic} --add-config {setting}={wanted}"
    )]
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
        "topic {topic} has {found} partitions, and bindings need exactly one: they are in order in a partition only; name another deployment (deployment), or remove the topic"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// How many it has.
        found: usize,
    },
}

impl OpenError {
    pub(super) fn client(error: &KafkaError) -> Self {
        // Its own words would show the value, which may be a secret.
        let reason = match error {
            KafkaError::ClientConfig(_, description, name, _) => format!("kafka.{name}: {description}"),
            error => error.to_string(),
        };
        Self::Client { reason }
    }

    pub(super) fn unreachable(options: &Options, error: &dyn std::fmt::Display) -> Self {
        Self::Unreachable { bootstrap: options.bootstrap.clone(), reason: error.to_string() }
    }
}

/// What a topic must be.
struct Wanted {
    topic: String,
    partitions: u32,
    settings: &'static [Setting],
    is_epochs: bool,
}

struct Setting {
    name: &'static str,
    value: &'static str,
    why: &'static str,
}

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
    Setting { name: "retention.ms", value: "-1", why: "a start needs bindings however old they are" },
    Setting { name: "retention.bytes", value: "-1", why: "a start needs bindings however many they are" },
];

/// Settings of librdkafka that nobody else may make.
const OURS: [&str; 13] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "isolation.level",
    "metadata.broker.list",
    "request.required.acks",
    "transactional.id",
];

/// Creates what is missing, and looks at what is there.
pub(super) fn see_to(options: &Options) -> Result<(), OpenError> {
    if let Some(name) = OURS.iter().find(|name| options.client.contains_key(**name)) {
        let reason = format!("kafka.{name} cannot be set: what is promised rests on the value that it has");
        return Err(OpenError::Client { reason });
    }
    let admin: AdminClient<Context> =
        options.admin().create_with_context(Context).map_err(|error| OpenError::client(&error))?;
    let mut all = vec![Wanted {
        topic: options.topics.events.clone(),
        partitions: options.events_partitions,
        settings: EVENTS,
        is_epochs: false,
    }];
    all.extend(options.topics.rows.iter().map(|topic| Wanted {
        topic: topic.clone(),
        partitions: options.rows_partitions,
        settings: ROWS,
        is_epochs: false,
    }));
    all.push(Wanted { topic: options.epochs_topic(), partitions: 1, settings: EPOCHS, is_epochs: true });
    let missing: Vec<&Wanted> = {
        let existing = partitions(&admin, options, &all)?;
        let pairs = all.iter().zip(existing);
        pairs.filter(|(_, existing)| existing.is_none()).map(|(wanted, _)| wanted).collect()
    };
    let is_new = !missing.is_empty();
    if is_new {
        create(&admin, options, &missing)?;
    }
    let existing = wait_for_all(&admin, options, &all)?;
    if is_new {
        wait_for_leaders(options, &all, &existing)?;
    }
    for (wanted, partitions) in all.iter().zip(existing) {
        if wanted.is_epochs && partitions != 1 {
            return Err(OpenError::Partitions { topic: wanted.topic.clone(), found: partitions });
        }
    }
    check_settings(&admin, options, &all, is_new)
}

/// How many partitions each topic has; `None` where it does not exist.
fn partitions(
    admin: &AdminClient<Context>,
    options: &Options,
    all: &[Wanted],
) -> Result<Vec<Option<usize>>, OpenError> {
    let metadata = admin.inner().fetch_metadata(None, options.request_timeout);
    let metadata = metadata.map_err(|error| OpenError::unreachable(options, &error))?;
    let count = |wanted: &Wanted| {
        let found = metadata.topics().iter().find(|topic| topic.name() == wanted.topic)?;
        found.error().is_none().then(|| found.partitions().len())
    };
    Ok(all.iter().map(count).collect())
}

fn new_topic(wanted: &Wanted, replicas: i32) -> NewTopic<'_> {
    let partitions = i32::try_from(wanted.partitions).unwrap_or(i32::MAX);
    let topic = NewTopic::new(&wanted.topic, partitions, TopicReplication::Fixed(replicas));
    wanted.settings.iter().fold(topic, |topic, setting| topic.set(setting.name, setting.value))
}

fn create(admin: &AdminClient<Context>, options: &Options, missing: &[&Wanted]) -> Result<(), OpenError> {
    let replicas = options.replicas.and_then(|replicas| i32::try_from(replicas).ok()).unwrap_or(-1);
    let topics: Vec<NewTopic<'_>> = missing.iter().map(|wanted| new_topic(wanted, replicas)).collect();
    let admin_options = AdminOptions::new().operation_timeout(Some(options.request_timeout));
    let created = block_on(admin.create_topics(&topics, &admin_options));
    for outcome in created.map_err(|error| OpenError::unreachable(options, &error))? {
        match outcome {
            // Somebody else was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => return Err(OpenError::Create { topic, reason: error.to_string() }),
        }
    }
    Ok(())
}

/// Waits until every topic is there, and says how many partitions each has.
fn wait_for_all(
    admin: &AdminClient<Context>,
    options: &Options,
    all: &[Wanted],
) -> Result<Vec<usize>, OpenError> {
    let began = Instant::now();
    loop {
        let existing = partitions(admin, options, all)?;
        if let Some(counts) = existing.iter().copied().collect::<Option<Vec<usize>>>() {
            return Ok(counts);
        }
        if began.elapsed() > CREATED_DEADLINE {
            let missing = all.iter().zip(&existing).find(|(_, existing)| existing.is_none());
            let topic = missing.map(|(wanted, _)| wanted.topic.clone()).unwrap_or_default();
            return Err(OpenError::Create { topic, reason: "it was created and does not appear".to_owned() });
        }
        std::thread::park_timeout(CREATED_REST);
    }
}

/// Waits until every partition of the topics can be asked where it ends.
fn wait_for_leaders(options: &Options, all: &[Wanted], partitions: &[usize]) -> Result<(), OpenError> {
    let consumer = consumer(options).map_err(|error| OpenError::client(&error))?;
    let of_topic = |(wanted, count): (&Wanted, &usize)| {
        let topic: Arc<str> = wanted.topic.as_str().into();
        let count = u32::try_from(*count).unwrap_or(u32::MAX);
        (0..count).map(move |partition| (Arc::clone(&topic), PartitionId(partition)))
    };
    let places: Vec<Place> = all.iter().zip(partitions).flat_map(of_topic).collect();
    until_it_works(|| {
        let mut ends = Ends::default();
        ends.expect(&places);
        let mut look = |place| ends.look(&consumer, place, options.request_timeout).map(drop);
        places.iter().try_for_each(&mut look).map_err(|error| OpenError::unreachable(options, &error))
    })
}

/// What is new is not known everywhere at once.
fn until_it_works<T>(mut attempt: impl FnMut() -> Result<T, OpenError>) -> Result<T, OpenError> {
    let began = Instant::now();
    loop {
        match attempt() {
            Err(_) if began.elapsed() < CREATED_DEADLINE => std::thread::park_timeout(CREATED_REST),
            outcome => return outcome,
        }
    }
}

fn check_settings(
    admin: &AdminClient<Context>,
    options: &Options,
    all: &[Wanted],
    is_new: bool,
) -> Result<(), OpenError> {
    let specifiers: Vec<_> = all.iter().map(|wanted| ResourceSpecifier::Topic(&wanted.topic)).collect();
    let admin_options = AdminOptions::new().request_timeout(Some(options.request_timeout));
    let describe = || {
        let described = block_on(admin.describe_configs(&specifiers, &admin_options));
        let described = described.map_err(|error| OpenError::unreachable(options, &error))?;
        let described = described.into_iter().collect::<Result<Vec<ConfigResource>, _>>();
        described.map_err(|error| OpenError::unreachable(options, &error))
    };
    let described = if is_new { until_it_works(describe)? } else { describe()? };
    for (wanted, described) in all.iter().zip(&described) {
        for setting in wanted.settings {
            let found = described.get(setting.name).and_then(|entry| entry.value.clone()).unwrap_or_default();
            if found != setting.value {
                return Err(OpenError::Setting {
                    topic: wanted.topic.clone(),
                    setting: setting.name,
                    found,
                    wanted: setting.value,
                    why: setting.why,
                });
            }
        }
    }
    Ok(())
}
