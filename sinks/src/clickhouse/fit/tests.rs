use super::*;
use tidegate_model::row::{EventMetrics, MetricRow};

use crate::batch::Table;

fn layout() -> TableLayout {
    TableLayout::of(Table::Metrics(&EventMetrics::SCHEMA))
}

fn fitting() -> Found {
    let columns = [
        ("window_start", "DateTime64(3)"),
        ("window_end", "DateTime64(3, 'UTC')"),
        ("event_type", "String"),
        ("event_count", "UInt64"),
        ("user_count", "UInt64"),
        ("version", "UInt64"),
        ("log_partition", "UInt32"),
        ("log_offset", "UInt64"),
        ("somebody_elses", "UInt8"),
    ];
    Found {
        engine: "ReplacingMergeTree".to_owned(),
        engine_full: "ReplacingMergeTree(version) ORDER BY (window_start, event_type, window_end) \
                      SETTINGS non_replicated_deduplication_window = 1000, index_granularity = 8192"
            .to_owned(),
        sorting_key: "window_start, event_type, window_end".to_owned(),
        partition_key: String::new(),
        columns: columns.map(|(name, kind)| (name.to_owned(), kind.to_owned())).to_vec(),
    }
}

#[test]
fn every_misfit_is_named() {
    type Change = fn(&mut Found);
    assert_eq!(check(&layout(), &fitting()), Ok(()));
    let cases: [(Change, &str); 11] = [
        (
            |found| {
                found.engine = "MergeTree".to_owned();
                found.engine_full = "MergeTree ORDER BY (window_start) SETTINGS x = 1".to_owned();
            },
            "its engine is MergeTree, expected ReplacingMergeTree(version)",
        ),
        (
            |found| found.engine_full = "ReplacingMergeTree ORDER BY (a, version)".to_owned(),
            "its engine is ReplacingMergeTree, expected ReplacingMergeTree(version)",
        ),
        (
            |found| found.engine_full = found.engine_full.replace("(version)", "(log_offset)"),
            "its engine is ReplacingMergeTree(log_offset), expected ReplacingMergeTree(version)",
        ),
        (
            |found| (found.engine, found.engine_full) = ("View".to_owned(), String::new()),
            "its engine is View, expected ReplacingMergeTree(version)",
        ),
        (
            |found| found.sorting_key = "window_start, event_type".to_owned(),
            "it is sorted by (window_start, event_type), expected (window_start, event_type, window_end)",
        ),
        (
            |found| found.partition_key = "toYYYYMM(window_start)".to_owned(),
            "it is partitioned by toYYYYMM(window_start), expected no partitions",
        ),
        (|found| found.columns.retain(|(name, _)| name != "log_offset"), "column log_offset is missing"),
        (|found| found.columns[3].1 = "Int64".to_owned(), "column event_count is of type Int64"),
        (
            |found| found.engine_full = "ReplacingMergeTree(version) ORDER BY (a)".to_owned(),
            "its setting non_replicated_deduplication_window is not set",
        ),
        (
            |found| found.engine_full = found.engine_full.replace("window = 1000", "window = 0"),
            "its setting non_replicated_deduplication_window is not set",
        ),
        (
            |found| {
                found.engine = "ReplicatedReplacingMergeTree".to_owned();
                found.engine_full = "ReplicatedReplacingMergeTree('/a', 'b', version) ORDER BY a".to_owned();
            },
            "its engine is ReplicatedReplacingMergeTree('/a', 'b', version), expected ReplacingMergeTree(version)",
        ),
    ];
    for (change, expected) in cases {
        let mut found = fitting();
        change(&mut found);
        assert_eq!(check(&layout(), &found).expect_err(expected).to_string(), expected);
    }
}

#[test]
fn an_old_table_is_copied_by_the_columns_that_it_has() {
    let mut found = fitting();
    found.columns.truncate(5);
    let misfit = Misfit::Missing { column: "version" };
    let statements = migration(&layout(), "analytics", &found, &misfit, None);
    assert_eq!(statements[0], "DROP TABLE IF EXISTS `analytics`.`event_metrics_tidegate_new` SYNC");
    assert!(
        statements[1].starts_with("CREATE TABLE IF NOT EXISTS `analytics`.`event_metrics_tidegate_new` (\n")
    );
    let columns = "`window_start`, `window_end`, `event_type`, `event_count`, `user_count`";
    let key = "`window_start`, `event_type`, `window_end`";
    assert_eq!(
        statements[2..],
        [
            format!(
                "INSERT INTO `analytics`.`event_metrics_tidegate_new` ({columns}) SELECT {columns} \
                 FROM `analytics`.`event_metrics` ORDER BY {key} LIMIT 1 BY {key}"
            ),
            "RENAME TABLE `analytics`.`event_metrics` TO `analytics`.`event_metrics_before_tidegate`, \
             `analytics`.`event_metrics_tidegate_new` TO `analytics`.`event_metrics`"
                .to_owned(),
        ]
    );
    found = fitting();
    found.partition_key = "window_start".to_owned();
    let statements = migration(&layout(), "analytics", &found, &misfit, None);
    assert!(
        statements[2].contains("`window_end`, `version` DESC, `log_offset` DESC LIMIT 1 BY"),
        "{}",
        statements[2]
    );
    let statements = migration(&layout(), "analytics", &found, &Misfit::Deduplication, None);
    assert!(statements.len() == 1 && statements[0].starts_with("ALTER TABLE "), "{statements:?}");
}
