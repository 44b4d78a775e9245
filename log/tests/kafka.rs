//! The log on a real Kafka passes the suite that every log passes.

mod deployment;

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tidegate_log::conformance::{Subject as _, binding, block_on, event, run_all};
use tidegate_log::kafka::{KafkaLog, OpenError, Options, TopicNames};
use tidegate_log::{Commit, EventAppender as _, Journal as _, RowReader as _, RowRecord};
use tidegate_model::{Epoch, Generation, Offset, Op, PartitionId};
use tidegate_services::test_kafka;

use deployment::Deployment;

/// Longer than anything takes here, and less than a broker keeps a transaction open for.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_log_on_kafka_conforms() {
    let Ok(bootstrap) = test_kafka() else { return };
    run_all(|| Deployment::new(&bootstrap));
}

/// Creates a topic in the way that somebody else might have done it.
fn create(bootstrap: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("the settings are right");
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
    let created = block_on(admin.create_topics(&[topic], &AdminOptions::new())).expect("the broker answers");
    for created in created {
        created.expect("it is created");
    }
}

#[test]
fn rows_without_headers_are_those_of_the_old_job() {
    let Ok(bootstrap) = test_kafka() else { return };
    let deployment = Deployment::new(&bootstrap);
    // Nobody puts headers to an event.
    let appended = block_on(deployment.appender().append(vec![event(1, "{}"), event(1, "{\"a\":1}")]));
    assert_eq!(appended.expect("it is appended").len(), 2);
    let mut rows = deployment.log().row_reader().expect("the settings are right");
    let mut seen = Vec::new();
    let mut next = Offset(0);
    while seen.len() < 2 {
        next = rows
            .read(&deployment.events_topic(), PartitionId(1), next, 10, &mut |row| {
                assert_eq!((row.epoch, row.op, row.generation), (Epoch(0), Op::Final, Generation(0)));
                assert!(row.headers.is_empty());
                seen.push(String::from_utf8_lossy(row.value).into_owned());
            })
            .expect("the rows can be read");
    }
    assert_eq!((seen.concat(), next), ("{}{\"a\":1}".to_owned(), Offset(2)));
}

/// An epoch with one row.
fn commit(epoch: u64, generation: Generation) -> Commit {
    let row = RowRecord {
        topic: "event_metrics".into(),
        key: b"key".to_vec(),
        value: format!("row of {epoch}").into_bytes(),
        epoch: Epoch(epoch),
        op: Op::Final,
        headers: Vec::new(),
    };
    Commit { bindings: vec![binding(epoch, generation)], rows: vec![row] }
}

#[test]
fn a_transaction_that_was_left_open_is_never_seen_and_holds_nobody_up() {
    let Ok(bootstrap) = test_kafka() else { return };
    let deployment = Deployment::new(&bootstrap);
    let mut journal = deployment.journal();
    let generation = journal.recover().expect("it is new").generation;
    journal.commit(&commit(1, generation)).expect("it is committed");
    // A process of this deployment that was killed in the middle of a commit.
    let killed: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("transactional.id", deployment.committer())
        .create()
        .expect("the settings are right");
    killed.init_transactions(PATIENCE).expect("it takes over");
    killed.begin_transaction().expect("it begins");
    for partition in 0..3 {
        let topic = deployment.rows_topic();
        let half = BaseRecord::<(), str>::to(&topic).partition(partition).payload("half of an epoch");
        killed.send(half).map_err(|(error, _)| error).expect("it is sent");
    }
    killed.flush(PATIENCE).expect("it is there, and not committed");

    let began = Instant::now();
    let mut journal = deployment.journal();
    let recovered = journal.recover().expect("it takes over");
    assert_eq!(recovered.last.map(|binding| binding.epoch), Some(Epoch(1)));
    journal.commit(&commit(2, recovered.generation)).expect("it is committed");
    let (mut rows, mut seen, mut positions) = (deployment.rows(), Vec::new(), [Offset(0); 3]);
    while seen.len() < 2 {
        for (partition, next) in (0..).zip(&mut positions) {
            let read = rows.read("event_metrics", PartitionId(partition), *next, 10, &mut |row| {
                seen.push(String::from_utf8_lossy(row.value).into_owned());
            });
            *next = read.expect("the rows can be read");
        }
        // Left alone, the broker would keep the transaction open for a minute.
        assert!(began.elapsed() < PATIENCE, "seen: {seen:?}");
    }
    seen.sort_unstable();
    assert_eq!(seen, ["row of 1", "row of 2"]);
}

#[test]
fn a_topic_that_would_lose_something_is_refused_with_the_remedy() {
    let Ok(bootstrap) = test_kafka() else { return };
    let append_time = ("message.timestamp.type", "LogAppendTime");
    let compacted = ("cleanup.policy", "compact");
    for (number, (which, partitions, settings, told)) in [
        ("events", 2, &[append_time, compacted][..], "cleanup.policy = compact, and must have delete"),
        ("events", 2, &[], "message.timestamp.type = CreateTime, and must have LogAppendTime"),
        ("rows", 1, &[compacted], "cleanup.policy = compact"),
        ("_epochs", 1, &[("retention.ms", "60000")], "retention.ms = 60000, and must have -1"),
        ("_epochs", 3, &[("retention.ms", "-1")], "has 3 partitions, and bindings need exactly one"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("refused-{}-{number}", std::process::id());
        let topics = TopicNames { events: format!("{name}events"), rows: vec![format!("{name}rows")] };
        let topic = format!("{name}{which}");
        create(&bootstrap, &topic, partitions, settings);
        let options =
            Options { bootstrap: bootstrap.clone(), deployment: name, topics, ..Options::default() };
        let error = KafkaLog::open(options).map(|_| ()).expect_err("it is refused");
        let text = error.to_string();
        assert!(text.contains(&topic) && text.contains(told), "{text}");
        let has_remedy = text.contains("; kafka-configs --bootstrap-server ")
            || text.contains("; name another deployment (deployment)");
        assert!(has_remedy && matches!(error, OpenError::Topic { .. }), "{text}");
    }
}

#[test]
fn settings_and_brokers_that_are_wrong_are_named() {
    let open = |options: Options| KafkaLog::open(options).map(|_| ()).expect_err("it cannot be opened");
    let wrong = [("no.such.setting".to_owned(), "1".to_owned())].into();
    let error = open(Options { client: wrong, ..Options::default() });
    assert!(matches!(error, OpenError::Client { .. }), "{error}");
    assert!(error.to_string().contains("no.such.setting"), "{error}");
    let name = "sasl.pasword".to_owned();
    let error = open(Options { client: [(name, "hunter2".to_owned())].into(), ..Options::default() });
    assert!(!error.to_string().contains("hunter2"), "a value may be a secret: {error}");
    let error = open(Options { client: [("acks".to_owned(), "1".to_owned())].into(), ..Options::default() });
    assert!(error.to_string().contains("kafka.acks cannot be set"), "{error}");
    // Nobody listens there.
    let bootstrap = "127.0.0.1:9".to_owned();
    let request_timeout = std::time::Duration::from_millis(300);
    let error = open(Options { bootstrap, request_timeout, ..Options::default() });
    assert!(
        matches!(error, OpenError::Unreachable { .. }) && error.to_string().contains("127.0.0.1:9"),
        "{error}"
    );
}
