//! What came of a replay.

use std::fmt::Write as _;

use serde::Serialize;
use tidegate_model::{Epoch, Op};

use crate::print::grouped;

/// The result. Its JSON form is what `--format json` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    /// The snapshot that it started from; `null` for the beginning of the deployment.
    pub(crate) snapshot: Option<Epoch>,
    pub(crate) workers: usize,
    /// The first and the last epoch of which a table was compared, and how many.
    pub(crate) first: Option<Epoch>,
    pub(crate) last: Option<Epoch>,
    pub(crate) epochs: u64,
    /// Rows that are equal, byte by byte.
    pub(crate) rows: u64,
    /// Rows that are not, or that only one side has.
    pub(crate) differences: u64,
    /// The first of them.
    pub(crate) difference: Option<Difference>,
    /// What could not be compared, and why.
    pub(crate) not_compared: Vec<String>,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    pub(crate) epoch: Epoch,
    pub(crate) table: &'static str,
    pub(crate) key: String,
    pub(crate) committed: Option<Row>,
    pub(crate) computed: Option<Row>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) op: Op,
    pub(crate) value: String,
}

impl Report {
    /// That nothing was compared, and why, if so.
    pub(crate) fn nothing_compared(&self) -> Option<String> {
        let why = match self.not_compared.as_slice() {
            [] => "none of the epochs asked for was committed".to_owned(),
            sentences => sentences.join("; "),
        };
        (self.epochs == 0)
            .then(|| format!("nothing was compared: {why}; ask for others: --from-epoch, --to-epoch"))
    }

    /// The result for people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let from = match self.snapshot {
            Some(epoch) => format!("the snapshot of epoch {epoch}"),
            None => "the beginning".to_owned(),
        };
        let _ = writeln!(text, "  started from  {from}, with {} workers", self.workers);
        let span = self
            .first
            .zip(self.last)
            .map_or_else(|| "none".to_owned(), |(first, last)| format!("{first} to {last}"));
        let _ = writeln!(text, "  epochs        {} ({span})", grouped(self.epochs));
        let _ = writeln!(text, "  equal rows    {}", grouped(self.rows));
        let _ = writeln!(text, "  differences   {}", grouped(self.differences));
        if let Some(Difference { epoch, table, key, committed, computed }) = &self.difference {
            let shown = |row: &Option<Row>| {
                row.as_ref().map_or("no row".to_owned(), |row| format!("{} {}", row.op.as_str(), row.value))
            };
            let _ = writeln!(text, "the first one, in epoch {epoch}: {table} {key}");
            let _ = writeln!(text, "  committed     {}", shown(committed));
            let _ = writeln!(text, "  computed      {}", shown(computed));
        }
        for sentence in &self.not_compared {
            let _ = writeln!(text, "  not compared  {sentence}");
        }
        text
    }
}
