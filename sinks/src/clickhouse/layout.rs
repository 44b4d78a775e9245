//! The tables, as SQL derived from schemas.
//!
//! Every table is a `ReplacingMergeTree`. Metric tables hold the columns of their schema in order, then
//! `version` (the epoch), `log_partition` and `log_offset`, all 0 by default, so that the old storage service
//! can insert. There is no `PARTITION BY`: an insert is one part, which is there whole or not at all.

use tidegate_model::row::{Column, ColumnType, Schema};

use super::text::{list, literal, quote};
use crate::batch::Table;
use crate::sink::Topic;

/// How many inserts back a table knows one that is repeated.
const DEDUPLICATION_WINDOW: u32 = 1_000;

/// The setting that is needed for that.
pub(super) const DEDUPLICATION_SETTING: &str = "non_replicated_deduplication_window";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An instant in milliseconds.
    Instant,
    /// One of few strings.
    Label,
    /// Any string, or bytes.
    Text,
    /// A 64-bit number.
    UInt,
    /// A 64-bit number that grows from row to row.
    Counter,
    /// A 64-bit number or none.
    Optional,
    /// The number of a partition.
    Partition,
    /// A floating point number.
    Float,
}

impl Kind {
    /// The type, as the server prints it.
    fn type_name(self) -> &'static str {
        match self {
            Self::Instant => "DateTime64(3, 'UTC')",
            Self::Label => "LowCardinality(String)",
            Self::Text => "String",
            Self::UInt | Self::Counter => "UInt64",
            Self::Optional => "Nullable(UInt64)",
            Self::Partition => "UInt32",
            Self::Float => "Float64",
        }
    }

    fn codec(self) -> &'static str {
        match self {
            Self::Instant | Self::Counter => "CODEC(Delta, ZSTD(1))",
            Self::Label | Self::Text | Self::UInt | Self::Optional | Self::Partition | Self::Float => {
                "CODEC(ZSTD(1))"
            }
        }
    }

    /// The type of a value on its way.
    fn value_type(self) -> &'static str {
        if self == Self::Label { Self::Text.type_name() } else { self.type_name() }
    }

    /// Whether a column of that type takes and gives the same values.
    pub(super) fn accepts(self, found: &str) -> bool {
        match self {
            Self::Instant => found == "DateTime64(3)" || found.starts_with("DateTime64(3, "),
            Self::Label | Self::Text => matches!(found, "String" | "LowCardinality(String)"),
            _ => found == self.type_name(),
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColumnLayout {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether inserts may leave it out; it is 0 then.
    pub(super) is_optional: bool,
}

const fn needed(name: &'static str, kind: Kind) -> ColumnLayout {
    ColumnLayout { name, kind, is_optional: false }
}

/// The columns behind those of a schema: which row of the log it is.
const STAMP: [ColumnLayout; 3] = [
    ColumnLayout { name: "version", kind: Kind::Counter, is_optional: true },
    ColumnLayout { name: "log_partition", kind: Kind::Partition, is_optional: true },
    ColumnLayout { name: "log_offset", kind: Kind::Counter, is_optional: true },
];

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableLayout {
    pub(super) name: &'static str,
    pub(super) columns: Vec<ColumnLayout>,
    /// The columns that rows are sorted by; of rows that agree in them, merges keep one.
    pub(super) order: Vec<&'static str>,
    /// The column whose largest value is kept.
    pub(super) version: &'static str,
    /// The last instant of a row, if retention applies.
    pub(super) end: Option<&'static str>,
}

/// Columns, and behind them where their row comes from.
fn stamped(columns: impl IntoIterator<Item = ColumnLayout>) -> Vec<ColumnLayout> {
    columns.into_iter().chain(STAMP).collect()
}

pub(super) const POSITIONS: &str = "sink_positions";
pub(super) const GAPS: &str = "sink_gaps";
pub(super) const UNREADABLE: &str = "unreadable_rows";
pub(super) const GENERATIONS: &str = "sink_generations";

/// Every table of a store of these topics.
pub(super) fn tables(topics: &[Topic]) -> Vec<TableLayout> {
    let of_topics = topics.iter().map(|topic| TableLayout::of(topic.table));
    of_topics.chain(TableLayout::fixed()).collect()
}

impl TableLayout {
    /// The table that rows of a topic go to.
    pub(super) fn of(table: Table) -> Self {
        match table {
            Table::Metrics(schema) => Self::of_schema(schema),
            Table::Dropped => Self {
                name: table.name(),
                columns: stamped([
                    needed("reason", Kind::Label),
                    needed("job", Kind::Label),
                    needed("partition", Kind::Partition),
                    needed("offset", Kind::Counter),
                    needed("record", Kind::Text),
                ]),
                order: vec!["log_partition", "log_offset", "version"],
                version: "version",
                end: None,
            },
        }
    }

    fn of_schema(schema: &'static Schema) -> Self {
        let columns = schema.columns.iter().map(|column| needed(column.name, kind(column)));
        let is_instant = |column: &&Column| column.kind == ColumnType::Instant;
        Self {
            name: schema.table,
            columns: stamped(columns),
            order: schema.key.to_vec(),
            version: "version",
            end: schema.columns.iter().rfind(is_instant).map(|column| column.name),
        }
    }

    /// The tables beside those of the topics.
    pub(super) fn fixed() -> [Self; 4] {
        let generations = Self {
            name: GENERATIONS,
            columns: vec![
                needed("generation", Kind::Counter),
                needed("process", Kind::Text),
                needed("host", Kind::Text),
                needed("pid", Kind::UInt),
                needed("since", Kind::Instant),
            ],
            order: vec!["generation", "process"],
            version: "generation",
            end: None,
        };
        let positions = Self {
            name: POSITIONS,
            columns: vec![
                needed("topic", Kind::Label),
                needed("log_partition", Kind::Partition),
                needed("since_version", Kind::Counter),
                needed("next_offset", Kind::Counter),
                needed("last_offset", Kind::Optional),
                needed("last_version", Kind::Optional),
                needed("unreadable", Kind::UInt),
            ],
            order: vec!["topic", "log_partition", "since_version"],
            version: "next_offset",
            end: None,
        };
        let gaps = Self {
            name: GAPS,
            columns: vec![
                needed("topic", Kind::Label),
                needed("log_partition", Kind::Partition),
                needed("from_offset", Kind::Counter),
                needed("to_offset", Kind::Counter),
            ],
            order: vec!["topic", "log_partition", "from_offset"],
            version: "to_offset",
            end: None,
        };
        let unreadable = Self {
            name: UNREADABLE,
            columns: stamped([
                needed("topic", Kind::Label),
                needed("op", Kind::Label),
                needed("reason", Kind::Text),
                needed("record", Kind::Text),
            ]),
            order: vec!["topic", "log_partition", "log_offset", "version"],
            version: "version",
            end: None,
        };
        [positions, gaps, unreadable, generations]
    }

    /// The statement that creates the table under `name`.
    pub(super) fn create(&self, database: &str, name: &str, ttl_days: Option<u16>) -> String {
        let columns = self.columns.iter().map(|column| {
            let default = if column.is_optional { " DEFAULT 0" } else { "" };
            let (kind, codec) = (column.kind.type_name(), column.kind.codec());
            format!("  {} {kind}{default} {codec}", quote(column.name))
        });
        let ttl = self.end.zip(ttl_days);
        let ttl = ttl.map(|(end, days)| format!("\nTTL {} + INTERVAL {days} DAY", quote(end)));
        format!(
            "CREATE TABLE IF NOT EXISTS {}.{} (\n{}\n)\nENGINE = ReplacingMergeTree({})\nORDER BY ({}){}\n\
             SETTINGS {DEDUPLICATION_SETTING} = {DEDUPLICATION_WINDOW}, \
             fsync_after_insert = 1, fsync_part_directory = 1",
            quote(database),
            quote(name),
            columns.collect::<Vec<_>>().join(",\n"),
            quote(self.version),
            list(self.order.iter().copied()),
            ttl.unwrap_or_default(),
        )
    }

    /// The statement that has a table forget old rows, where it is to.
    pub(super) fn forget(&self, database: &str, ttl_days: Option<u16>) -> Option<String> {
        let (end, days) = self.end.zip(ttl_days)?;
        let table = format!("{}.{}", quote(database), quote(self.name));
        Some(format!("ALTER TABLE {table} MODIFY TTL {} + INTERVAL {days} DAY", quote(end)))
    }

    /// The statement that has a table know inserts that are repeated.
    pub(super) fn deduplicate(&self, database: &str) -> String {
        format!(
            "ALTER TABLE {}.{} MODIFY SETTING {DEDUPLICATION_SETTING} = {DEDUPLICATION_WINDOW}, \
             fsync_after_insert = 1, fsync_part_directory = 1",
            quote(database),
            quote(self.name)
        )
    }

    /// The statement that inserts rows of all columns, in order, as `RowBinary`, if `condition` holds.
    pub(super) fn insert(&self, database: &str, condition: &str) -> String {
        let columns = list(self.columns.iter().map(|column| column.name));
        let typed = |column: &ColumnLayout| format!("{} {}", quote(column.name), column.kind.value_type());
        let structure = self.columns.iter().map(typed).collect::<Vec<_>>().join(", ");
        format!(
            "INSERT INTO {}.{} ({columns}) SELECT {columns} FROM input({}) WHERE {condition} FORMAT RowBinary",
            quote(database),
            quote(self.name),
            literal(structure.as_bytes()),
        )
    }
}

/// The words that windows are told apart by are few; other strings are names that clients chose.
fn kind(column: &Column) -> Kind {
    let is_label = |schema: &&Schema| schema.cache.as_ref().is_some_and(|view| view.label == column.name);
    match column.kind {
        ColumnType::Instant => Kind::Instant,
        ColumnType::Text if Schema::ALL.iter().any(is_label) => Kind::Label,
        ColumnType::Text => Kind::Text,
        ColumnType::UInt => Kind::UInt,
        ColumnType::Float => Kind::Float,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::row::{EventMetrics, MetricRow, SessionMetrics};

    #[test]
    fn a_metric_table_is_created_as_the_contract_has_it() {
        let layout = TableLayout::of(Table::Metrics(&EventMetrics::SCHEMA));
        assert_eq!(
            layout.create("analytics", layout.name, Some(30)),
            "CREATE TABLE IF NOT EXISTS `analytics`.`event_metrics` (
  `window_start` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  `window_end` DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  `event_type` LowCardinality(String) CODEC(ZSTD(1)),
  `event_count` UInt64 CODEC(ZSTD(1)),
  `user_count` UInt64 CODEC(ZSTD(1)),
  `version` UInt64 DEFAULT 0 CODEC(Delta, ZSTD(1)),
  `log_partition` UInt32 DEFAULT 0 CODEC(ZSTD(1)),
  `log_offset` UInt64 DEFAULT 0 CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(`version`)
ORDER BY (`window_start`, `event_type`, `window_end`)
TTL `window_end` + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1"
        );
    }

    #[test]
    fn names_that_clients_choose_are_plain_strings() {
        use Kind::{Instant, Label, Text, UInt};
        let layout = TableLayout::of(Table::Metrics(&SessionMetrics::SCHEMA));
        let kinds: Vec<Kind> = layout.columns.iter().take(7).map(|column| column.kind).collect();
        assert_eq!(kinds, [Text, Text, Instant, Instant, UInt, UInt, Label]);
        assert_eq!(layout.end, Some("end_time"));
    }
}
