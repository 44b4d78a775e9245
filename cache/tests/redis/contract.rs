//! Keys and channels are those of contract section 5, to whoever looks with `redis-cli`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidegate_cache::conformance::{NOW, Subject as _, batch, provisional, row};
use tidegate_cache::{Batch, CacheReader as _, CacheWriter as _, Config, Effect, Number, Row, UpdateKind};
use tidegate_model::row::{CacheView, MetricRow, PerformanceMetrics, SessionWindowMetrics};
use tidegate_model::{AsOf, Epoch, EventTime, Offset};

use crate::subject::{Server, next_update};

fn view<R: MetricRow>() -> &'static CacheView {
    const { R::SCHEMA.cache.as_ref().expect("rows of this type are cached") }
}

fn numbers(view: &'static CacheView, label: &str, minute: i64, values: &[Number]) -> Row {
    Row { view, effect: Effect::Put(values.into()), ..row(7, minute, label, 0) }
}

#[test]
fn keys_are_those_of_the_contract() {
    let Some(server) = Server::start(&[]) else { return };
    let mut cache = server.cache(Config::default()).writer();
    let (performance, sessions) = (view::<PerformanceMetrics>(), view::<SessionWindowMetrics>());
    let overview = [Number::UInt(4), Number::UInt(1), Number::Float(12.0), Number::Float(2.25)];
    let rows = vec![
        row(7, 10, "page_view", 3),
        row(7, 10, "click", 1),
        row(7, 9, "click", 2),
        numbers(performance, "Mobile", 10, &[Number::Float(812.5), Number::Float(1e300)]),
        numbers(sessions, "Desktop", 10, &overview),
        provisional(7, 11, "click", 5),
    ];
    assert_eq!(cache.apply(&batch(0, rows), NOW).expect("it is applied").put, 6);
    for (asked, expected) in [
        ("HGETALL metrics:event:540000", "click.count 2 click.users 2"),
        ("ZRANGE metrics:event:windows 0 -1 WITHSCORES", "540000 540000 600000 600000"),
        ("HGETALL metrics:perf:600000", "Mobile.avg_load_time 812.5 Mobile.p95_load_time 1e300"),
        ("ZRANGE metrics:perf:windows 0 -1 WITHSCORES", "600000 600000"),
        ("HGET metrics:session:600000 Desktop.sessions", "4"),
        ("HGET metrics:session:600000 Desktop.bounces", "1"),
        ("HGET metrics:session:600000 Desktop.avg_duration", "12.0"),
        ("HGET metrics:session:600000 Desktop.avg_page_count", "2.25"),
        ("HLEN metrics:session:600000", "4"),
        ("ZRANGE metrics:session:windows 0 -1 WITHSCORES", "600000 600000"),
        ("HGETALL live:event:660000", "click.count 5 click.users 5"),
        ("TYPE metrics:event:windows", "zset"),
    ] {
        assert_eq!(server.told(asked), expected, "{asked}");
    }
    let mut fields: Vec<_> =
        server.told("HGETALL metrics:event:600000").split(' ').map(str::to_owned).collect();
    fields.sort_unstable();
    assert_eq!(fields.join(" "), "1 1 3 3 click.count click.users page_view.count page_view.users");
    let mut keys: Vec<_> = server.told("KEYS *").split(' ').map(str::to_owned).collect();
    keys.retain(|key| !key.starts_with("tidegate:"));
    keys.sort_unstable();
    let expected = [
        "live:event:660000",
        "live:event:windows",
        "metrics:event:540000",
        "metrics:event:600000",
        "metrics:event:windows",
        "metrics:perf:600000",
        "metrics:perf:windows",
        "metrics:session:600000",
        "metrics:session:windows",
    ];
    assert_eq!(keys, expected);
    let ttl = |key: &str| server.told(&format!("TTL {key}")).parse::<i64>().expect("a number");
    assert!((21_500..=21_600).contains(&ttl("metrics:event:600000")));
    assert!((60..=120).contains(&ttl("live:event:660000")), "two windows");
}

