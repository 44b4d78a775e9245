//! Rows computed again, held against those committed.

use std::collections::BTreeMap;

use tidegate_dataflow::report::EpochResult;
use tidegate_log::RowRef;
use tidegate_log::embedded::JournalView;
use tidegate_log::journal::JournalError;
use tidegate_model::{Epoch, Schema};

use super::plan::Plan;
use super::report::{Difference, Report, Row};
use crate::assembly::topic_of;
use crate::config::Config;
use crate::exit::{CommandError, Exit};

/// Rows by table and key; of sessions several may have the same one.
type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<Row>>;

/// Compares epoch after epoch.
pub(super) struct Comparing<'a> {
    journal: &'a JournalView,
    tables: Vec<Table<'a>>,
    from: Epoch,
    report: Report,
    error: Option<JournalError>,
}

/// What is known of a table.
struct Table<'a> {
    name: &'static str,
    topic: &'a str,
    /// Up to this epoch rows may have been removed.
    removed_until: Option<Epoch>,
    /// From this epoch on its rows are those of the job as it is now.
    begins: Epoch,
    /// Epochs whose rows were not compared.
    skipped: u64,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(plan: &Plan, config: &'a Config, journal: &'a JournalView) -> Self {
        let mut error = None;
        let tables = Schema::ALL.into_iter().map(|schema| {
            let topic = topic_of(config, schema.table);
            let removed_until = journal.removed_until(topic).unwrap_or_else(|failed| {
                error.get_or_insert(failed);
                None
            });
            let begins = plan.starts.get(schema.job).map_or(Epoch(0), |start| start.epoch);
            Table { name: schema.table, topic, removed_until, begins, skipped: 0 }
        });
        let tables = tables.collect();
        Self { journal, tables, from: plan.from, report: Report::default(), error }
    }

    /// Compares an epoch, if that is asked for.
    pub(super) fn epoch(&mut self, result: &EpochResult) {
        let epoch = result.epoch;
        if epoch < self.from || self.error.is_some() {
            return;
        }
        let mut committed = Rows::new();
        for table in &mut self.tables {
            if table.removed_until.is_some_and(|until| epoch <= until) || epoch < table.begins {
                table.skipped += 1;
                continue;
            }
            let mut add = |row: RowRef<'_>| {
                let value = String::from_utf8_lossy(row.value).into_owned();
                committed.entry((table.name, row.key.to_vec())).or_default().push(Row { op: row.op, value });
            };
            if let Err(error) = self.journal.read_rows(table.topic, epoch..=epoch, &mut add) {
                self.error = Some(error);
                return;
            }
        }
        let is_compared = |name: &str| {
            let table = self.tables.iter().find(|table| table.name == name);
            table.is_some_and(|table| {
                table.removed_until.is_none_or(|until| epoch > until) && epoch >= table.begins
            })
        };
        let mut computed = Rows::new();
        for row in result.rows.iter().filter(|row| is_compared(&row.table)) {
            let table = Schema::of_table(&row.table).expect("a table of ours").table;
            let row_computed = Row { op: row.op, value: row.value.clone() };
            computed.entry((table, row.key.clone().into_bytes())).or_default().push(row_computed);
        }
        self.compare(epoch, committed, computed);
    }

    fn compare(&mut self, epoch: Epoch, mut committed: Rows, computed: Rows) {
        let report = &mut self.report;
        report.epochs += 1;
        report.first.get_or_insert(epoch);
        report.last = Some(epoch);
        let mut differ =
            |(table, key): (&'static str, Vec<u8>), committed: Option<Row>, computed: Option<Row>| {
                report.differences += 1;
                report.difference.get_or_insert_with(|| Difference {
                    epoch,
                    table,
                    key: String::from_utf8_lossy(&key).into_owned(),
                    committed,
                    computed,
                });
            };
        let mut equal = 0;
        for (name, rows) in computed {
            let before = committed.entry(name.clone()).or_default();
            let mut others = rows;
            others.retain(|row| match before.iter().position(|before| before == row) {
                Some(at) => {
                    before.swap_remove(at);
                    equal += 1;
                    false
                }
                None => true,
            });
            for row in others {
                differ(name.clone(), before.pop(), Some(row));
            }
        }
        for (name, rows) in committed {
            for row in rows {
                differ(name.clone(), Some(row), None);
            }
        }
        report.rows += equal;
    }

    pub(super) fn finish(self, plan: &Plan, workers: usize) -> Result<Report, CommandError> {
        if let Some(error) = self.error {
            return Err(CommandError::new(Exit::Failure, error));
        }
        let skipped = self.tables.iter().filter(|table| table.skipped > 0).map(|table| {
            let why = match table.removed_until {
                Some(until) if until.0 < u64::MAX => {
                    format!("rows up to epoch {until} were removed (log.retention)")
                }
                Some(_) => "its rows were removed (log.retention)".to_owned(),
                None => format!("its job began anew in epoch {}", table.begins),
            };
            format!("{} of {} epochs: {why}", table.name, table.skipped)
        });
        let not_compared = skipped.collect();
        let snapshot = plan.snapshot.as_ref().map(|snapshot| snapshot.restored.epoch());
        Ok(Report { snapshot, workers, not_compared, ..self.report })
    }
}
