//! The topics of a deployment: created where they are missing, and looked at where they are there.
//!
//! What they must be stands in `wanted`, what they are is gathered by `facts`, and `judge` compares the two.

mod error;
mod facts;
mod fault;
mod judge;
mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::types::RDKafkaErrorCode;
use tidegate_model::PartitionId;

pub use self::error::OpenError;
use self::facts::{Shape, gather, shapes};
pub use self::fault::TopicFault;
pub use self::judge::TopicFacts;
use self::judge::judge;
pub use self::wanted::TopicRole;
use self::wanted::Wanted;
use super::client::{Context, consumer};
use super::ends::{Ends, Place};
use super::options::Options;
use crate::block_on::block_on;

/// How long a topic may take to be there once it was created.
const CREATED_DEADLINE: Duration = Duration::from_secs(30);

/// How long it rests between two looks whether it is.
const CREATED_REST: Duration = Duration::from_millis(20);

/// A topic of a deployment, as somebody who looked at it saw it.
#[derive(Clone, Debug)]
pub struct TopicReport {
    /// Its name.
    pub topic: String,
    /// What it is for.
    pub role: TopicRole,
    /// What it is; `None` when it is missing.
    pub found: Option<TopicFacts>,
    /// Everything that is wrong with it.
    pub faults: Vec<TopicFault>,
}

/// What became of the topics of a deployment.
#[derive(Clone, Debug)]
pub struct CreatedTopics {
    /// Those that were created; the others were there.
    pub created: Vec<String>,
    /// All of them, afterwards.
    pub reports: Vec<TopicReport>,
}

/// Looks at every topic of a deployment, and changes nothing.
///
/// # Errors
/// When Kafka cannot be reached, or does not say what a topic is. A topic that is missing or wrong is no error
/// here: its report says so.
pub fn check_topics(options: &Options) -> Result<Vec<TopicReport>, OpenError> {
    let (admin, all) = (admin(options)?, Wanted::all(options));
    let shapes = shapes(&admin, options, &all)?;
    let facts = gather(&admin, options, &all, &shapes)?;
    Ok(reports(options, all, facts))
}

/// Creates the topics of a deployment that are missing, and looks at all of them.
///
/// # Errors
/// When Kafka cannot be reached, does not let a topic be created, or does not say what one is.
pub fn create_topics(options: &Options) -> Result<CreatedTopics, OpenError> {
    let (admin, all) = (admin(options)?, Wanted::all(options));
    let existing = shapes(&admin, options, &all)?;
    let pairs = all.iter().zip(&existing);
    let missing: Vec<&Wanted> =
        pairs.filter(|(_, existing)| existing.is_none()).map(|(wanted, _)| wanted).collect();
    if missing.is_empty() {
        let facts = gather(&admin, options, &all, &existing)?;
        return Ok(CreatedTopics { created: Vec::new(), reports: reports(options, all, facts) });
    }
    let created = create(&admin, options, &missing)?;
    let existing = wait_for_all(&admin, options, &all)?;
    wait_for_leaders(options, &all, &existing)?;
    let existing: Vec<Option<Shape>> = existing.into_iter().map(Some).collect();
    let facts = until_it_works(|| gather(&admin, options, &all, &existing))?;
    Ok(CreatedTopics { created, reports: reports(options, all, facts) })
}

/// Creates what is missing, and refuses what is not as it must be.
pub(super) fn see_to(options: &Options) -> Result<(), OpenError> {
    let mut faults = create_topics(options)?.reports.into_iter().flat_map(|report| report.faults);
    match faults.find(TopicFault::is_refused) {
        Some(fault) => Err(OpenError::Topic { fault, bootstrap: options.bootstrap.clone() }),
        None => Ok(()),
    }
}

fn reports(options: &Options, all: Vec<Wanted>, facts: Vec<Option<TopicFacts>>) -> Vec<TopicReport> {
    let report = |(wanted, found): (Wanted, Option<TopicFacts>)| TopicReport {
        faults: judge(&wanted, found.as_ref(), options.replicas),
        topic: wanted.topic,
        role: wanted.role,
        found,
    };
    all.into_iter().zip(facts).map(report).collect()
}

fn admin(options: &Options) -> Result<AdminClient<Context>, OpenError> {
    options.refuse_ours()?;
    options.admin().create_with_context(Context).map_err(|error| OpenError::client(&error))
}

fn new_topic(wanted: &Wanted, replicas: i32) -> NewTopic<'_> {
    let partitions = i32::try_from(wanted.partitions).unwrap_or(i32::MAX);
    let topic = NewTopic::new(&wanted.topic, partitions, TopicReplication::Fixed(replicas));
    wanted.settings.iter().fold(topic, |topic, setting| topic.set(setting.name, setting.value))
}

/// Creates topics, and says which of them were not there.
fn create(
    admin: &AdminClient<Context>,
    options: &Options,
    missing: &[&Wanted],
) -> Result<Vec<String>, OpenError> {
    let replicas = options.replicas.and_then(|replicas| i32::try_from(replicas).ok()).unwrap_or(-1);
    let topics: Vec<NewTopic<'_>> = missing.iter().map(|wanted| new_topic(wanted, replicas)).collect();
    let admin_options = AdminOptions::new().operation_timeout(Some(options.request_timeout));
    let created = block_on(admin.create_topics(&topics, &admin_options));
    let mut ours = Vec::with_capacity(topics.len());
    for outcome in created.map_err(|error| OpenError::unreachable(options, &error))? {
        match outcome {
            Ok(topic) => ours.push(topic),
            // Somebody else was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, error)) => return Err(OpenError::Create { topic, reason: error.to_string() }),
        }
    }
    Ok(ours)
}

/// Waits until every topic is there, and says how large each is.
fn wait_for_all(
    admin: &AdminClient<Context>,
    options: &Options,
    all: &[Wanted],
) -> Result<Vec<Shape>, OpenError> {
    let began = Instant::now();
    loop {
        let existing = shapes(admin, options, all)?;
        if let Some(all) = existing.iter().copied().collect::<Option<Vec<Shape>>>() {
            return Ok(all);
        }
        if began.elapsed() > CREATED_DEADLINE {
            let missing = all.iter().zip(&existing).find(|(_, existing)| existing.is_none());
            let topic = missing.map(|(wanted, _)| wanted.topic.clone()).unwrap_or_default();
            return Err(OpenError::Create {
                topic,
                reason: "it was created and does not appear: may this user describe it?".to_owned(),
            });
        }
        std::thread::park_timeout(CREATED_REST);
    }
}

/// Waits until every partition of the topics can be asked where it ends.
fn wait_for_leaders(options: &Options, all: &[Wanted], shapes: &[Shape]) -> Result<(), OpenError> {
    let consumer = consumer(options).map_err(|error| OpenError::client(&error))?;
    let of_topic = |(wanted, shape): (&Wanted, &Shape)| {
        let topic: Arc<str> = wanted.topic.as_str().into();
        (0..shape.partitions).map(move |partition| (Arc::clone(&topic), PartitionId(partition)))
    };
    let places: Vec<Place> = all.iter().zip(shapes).flat_map(of_topic).collect();
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
