//! `tidegate doctor`, on a deployment that is as it should be and on one that is not.

use std::collections::BTreeMap;

use serde_json::Value;
use tidegate_services::redis::command;

use crate::common::{Event, Ran, now_ms, run, wait_for};
use crate::stack::{ROLES, Stack};
use crate::stores::Stores;
use crate::topics::Admin;

/// How each thing is that is not as it should be.
fn others(ran: &Ran) -> BTreeMap<String, String> {
    let all: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
    let findings = all["findings"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    for finding in findings {
        assert_eq!(finding["state"] == "ok", finding["remedy"].is_null(), "{finding}");
    }
    let parts: std::collections::BTreeSet<_> = findings.iter().map(|it| text(&it["part"])).collect();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    assert_eq!(parts, ["clickhouse", "deployment", "kafka", "redis"], "every part was looked at");
    let not_ok = findings.iter().filter(|it| it["state"] != "ok");
    not_ok.map(|it| (text(&it["what"]), text(&it["state"]))).collect()
}

#[test]
fn everything_is_looked_at_and_what_is_wrong_is_told_with_its_remedy() {
    let Ok(bootstrap) = tidegate_services::test_kafka() else { return };
    let Some(mut stores) = Stores::start() else { return };
    let mut stack = stores.stack(&bootstrap);
    let doctor = |stack: &Stack| run(&mut stack.tool(&["doctor", "--format", "json"]));
    let roles = ROLES.map(|(role, _)| stack.start(role));
    let mut client = roles[0].client("ingest");
    let event = Event::page_view("u", now_ms()).line();
    assert_eq!(client.post("/v1/analytics/track", &event).expect("it answers").status, 202);
    wait_for("it to be committed", || (stack.ledger()["SessionTracker"]["accepted"] == 1).then_some(()));
    for role in roles {
        assert!(role.terminate().status.success());
    }
    let found = doctor(&stack);
    assert_eq!((found.code, others(&found)), (Some(0), BTreeMap::new()), "{}", found.out);
    assert!(found.out.contains("all that a sink needs"), "{}", found.out);
    let table = run(&mut stack.tool(&["doctor"]));
    assert!(table.out.ends_with(" ok, 0 warnings, 0 away, 0 wrong\n"), "{}", table.out);

    // Events are forgotten before a start has read them again, and stamped by whoever sends them.
    let (admin, events) = (Admin::new(&bootstrap), stack.topic("events"));
    admin.set(&events, &[("message.timestamp.type", "CreateTime"), ("retention.ms", "1000")]);
    let address = stores.clickhouse.address();
    address.query("RENAME TABLE analytics.event_metrics TO analytics.old").expect("it is renamed");
    let old = "CREATE TABLE analytics.event_metrics (window_start DateTime64(3)) ENGINE = MergeTree ORDER BY window_start";
    address.query(old).expect("it is made");
    for setting in [["maxmemory", "100mb"], ["maxmemory-policy", "allkeys-lru"]] {
        let [name, value] = setting;
        command(stores.redis.address(), &["CONFIG", "SET", name, value]).expect("it is set");
    }
    stack.settings.push("jobs.session_gap=7m".to_owned());
    let found = doctor(&stack);
    let expected = [
        (format!("topic {events}"), "wrong".to_owned()),
        ("table event_metrics".to_owned(), "wrong".to_owned()),
        ("jobs".to_owned(), "wrong".to_owned()),
        (format!("{}/0", stores.redis.address()), "wrong".to_owned()),
    ];
    assert_eq!((found.code, others(&found)), (Some(3), BTreeMap::from(expected)), "{}", found.out);
    for part in [
        "retention.ms=3600000",
        "message.timestamp.type=LogAppendTime",
        "migrate clickhouse",
        "noeviction",
        "--accept-changed-jobs",
    ] {
        assert!(found.out.contains(part), "no {part:?} in {}", found.out);
    }

    // Who does not answer cannot be judged.
    stack.settings.pop();
    admin.set(&events, &[("message.timestamp.type", "LogAppendTime")]);
    stores.clickhouse.kill();
    stores.redis.kill();
    let found = doctor(&stack);
    let away = others(&found);
    assert_eq!(found.code, Some(1), "{}", found.out);
    assert_eq!(away.values().collect::<Vec<_>>(), ["away", "away"], "{}", found.out);
}
