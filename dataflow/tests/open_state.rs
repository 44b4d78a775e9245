//! What the graph says it holds open, against numbers counted by hand, with any number of workers.

mod support;

use support::graph::HandDriven;
use support::record::TestRecord;
use support::system::System as _;
use support::systems::WORKERS;
use tidegate_dataflow::open::OpenCounts;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::{DeviceCategory, EventTime, Offset, PartitionId, names};

const NOON_MS: i64 = 1_600_000_200_000;

fn at(second: i64) -> EventTime {
    EventTime::from_millis(NOON_MS + second * 1_000)
}

/// A deployment with one partition, and the next offset of it.
struct Told {
    system: HandDriven,
    offset: u64,
}

impl Told {
    fn begin(allowed_lateness_ms: i64, workers: usize) -> Self {
        let jobs = JobSettings { session_gap_ms: 30_000, allowed_lateness_ms, ..JobSettings::default() };
        Self { system: HandDriven::start(&jobs, &TimeSettings::default(), workers, 1), offset: 0 }
    }

    /// A user views a page.
    fn view(&mut self, user: &str, second: i64) {
        self.system.append(TestRecord {
            partition: PartitionId(0),
            offset: Offset(self.offset),
            append_time: at(second),
            time: at(second),
            event_type: "page_view".to_owned(),
            user_id: user.to_owned(),
            session_id: "s".to_owned(),
            device: DeviceCategory::Mobile,
            load_time: Some(100),
            undecodable: false,
        });
        self.offset += 1;
    }

    /// Ends the epoch; says windows of events, their users, windows of load times, sessions, windows of
    /// sessions.
    fn open(&mut self, second: i64) -> [i64; 5] {
        self.system.tick(at(second));
        let of = |job: &str| self.system.open.jobs.get(job).copied().unwrap_or_default();
        let OpenCounts { windows, users, sessions: 0 } = of(names::EVENT_AGGREGATOR) else {
            panic!("EventAggregator knows no sessions")
        };
        let (performance, overview) = (of(names::PERFORMANCE_TRACKER), of(names::SESSION_OVERVIEW));
        let sessions = of(names::SESSION_TRACKER);
        [windows, users, performance.windows, sessions.sessions, overview.windows]
    }
}

#[test]
fn what_is_open_is_counted_as_it_opens_and_closes() {
    for workers in WORKERS {
        let mut it = Told::begin(0, workers);
        for user in ["a", "b", "c"] {
            it.view(user, 1);
        }
        assert_eq!(it.open(1), [1, 3, 1, 3, 0], "{workers} workers");
        it.view("a", 25);
        it.view("b", 40);
        assert_eq!(it.open(40), [1, 3, 1, 4, 0], "b's two are beyond the gap; {workers} workers");
        it.view("b", 20);
        assert_eq!(it.open(41), [1, 3, 1, 3, 0], "b's two are one now; {workers} workers");
        it.view("d", 75);
        assert_eq!(it.open(75), [1, 1, 1, 2, 1], "a and c are closed, a minute is over; {workers} workers");
        it.system.finish();
        assert_eq!(it.open(76), [0; 5], "{workers} workers");
    }
}

#[test]
fn what_is_closed_but_may_be_corrected_is_not_open() {
    for workers in WORKERS {
        let mut it = Told::begin(300_000, workers);
        it.view("a", 1);
        it.view("b", 110);
        assert_eq!(it.open(110), [1, 2, 1, 1, 1], "users are kept as long as they count; {workers} workers");
        // The late record joins a's closed session, whose row is taken back until the whole closes.
        it.view("a", 25);
        assert_eq!(it.open(111), [1, 2, 1, 1, 1], "it closes at once again; {workers} workers");
        it.view("a", 40);
        it.view("a", 55);
        it.view("a", 85);
        assert_eq!(
            it.open(112),
            [1, 3, 1, 2, 0],
            "it is open until 115, and its row is gone; {workers} workers"
        );
        it.system.finish();
        assert_eq!(it.open(113)[..1], [0], "{workers} workers");
    }
}

#[test]
fn epochs_without_a_change_report_what_was() {
    let mut it = Told::begin(0, 2);
    it.view("a", 1);
    let first = it.open(1);
    assert_eq!(it.open(2), first);
    assert_eq!(it.open(3), first);
}
