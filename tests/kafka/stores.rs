//! ClickHouse and Redis together: both away for a minute, and both kept while Kafka is wiped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidegate_services::clickhouse::Address;
use tidegate_services::{ClickHouse, Kafka, Redis, redis, test_kafka, tools};

use crate::cached::{Windows, kept};
use crate::clickhouse::stack_with;
use crate::common::service::Service;
use crate::common::wait_for;
use crate::load::{Sender, Sent};
use crate::onlooker::Onlooker;
use crate::stack::{ROLES, Stack};

/// For so long nobody answers.
const AWAY: Duration = Duration::from_mins(1);

/// Both servers, of a test's own.
pub(crate) struct Stores {
    pub(crate) clickhouse: ClickHouse,
    pub(crate) redis: Redis,
    _dir: TempDir,
}

impl Stores {
    /// `None` where there is no Redis to start.
    pub(crate) fn start() -> Option<Self> {
        redis::installed().map_err(|missing| tools::left_out(&format!("{missing:#}"))).ok()?;
        let dir = TempDir::new().expect("a temporary directory");
        let clickhouse = ClickHouse::start(&dir.path().join("clickhouse")).expect("a server starts");
        let redis = Redis::start(&dir.path().join("redis")).expect("a server starts");
        Some(Self { clickhouse, redis, _dir: dir })
    }

    /// A pipeline that stores in both.
    pub(crate) fn stack(&self, bootstrap: &str) -> Stack {
        let mut stack = stack_with(bootstrap, self.clickhouse.address(), "analytics");
        let (host, port) = self.redis.address().rsplit_once(':').expect("an address");
        stack.settings.extend([
            format!("redis.host={host}"),
            format!("redis.port={port}"),
            // Every window of the test.
            "cache.windows_kept=10000".to_owned(),
        ]);
        stack
    }

    /// Waits until every event is in ClickHouse once, and Redis has the same windows.
    fn check(&self, sent: &Sent) {
        let address = self.clickhouse.address();
        let ask = |sql: &str| address.query(sql).expect("it answers");
        let number = |text: &str| text.trim().parse().expect("a number");
        let session = |line: &str| {
            let (session, pages) = line.split_once('\t').expect("two columns");
            (session.to_owned(), number(pages))
        };
        sent.check_in(
            || {
                ask("SELECT session_id, page_count FROM analytics.session_metrics")
                    .lines()
                    .map(session)
                    .collect()
            },
            || number(&ask("SELECT sum(event_count) FROM analytics.event_metrics")),
        );
        wait_for("the same windows in Redis", || {
            (kept(self.redis.address())["event"] == event_windows(address)).then_some(())
        });
    }
}

/// The windows of events, as a cache has them.
fn event_windows(address: &Address) -> Windows {
    let sql = "SELECT toUnixTimestamp64Milli(window_start), event_type, event_count, user_count \
               FROM analytics.event_metrics";
    let mut windows: Windows = BTreeMap::new();
    for line in address.query(sql).expect("it answers").lines() {
        let [start, label, count, users] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has four columns")
        };
        let fields = windows.entry(start.parse().expect("a number")).or_default();
        fields.insert(format!("{label}.count"), count.parse().expect("a number"));
        fields.insert(format!("{label}.users"), users.parse().expect("a number"));
    }
    windows
}

fn end(services: impl IntoIterator<Item = Service>) {
    for service in services {
        let ended = service.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}

#[test]
fn stores_that_are_away_for_a_minute_catch_up_and_miss_nothing() {
    let Ok(bootstrap) = test_kafka() else { return };
    let Some(mut stores) = Stores::start() else { return };
    let stack = stores.stack(&bootstrap);
    let services = ROLES.map(|(role, _)| stack.start(role));
    let onlooker = Onlooker::start(stores.clickhouse.address(), "analytics");
    let sender = Sender::start(services[0].address("ingest"));
    wait_for("some events", || (sender.acknowledged() > 300).then_some(()));
    stores.clickhouse.kill();
    stores.redis.kill();
    let until = Instant::now() + AWAY;
    let before = sender.acknowledged();
    while Instant::now() < until {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert!(sender.acknowledged() > before, "events are taken in meanwhile");
    stores.redis.restart().expect("it starts again");
    stores.clickhouse.restart().expect("it starts again");
    stores.check(&sender.end());
    onlooker.end();
    end(services);
}

/// Whoever runs the processes starts them again, and nobody does anything else. Those that take rows run on through the
/// first time, and have to notice by themselves.
#[test]
fn a_kafka_that_is_wiped_leaves_what_is_stored_and_is_gone_on_with() {
    if test_kafka().is_err() {
        return;
    }
    let Some(stores) = Stores::start() else { return };
    let dir = TempDir::new().expect("a temporary directory");
    let mut kafka = Kafka::start(dir.path()).expect("a broker starts");
    let stack = stores.stack(kafka.address());
    let mut all = Sent::default();
    let (mut onlooker, mut takers) = (None, Vec::new());
    for (round, name) in ["before", "after", "once-more"].into_iter().enumerate() {
        let makers = ["ingest", "dataflow"].map(|role| stack.start(role));
        if takers.is_empty() {
            takers.extend(["sink", "cache-api"].map(|role| stack.start(role)));
        }
        onlooker.get_or_insert_with(|| Onlooker::start(stores.clickhouse.address(), "analytics"));
        let sender = Sender::start_as(name, makers[0].address("ingest"));
        wait_for("some events", || (sender.acknowledged() > 100).then_some(()));
        all.add(sender.end());
        stores.check(&all);
        if round == 1 {
            let said = takers[0].logged();
            for adopted in ["stored from its beginning", "cached from its beginning"] {
                assert!(said.contains(adopted), "{said}");
            }
        }
        for maker in makers {
            maker.kill();
        }
        if round > 0 {
            for taker in takers.drain(..) {
                taker.kill();
            }
        }
        kafka.kill();
        kafka.restart_empty().expect("it starts again");
    }
    onlooker.expect("it was started").end();
}
