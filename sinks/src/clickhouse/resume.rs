//! Where storing goes on, decided from what the server holds.
//!
//! Rows and positions cannot change together on ClickHouse: rows come first, then the position. So the
//! position says what is surely stored, and the newest row of the table may lie beyond it.

use tidegate_model::Offset;

use crate::store::{LastRow, Position};

/// What the server holds of one partition of a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// What `sink_positions` says.
    pub(super) committed: Option<Position>,
    /// The row of the table with the largest offset. Rows of epoch 0 do not count: the old storage service
    /// inserts them with offset 0, which says nothing.
    pub(super) table: Option<LastRow>,
}

/// The position and the table are of two histories: both name a row at this offset, of another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) committed: LastRow,
    pub(super) table: LastRow,
}

/// Where to go on: at the position, or behind the table's newest row when that lies further. The last
/// row goes with it, and whoever resumes compares its epoch with what the log holds there.
pub(super) fn resume(facts: Facts) -> Result<Option<Position>, Conflict> {
    let behind = |last: LastRow| Position { next: Offset(last.offset.0.saturating_add(1)), last: Some(last) };
    Ok(match (facts.committed, facts.table) {
        (committed, None) => committed,
        (None, Some(table)) => Some(behind(table)),
        (Some(committed), Some(table)) => match committed.last {
            Some(last) if last.offset == table.offset && last.epoch != table.epoch => {
                return Err(Conflict { committed: last, table });
            }
            _ if table.offset >= committed.next => Some(behind(table)),
            // A truncated table, or one whose newest rows were retracted, does not turn back.
            _ => Some(committed),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_model::Epoch;

    fn last(offset: u64, epoch: u64) -> LastRow {
        LastRow { offset: Offset(offset), epoch: Epoch(epoch) }
    }

    fn at(next: u64, last: Option<LastRow>) -> Position {
        Position { next: Offset(next), last }
    }

    #[test]
    fn every_combination_of_facts_is_decided() {
        let committed = at(10, Some(last(8, 5)));
        let skipped = at(10, None);
        let conflict = Conflict { committed: last(8, 5), table: last(8, 6) };
        let table = [
            ("nothing was ever stored", None, None, Ok(None)),
            ("the table was truncated", Some(committed), None, Ok(Some(committed))),
            ("positions were truncated", None, Some(last(8, 5)), Ok(Some(at(9, Some(last(8, 5)))))),
            ("all went well", Some(committed), Some(last(8, 5)), Ok(Some(committed))),
            ("the last rows were retractions", Some(committed), Some(last(3, 4)), Ok(Some(committed))),
            (
                "the position was not written any more",
                Some(committed),
                Some(last(14, 6)),
                Ok(Some(at(15, Some(last(14, 6))))),
            ),
            (
                "the first row behind it",
                Some(committed),
                Some(last(10, 6)),
                Ok(Some(at(11, Some(last(10, 6))))),
            ),
            ("a gap was skipped, nothing else", Some(skipped), None, Ok(Some(skipped))),
            ("a gap was skipped behind rows", Some(skipped), Some(last(2, 5)), Ok(Some(skipped))),
            ("another log's rows at this offset", Some(committed), Some(last(8, 6)), Err(conflict)),
            (
                "no offset follows the largest one",
                None,
                Some(last(u64::MAX, 1)),
                Ok(Some(at(u64::MAX, Some(last(u64::MAX, 1))))),
            ),
        ];
        for (name, committed, table, expected) in table {
            assert_eq!(resume(Facts { committed, table }), expected, "{name}");
        }
    }
}
