//! What is wrong with a topic, from what it must be and what it is: no I/O.

use std::collections::BTreeMap;

use super::fault::TopicFault;
use super::wanted::{TopicRole, Wanted};

/// What a topic is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicFacts {
    /// How many partitions it has.
    pub partitions: u32,
    /// How many replicas each of them has; where they differ, the fewest.
    pub replicas: u32,
    /// How many replicas must have a write before it is acknowledged; `None` when the brokers do not say.
    pub min_insync_replicas: Option<u32>,
    /// Those of its settings that matter here, by Kafka's names.
    pub settings: BTreeMap<String, String>,
}

/// Everything that is wrong. `replicas` is what a missing topic is created with.
pub(super) fn judge(wanted: &Wanted, found: Option<&TopicFacts>, replicas: Option<u32>) -> Vec<TopicFault> {
    let topic = || wanted.topic.clone();
    let Some(found) = found else {
        let settings = wanted.settings.iter().map(|setting| (setting.name, setting.value)).collect();
        let partitions = wanted.partitions;
        return vec![TopicFault::Missing { topic: topic(), partitions, replicas, settings }];
    };
    let mut faults = Vec::new();
    if wanted.role == TopicRole::Epochs && found.partitions != 1 {
        faults.push(TopicFault::Partitions { topic: topic(), found: found.partitions });
    }
    for setting in wanted.settings {
        let value = found.settings.get(setting.name).cloned().unwrap_or_default();
        if value != setting.value {
            faults.push(TopicFault::Setting {
                topic: topic(),
                setting: setting.name,
                found: value,
                wanted: setting.value,
                why: setting.why,
            });
        }
    }
    if let Some(min_insync_replicas) = found.min_insync_replicas.filter(|min| *min > found.replicas) {
        let replicas = found.replicas;
        faults.push(TopicFault::Unwritable { topic: topic(), replicas, min_insync_replicas });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::options::{Options, TopicNames};

    type Change = Box<dyn Fn(&mut TopicFacts)>;

    /// A topic as it is created.
    fn created(wanted: &Wanted) -> TopicFacts {
        let settings = wanted.settings.iter();
        TopicFacts {
            partitions: wanted.partitions,
            replicas: 1,
            min_insync_replicas: Some(1),
            settings: settings.map(|it| (it.name.to_owned(), it.value.to_owned())).collect(),
        }
    }

    fn all() -> Vec<Wanted> {
        let topics = TopicNames { events: "e".to_owned(), rows: vec!["r".to_owned()] };
        Wanted::all(&Options { topics, deployment: "d".to_owned(), ..Options::default() })
    }

    #[test]
    fn what_is_created_is_as_it_must_be() {
        for wanted in all() {
            assert_eq!(judge(&wanted, Some(&created(&wanted)), None), [], "{}", wanted.topic);
        }
    }

    #[test]
    fn whatever_is_wrong_is_named_with_the_command_that_mends_it() {
        let set = |name: &'static str, value: &'static str| {
            move |facts: &mut TopicFacts| {
                facts.settings.insert(name.to_owned(), value.to_owned());
            }
        };
        let cases: [(usize, Change, &str, &str); 5] = [
            (
                0,
                Box::new(set("message.timestamp.type", "CreateTime")),
                "topic e has message.timestamp.type = CreateTime, and must have LogAppendTime",
                "--alter --topic e --add-config message.timestamp.type=LogAppendTime",
            ),
            (
                1,
                Box::new(set("cleanup.policy", "compact,delete")),
                "topic r has cleanup.policy = compact,delete, and must have delete",
                "--alter --topic r --add-config cleanup.policy=delete",
            ),
            (
                2,
                Box::new(set("retention.ms", "1")),
                "topic d_epochs has retention.ms = 1, and must have -1",
                "--alter --topic d_epochs --add-config retention.ms=-1",
            ),
            (
                2,
                Box::new(|facts| facts.partitions = 3),
                "topic d_epochs has 3 partitions, and bindings need exactly one",
                "name another deployment (deployment)",
            ),
            (
                0,
                Box::new(|facts| facts.min_insync_replicas = Some(2)),
                "topic e has min.insync.replicas = 2 and replicas = 1",
                "--alter --topic e --add-config min.insync.replicas=1",
            ),
        ];
        for (at, change, told, remedy) in cases {
            let wanted = &all()[at];
            let mut facts = created(wanted);
            change(&mut facts);
            let faults = judge(wanted, Some(&facts), None);
            let [fault] = faults.as_slice() else { panic!("{told}: {faults:?}") };
            assert!(fault.to_string().starts_with(told), "{fault}");
            assert!(fault.remedy("b:1").contains(remedy), "{}", fault.remedy("b:1"));
        }
    }

    #[test]
    fn a_missing_topic_is_created_with_everything_that_it_must_have() {
        let faults = judge(&all()[0], None, Some(3));
        assert!(!faults[0].is_refused(), "a start creates it");
        assert_eq!(
            faults[0].remedy("b:1"),
            "kafka-topics --bootstrap-server b:1 --create --topic e --partitions 6 --replication-factor 3 \
             --config cleanup.policy=delete --config message.timestamp.type=LogAppendTime"
        );
    }
}
