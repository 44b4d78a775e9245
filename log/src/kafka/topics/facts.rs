//! What the topics of a deployment are, as Kafka says.

use std::collections::BTreeMap;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};

use super::error::OpenError;
use super::judge::TopicFacts;
use super::wanted::Wanted;
use crate::block_on::block_on;
use crate::kafka::client::Context;
use crate::kafka::options::Options;

/// The setting that says how many replicas must have a write.
const MIN_INSYNC: &str = "min.insync.replicas";

/// How large a topic is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) partitions: u32,
    pub(super) replicas: u32,
}

/// How large each topic is; `None` where it does not exist.
pub(super) fn shapes(
    admin: &AdminClient<Context>,
    options: &Options,
    all: &[Wanted],
) -> Result<Vec<Option<Shape>>, OpenError> {
    let metadata = admin.inner().fetch_metadata(None, options.request_timeout);
    let metadata = metadata.map_err(|error| OpenError::unreachable(options, &error))?;
    let shape = |wanted: &Wanted| {
        let found = metadata.topics().iter().find(|topic| topic.name() == wanted.topic)?;
        let replicas = found.partitions().iter().map(|partition| count(partition.replicas().len())).min();
        found
            .error()
            .is_none()
            .then(|| Shape { partitions: count(found.partitions().len()), replicas: replicas.unwrap_or(0) })
    };
    Ok(all.iter().map(shape).collect())
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The facts of each topic; `None` where it does not exist.
pub(super) fn gather(
    admin: &AdminClient<Context>,
    options: &Options,
    all: &[Wanted],
    shapes: &[Option<Shape>],
) -> Result<Vec<Option<TopicFacts>>, OpenError> {
    let names = all.iter().zip(shapes).filter(|(_, shape)| shape.is_some()).map(|(wanted, _)| &*wanted.topic);
    let specifiers: Vec<_> = names.map(ResourceSpecifier::Topic).collect();
    let mut described = described(admin, options, &specifiers)?.into_iter();
    let facts = |(wanted, shape): (&Wanted, &Option<Shape>)| {
        let Shape { partitions, replicas } = (*shape)?;
        let mut settings = described.next()?;
        let min_insync_replicas = settings.get(MIN_INSYNC).and_then(|value| value.parse().ok());
        settings.retain(|name, _| wanted.shows(name));
        Some(TopicFacts { partitions, replicas, min_insync_replicas, settings })
    };
    Ok(all.iter().zip(shapes).map(facts).collect())
}

/// The settings of topics that exist, in their order.
fn described(
    admin: &AdminClient<Context>,
    options: &Options,
    specifiers: &[ResourceSpecifier<'_>],
) -> Result<Vec<BTreeMap<String, String>>, OpenError> {
    if specifiers.is_empty() {
        return Ok(Vec::new());
    }
    let admin_options = AdminOptions::new().request_timeout(Some(options.request_timeout));
    let described = block_on(admin.describe_configs(specifiers, &admin_options));
    let described = described.map_err(|error| OpenError::unreachable(options, &error))?;
    let settings = |resource: ConfigResource| {
        let entries = resource.entries.into_iter();
        entries.filter_map(|entry| Some((entry.name, entry.value?))).collect()
    };
    let one = |(described, specifier): (Result<ConfigResource, _>, &ResourceSpecifier<'_>)| {
        described.map(settings).map_err(|error| {
            let name = match specifier {
                ResourceSpecifier::Topic(name) | ResourceSpecifier::Group(name) => name,
                ResourceSpecifier::Broker(_) => "",
            };
            let reason = format!("the settings of topic {name} cannot be read: {error}");
            OpenError::unreachable(options, &reason)
        })
    };
    described.into_iter().zip(specifiers).map(one).collect()
}