#[test]
fn what_makes_room_is_deleted() {
    let Some(server) = Server::start(&[]) else { return };
    let mut cache = server.cache(Config { windows_kept: 2, ..Config::default() }).writer();
    cache
        .apply(&batch(0, (1..=4).map(|minute| row(1, minute, "a", 1)).collect()), NOW)
        .expect("it is applied");
    assert_eq!(server.told("ZRANGE metrics:event:windows 0 -1"), "180000 240000");
    let gone = "EXISTS metrics:event:60000 metrics:event:120000 tidegate:final:event:60000";
    assert_eq!(server.told(gone), "0");
    cache.apply(&batch(4, vec![row(2, 3, "a", 5), row(2, 1, "a", 5)]), NOW).expect("it is applied");
    assert_eq!(server.told("ZRANGE metrics:event:windows 0 -1"), "180000 240000");
    let sizes = cache.sizes().expect("it answers");
    assert_eq!(sizes.iter().map(|size| (size.kind, size.windows)).collect::<Vec<_>>(), [("event", 2)]);
}

#[tokio::test]
async fn a_published_message_is_the_json_of_a_change() {
    let Some(server) = Server::start(&[]) else { return };
    let cache = server.cache(Config::default());
    let mut writer = cache.writer();
    let client = ::redis::Client::open(format!("redis://{}/", server.redis.address())).expect("an address");
    let mut connection = client.get_connection().expect("it answers");
    connection.set_read_timeout(Some(Duration::from_secs(30))).expect("it is set");
    let mut messages = connection.as_pubsub();
    messages.subscribe("cache:updates").expect("it answers");
    let mut updates = cache.reader().subscribe().await.expect("it answers");
    let third = [Number::Float(1.0 / 3.0), Number::Float(2.0)];
    let other = numbers(view::<PerformanceMetrics>(), "a \"b\" / é\n\0\u{7f}", 5, &third);
    let rows =
        vec![row(1, 5, "a", 1), other, provisional(1, 6, "a", 2), row(u64::MAX >> 1, 7, "z", u64::MAX)];
    writer.apply(&batch(0, rows), NOW).expect("it is applied");
    for kind in ["event", "event", "event", "perf"] {
        let update = next_update(&mut updates).await.expect("it was told");
        let UpdateKind::Changed(change) = update.kind else { panic!("{update:?}") };
        let text: String = messages.get_message().expect("it comes").get_payload().expect("it is text");
        let mut message: Value = serde_json::from_str(&text).expect("it is JSON");
        let seq = message.as_object_mut().expect("an object").remove("seq");
        assert_eq!(seq, Some(update.seq.into()));
        assert_eq!(message, serde_json::to_value(&*change).expect("it has a JSON"), "{text}");
        assert_eq!(change.kind, kind);
    }
    // How far rows are in is told beside, so that the channel of the contract has changes alone.
    let at = writer.positions().expect("it answers");
    let as_of = AsOf { epoch: Epoch(3), frontier: EventTime::from_millis(7 * 60_000) };
    writer.set_as_of(Some(as_of), &at).expect("it stands there");
    let update = next_update(&mut updates).await.expect("it was told");
    assert!(matches!(update.kind, UpdateKind::Changed(change) if change.provisional));
    assert_eq!(next_update(&mut updates).await.expect("it was told").kind, UpdateKind::AsOf(as_of));
}

#[test]
fn topics_may_have_any_name() {
    let Some(server) = Server::start(&[]) else { return };
    let mut cache = server.cache(Config::default()).writer();
    let topic = Arc::from("a:b c\"é:0");
    let named = Batch { topic: Arc::clone(&topic), range: Offset(0)..Offset(u64::MAX), ..batch(0, vec![]) };
    cache.apply(&named, NOW).expect("it is applied");
    let positions = cache.positions().expect("it answers");
    let ((found, _), position) = positions.first_key_value().expect("there is one");
    assert_eq!((found, position.next), (&topic, Offset(u64::MAX)));
}
