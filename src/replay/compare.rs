//! Rows computed again, held against those committed.

mod table;

use std::collections::BTreeMap;

use tidegate_dataflow::report::OutRow;
use tidegate_log::embedded::JournalView;
use tidegate_log::journal::JournalError;
use tidegate_model::{Epoch, JobStart, Schema};

use self::table::Table;
use super::report::{Difference, Report, Row};

/// Rows by table and key; of sessions several may have the same one.
type Rows = BTreeMap<(&'static str, Vec<u8>), Vec<Row>>;

/// Compares epoch after epoch.
pub(super) struct Comparing<'a> {
    tables: Vec<Table<'a>>,
    from: Epoch,
    report: Report,
    error: Option<JournalError>,
}

impl<'a> Comparing<'a> {
    /// Compares from the epoch `from` on. `topic_of` says where the rows of a table are.
    pub(super) fn new(
        journal: &'a JournalView,
        from: Epoch,
        starts: &BTreeMap<String, JobStart>,
        topic_of: impl Fn(&'static str) -> String,
    ) -> Result<Self, JournalError> {
        let table = |schema: &Schema| {
            let begins = starts.get(schema.job).map_or(Epoch(0), |start| start.epoch);
            Ok(Table::new(schema.table, begins, journal.rows_from(&topic_of(schema.table), from)?))
        };
        let tables = Schema::ALL.into_iter().map(table).collect::<Result<_, _>>()?;
        Ok(Self { tables, from, report: Report::default(), error: None })
    }

    /// Compares the rows of the next epoch, if that is asked for.
    pub(super) fn epoch(&mut self, epoch: Epoch, rows: &[OutRow]) {
        if epoch < self.from || self.error.is_some() {
            return;
        }
        let (mut committed, mut computed) = (Rows::new(), Rows::new());
        let mut is_compared = false;
        for table in &mut self.tables {
            let name = table.name;
            let found = match table.rows_of(epoch) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) => {
                    self.error = Some(error);
                    return;
                }
            };
            is_compared = true;
            for (key, row) in found {
                committed.entry((name, key)).or_default().push(row);
            }
            for row in rows.iter().filter(|row| row.table == name) {
                let row_computed = Row { op: row.op, value: row.value.clone() };
                computed.entry((name, row.key.clone().into_bytes())).or_default().push(row_computed);
            }
        }
        if is_compared {
            self.compare(epoch, committed, computed);
        }
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

    /// What came of it.
    pub(super) fn finish(self) -> Result<Report, JournalError> {
        let not_compared = self.tables.iter().flat_map(Table::not_compared).collect();
        self.error.map_or(Ok(Report { not_compared, ..self.report }), Err)
    }
}

#[cfg(test)]
pub(super) mod tests;
