//! The graph as a whole, on a handful of records.
#![allow(missing_docs)]

mod graph;

use graph::{HandDriven, MemRecord};
use tidegate_dataflow::control::Close;
use tidegate_dataflow::settings::{JobSettings, TimeSettings};
use tidegate_model::{DeviceCategory, EventTime, PartitionId};

fn record(time: i64, user: &str) -> MemRecord {
    MemRecord {
        append_time: EventTime::from_millis(time),
        time: EventTime::from_millis(time),
        event_type: "page_view".to_owned(),
        user_id: user.to_owned(),
        session_id: format!("s-{user}"),
        device: DeviceCategory::Mobile,
        load_time: Some(time % 1000),
        undecodable: false,
    }
}

#[test]
fn rows_come_out() {
    for workers in [1, 2, 4] {
        let mut system = HandDriven::start(&JobSettings::default(), &TimeSettings::default(), workers, 2);
        let t0 = 1_600_000_000_000 / 300_000 * 300_000;
        for i in 0..100 {
            system.append(PartitionId(i % 2), record(t0 + i64::from(i) * 1000, &format!("u{}", i % 7)));
        }
        let result = system.epoch(EventTime::from_millis(t0 + 100_000), Close::Decide);
        println!("{result:#?}");
        assert!(result.commit);
        assert_eq!(result.close_to.as_millis(), t0 + 88_000);
        assert_eq!(result.rows.len(), 1);
        let result = system.epoch(EventTime::from_millis(t0 + 100_001), Close::DecideAndCloseAll);
        println!("{result:#?}");
        assert_eq!(result.rows.len(), 1 + 7 + 1 + 1);
        assert!(result.ledger.adds_up());
    }
}
