//! Somebody who reads the tables of ClickHouse all the time, by plain `SELECT`s, whatever is killed meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_services::clickhouse::Address;

/// The tables with their keys.
const TABLES: [(&str, &str); 4] = [
    ("event_metrics", "window_start, event_type, window_end"),
    ("session_metrics", "start_time, session_id, user_id"),
    ("performance_metrics", "window_start, device_category, window_end"),
    ("session_window_metrics", "window_start, device_category, window_end"),
];

/// Reads until it is ended.
pub(crate) struct Onlooker {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Saw>,
}

/// What was seen.
#[derive(Debug, Default)]
struct Saw {
    /// Looks that were answered, and those that were not.
    answered: u64,
    refused: u64,
    /// The first look at which a key stood twice.
    twice: Option<String>,
}

impl Onlooker {
    /// Begins to read the tables of a database.
    pub(crate) fn start(address: &Address, database: &str) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let (over, address, database) = (Arc::clone(&ends), address.clone(), database.to_owned());
        let thread = std::thread::spawn(move || {
            let mut saw = Saw::default();
            while !over.load(Ordering::Relaxed) {
                for (table, key) in TABLES {
                    saw.look(&address, &database, table, key);
                }
                std::thread::park_timeout(Duration::from_millis(2));
            }
            saw
        });
        Self { ends, thread }
    }

    /// Ends it. No key may have been seen twice, and it must have seen something.
    pub(crate) fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        let saw = self.thread.join().expect("it does not panic");
        assert_eq!(saw.twice, None, "a plain SELECT shows each key once, at every moment");
        assert!(saw.answered > 100, "{saw:?}");
        println!("looks {}, unanswered {}, a key twice in 0", saw.answered, saw.refused);
    }
}

impl Saw {
    fn look(&mut self, address: &Address, database: &str, table: &str, key: &str) {
        let sql = format!("SELECT count(), uniqExact({key}) FROM {database}.{table}");
        // Before the sink has made the tables, and while the server is away, there is no answer.
        let Ok(found) = address.query(&sql) else {
            self.refused += 1;
            return;
        };
        self.answered += 1;
        let (rows, keys) = found.trim().split_once('\t').expect("two columns");
        if rows != keys {
            self.twice.get_or_insert(format!("{table}: {rows} rows, {keys} keys"));
        }
    }
}
