//! Late events: what they correct, and the sessions that they join, arrive on ClickHouse and in Redis as in the
//! embedded store.

use std::path::Path;

use serde_json::Value;
use tidegate_services::clickhouse::Address;
use tidegate_services::test_kafka;

use crate::cached::{kept, stored};
use crate::common::http::Client;
use crate::common::{Event, TABLES, now_ms, query, wait_for};
use crate::send_all;
use crate::stack::ROLES;
use crate::stores::Stores;

/// The rows of a table in an order of their own. One server writes 100 where the other writes 100.0.
fn sorted(mut rows: Vec<Value>) -> Vec<String> {
    for row in &mut rows {
        for value in row.as_object_mut().expect("a row is an object").values_mut() {
            *value = value.as_f64().map_or_else(|| value.clone(), Value::from);
        }
    }
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}

fn in_sqlite(dir: &Path, table: &str, columns: &str) -> Vec<String> {
    sorted(query(dir, &format!("SELECT {columns}, version FROM {table}")))
}

fn on_clickhouse(address: &Address, table: &str, columns: &str) -> Vec<String> {
    let sql = format!(
        "SELECT {columns}, version FROM analytics.{table} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0"
    );
    let rows = address.query(&sql).expect("it answers");
    sorted(rows.lines().map(|row| serde_json::from_str(row).expect("an object")).collect())
}

/// Page views of a user, so many milliseconds after `base`, all loading for as long.
fn views(user: &str, base: i64, load_time: i64, after: &[i64]) -> Vec<Event> {
    let view = |after: &i64| Event { load_time: Some(load_time), ..Event::page_view(user, base + after) };
    after.iter().map(view).collect()
}

#[test]
fn corrections_and_merged_sessions_arrive_everywhere_as_in_the_embedded_store() {
    let Ok(bootstrap) = test_kafka() else { return };
    let Some(stores) = Stores::start() else { return };
    let mut stack = stores.stack(&bootstrap);
    let both = stack.settings.clone();
    let lateness = "jobs.allowed_lateness=10m".to_owned();
    stack.settings = vec![lateness.clone()];
    let embedded = stack.start("sink");
    stack.settings = both;
    stack.settings.push(lateness);
    let roles = ROLES.map(|(role, _)| stack.start(role));
    let mut client: Client = roles[0].client("ingest");
    // Windows are of 2 s and 4 s, sessions end after 2 s without an event.
    let base = (now_ms() - 40_000).div_euclid(4_000) * 4_000;
    for user in ["a", "b", "c"] {
        send_all(&mut client, &views(user, base, 100, &[0, 500, 3_500, 4_000, 9_000]));
    }
    let sessions = || query(stack.dir(), "SELECT count(*) AS n FROM session_metrics")[0]["n"].as_u64();
    wait_for("three sessions of each", || (sessions() == Some(9)).then_some(()));
    wait_for("the windows over them", || {
        let sum = query(stack.dir(), "SELECT coalesce(sum(sessions), 0) AS n FROM session_window_metrics");
        (sum[0]["n"] == 9).then_some(())
    });
    let before = TABLES.map(|(table, columns)| on_clickhouse(stores.clickhouse.address(), table, columns));
    // Between two sessions, which become one; into windows that are closed; and a user of whom nobody knew.
    send_all(&mut client, &views("a", base, 900, &[2_000]));
    send_all(&mut client, &views("b", base, 10, &[3_600, 5_500]));
    send_all(&mut client, &views("d", base, 50, &[100]));
    send_all(&mut client, &[Event { kind: "click", ..Event::page_view("c", base + 10) }]);
    // a: [0 … 4,000] and 9,000; b: [0, 500], [3,500 … 5,500] and 9,000; d: one.
    wait_for("the corrections", || {
        let pages = query(stack.dir(), "SELECT sum(page_count) AS n FROM session_metrics");
        (pages[0]["n"] == 19 && sessions() == Some(9)).then_some(())
    });
    let dir = stack.dir().to_owned();
    let tables = TABLES.iter().filter(|(table, _)| *table != "dropped_events");
    for (table, columns) in tables {
        wait_for(&format!("{table} to be the same"), || {
            (on_clickhouse(stores.clickhouse.address(), table, columns) == in_sqlite(&dir, table, columns))
                .then_some(())
        });
    }
    wait_for("the cache to be the same", || (kept(stores.redis.address()) == stored(&dir)).then_some(()));
    let after = TABLES.map(|(table, columns)| on_clickhouse(stores.clickhouse.address(), table, columns));
    for at in 0..4 {
        assert_ne!(before[at], after[at], "{} was corrected", TABLES[at].0);
    }
    for role in roles.into_iter().chain([embedded]) {
        let ended = role.terminate();
        assert!(ended.status.success(), "{}", ended.err);
    }
}
