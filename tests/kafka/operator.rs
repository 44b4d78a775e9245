//! `tidegate topics`, as somebody uses it who sets a deployment up.

use serde_json::Value;
use tidegate_services::test_kafka;

use crate::common::{Ran, run, wait_for};
use crate::stack::Stack;
use crate::topics::Admin;

const APPEND_TIME: (&str, &str) = ("message.timestamp.type", "LogAppendTime");

fn topics(stack: &Stack, args: &[&str]) -> Ran {
    run(&mut stack.tool(&[&["topics"], args].concat()))
}

/// What `--format json` says of a topic.
fn object(ran: &Ran, topic: &str) -> Value {
    let all: Value = serde_json::from_str(&ran.out).expect("an object");
    let topics = all["topics"].as_array().expect("a list");
    topics.iter().find(|it| it["topic"] == topic).unwrap_or_else(|| panic!("no {topic}: {}", ran.out)).clone()
}

/// The state that the table gives each topic.
fn states(ran: &Ran) -> Vec<String> {
    let lines = ran.out.lines().skip_while(|line| !line.starts_with("TOPIC ")).skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.map(|line| line.split_whitespace().next_back().expect("a state").to_owned()).collect()
}

#[test]
fn topics_are_missing_then_created_then_as_they_must_be() {
    let Ok(bootstrap) = test_kafka() else { return };
    let mut stack = Stack::new(&bootstrap);
    stack.settings = vec!["topics.partitions=4".to_owned(), "kafka.rows_partitions=2".to_owned()];
    let admin = Admin::new(&bootstrap);
    admin.make(&stack.topic("live_metrics"), 1, &[]);

    let before = topics(&stack, &["check"]);
    assert_eq!(before.code, Some(3), "{}{}", before.out, before.err);
    let mut expected = ["missing"; 8];
    expected[5] = "ok";
    assert_eq!(states(&before), expected, "{}", before.out);
    let remedy = format!("--create --topic {} --partitions 4 ", stack.topic("events"));
    assert!(before.out.contains(&remedy) && before.out.contains("tidegate topics create"), "{}", before.out);
    assert_eq!(topics(&stack, &["check"]).out, before.out, "looking changes nothing");

    let created = topics(&stack, &["create"]);
    assert_eq!(created.code, Some(0), "{}{}", created.out, created.err);
    assert_eq!(states(&created), ["ok"; 8], "{}", created.out);
    for (word, table) in [("created", "events"), ("was there", "live_metrics"), ("created", "dropped_events")]
    {
        let line = format!("{word:9}  {}\n", stack.topic(table));
        assert!(created.out.contains(&line), "no {line:?} in {}", created.out);
    }

    let after = topics(&stack, &["check", "--format", "json"]);
    assert_eq!(after.code, Some(0), "{}{}", after.out, after.err);
    let events = object(&after, &stack.topic("events"));
    assert_eq!(
        (&events["state"], &events["partitions"], &events["replicas"]),
        (&"ok".into(), &4.into(), &1.into())
    );
    assert_eq!(events["settings"]["message.timestamp.type"], "LogAppendTime");
    assert_eq!(
        (&events["min_insync_replicas"], events["faults"].as_array().map(Vec::len)),
        (&1.into(), Some(0))
    );
    assert_eq!(object(&after, &stack.topic("session_metrics"))["partitions"], 2);
    let epochs = format!("{}_epochs", stack.topic("").trim_end_matches('-'));
    let epochs = object(&after, &epochs);
    assert_eq!((&epochs["partitions"], &epochs["settings"]["retention.ms"]), (&1.into(), &"-1".into()));

    let again = topics(&stack, &["create", "--format", "json"]);
    assert_eq!(again.code, Some(0), "{}{}", again.out, again.err);
    assert_eq!(object(&again, &stack.topic("events"))["created"], false);
}

#[test]
fn a_topic_that_is_set_otherwise_is_named_with_its_remedy() {
    let Ok(bootstrap) = test_kafka() else { return };
    let stack = Stack::new(&bootstrap);
    let admin = Admin::new(&bootstrap);
    let (events, rows) = (stack.topic("events"), stack.topic("event_metrics"));
    admin.make(&events, 2, &[]);
    admin.make(&rows, 2, &[("cleanup.policy", "compact")]);
    let created = topics(&stack, &["create"]);
    assert_eq!(created.code, Some(3), "{}{}", created.out, created.err);
    let alter = format!("kafka-configs --bootstrap-server {bootstrap} --alter --topic");
    for said in [
        format!("topic {events} has message.timestamp.type = CreateTime, and must have LogAppendTime"),
        format!("  {alter} {events} --add-config message.timestamp.type=LogAppendTime\n"),
        format!("topic {rows} has cleanup.policy = compact, and must have delete"),
        format!("  {alter} {rows} --add-config cleanup.policy=delete\n"),
    ] {
        assert!(created.out.contains(&said), "no {said:?} in {}", created.out);
    }
    // A role refuses the same.
    let refused = run(&mut stack.command("ingest"));
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains(&format!("{alter} {events}")), "{}", refused.err);

    admin.set(&events, &[APPEND_TIME]);
    admin.set(&rows, &[("min.insync.replicas", "2")]);
    // What is altered is not known everywhere at once.
    let mended = wait_for("the settings to be as they were altered", || {
        let ran = topics(&stack, &["check", "--format", "json"]);
        (object(&ran, &events)["state"] == "ok" && ran.out.contains("min.insync.replicas = 2")).then_some(ran)
    });
    assert_eq!(mended.code, Some(3), "{}{}", mended.out, mended.err);
    let fault = &object(&mended, &rows)["faults"][0];
    assert_eq!(fault["remedy"], format!("{alter} {rows} --add-config min.insync.replicas=1"));
    admin.set(&rows, &[]);
    wait_for("everything to be as it must be", || (topics(&stack, &["check"]).code == Some(0)).then_some(()));
}

#[test]
fn a_kafka_that_nobody_answers_for_is_named() {
    // Nobody listens there.
    let stack = Stack::new("127.0.0.1:9");
    for command in ["check", "create"] {
        let ran = topics(&stack, &[command, "--set", "kafka.request_timeout=300ms"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        assert!(ran.err.contains("error: Kafka at 127.0.0.1:9 cannot be used"), "{}", ran.err);
    }
}
