//! ClickHouse: the server, its clock, what its user may do, and the tables.

use tidegate_model::EventTime;
use tidegate_model::row::{ColumnType, Schema};
use tidegate_sinks::clickhouse::{Inspection, RightLook, TableLook, TableState, inspect};

use super::deployment::SKEW_MAX_MS;
use super::finding::{Finding, State};
use crate::assembly::{clickhouse_config, store_topics};
use crate::config::{Config, show_span};

const PART: &str = "clickhouse";

const DAY_MS: i64 = 86_400_000;

/// Looks at the server, and judges what it is.
pub(super) fn examine(config: &Config, now: impl Fn() -> EventTime) -> Vec<Finding> {
    let server = clickhouse_config(config);
    match inspect(&server, &store_topics(config), now) {
        Ok(looked) => {
            let mut findings = vec![Finding::ok(PART, server.url, format!("version {}", looked.version))];
            findings.extend(judge(&looked, &server.database, config.store_retention_ms));
            findings
        }
        Err(error) => {
            let away = Finding::new(PART, server.url, State::Away, "it cannot be looked at");
            vec![away.with_remedy(error)]
        }
    }
}

fn judge(looked: &Inspection, database: &str, retention_ms: Option<i64>) -> Vec<Finding> {
    let mut findings = vec![clock(looked.clock.skew_ms()), view(looked.is_final)];
    findings.push(Finding::ok(
        PART,
        format!("database {database}"),
        if looked.has_database { "there" } else { "missing: the sink makes it" },
    ));
    findings.extend(looked.tables.iter().map(|look| table(look, database, retention_ms)));
    findings.extend(looked.rights.iter().filter_map(right));
    findings
}

fn clock(skew_ms: i64) -> Finding {
    if skew_ms.abs() <= SKEW_MAX_MS {
        return Finding::ok(PART, "clock", "as this machine's");
    }
    let direction = if skew_ms > 0 { "ahead" } else { "behind" };
    let found = format!("{} {direction}", show_span(skew_ms.abs()));
    Finding::new(PART, "clock", State::Warning, found).with_remedy(
        "synchronise the clocks (NTP): tables forget rows (store.retention) by the server's clock",
    )
}

/// Whether readers see tables as with `FINAL`. It is the net under the sink: readers see a key once without it.
fn view(is_final: Option<bool>) -> Finding {
    let found = match is_final {
        Some(true) => "1",
        Some(false) => "0: a plain SELECT shows a key once all the same, unless somebody else inserts too",
        None => "the server does not say",
    };
    Finding::ok(PART, "setting final", found)
}

fn table(look: &TableLook, database: &str, retention_ms: Option<i64>) -> Finding {
    let what = format!("table {}", look.name);
    match &look.state {
        TableState::Missing => Finding::ok(PART, what, "missing: the sink makes it"),
        TableState::Fits => {
            let kept = look
                .ttl_days
                .map_or("rows are kept for ever".to_owned(), |days| format!("rows are kept {days}d"));
            let wanted = retention_ms.map(|ms| (ms + DAY_MS - 1) / DAY_MS).zip(end_of(look.name));
            let Some((days, end)) = wanted.filter(|(days, _)| look.ttl_days != u64::try_from(*days).ok())
            else {
                return Finding::ok(PART, what, format!("fits, {kept}"));
            };
            let found = format!("fits, but {kept}, and store.retention is {days}d");
            Finding::new(PART, what, State::Warning, found).with_remedy(format!(
                "a table that exists keeps the TTL that it has: ALTER TABLE {database}.{} MODIFY TTL {end} + INTERVAL {days} DAY",
                look.name
            ))
        }
        TableState::Unfit { misfit, rows, .. } => {
            Finding::new(PART, what, State::Wrong, format!("{misfit}; {rows} rows")).with_remedy(
                "tidegate migrate clickhouse --dry-run prints the statements, without it runs them",
            )
        }
    }
}

/// The column that says when a row of a table ended; only rows that end grow old.
fn end_of(table: &str) -> Option<&'static str> {
    let mut columns = Schema::of_table(table)?.columns.iter();
    columns.rfind(|column| column.kind == ColumnType::Instant).map(|column| column.name)
}

/// A right that is missing, or that the server does not tell of.
fn right(look: &RightLook) -> Option<Finding> {
    match look.is_given {
        Some(true) => None,
        Some(false) => Some(
            Finding::new(PART, look.name.clone(), State::Wrong, "the user may not do that")
                .with_remedy(&look.grant),
        ),
        None => {
            Some(Finding::ok(PART, look.name.clone(), "the server is too old to say whether it is given"))
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_sinks::clickhouse::Misfit;

    use super::*;

    fn look(state: TableState, ttl_days: Option<u64>) -> TableLook {
        TableLook { name: "event_metrics", state, ttl_days }
    }

    #[test]
    fn a_table_that_fits_may_still_keep_rows_for_another_time() {
        let day = Some(DAY_MS);
        for (ttl_days, retention_ms, state) in [
            (None, None, State::Ok),
            (Some(1), day, State::Ok),
            (Some(30), None, State::Ok),
            (None, day, State::Warning),
            (Some(30), day, State::Warning),
        ] {
            let finding = table(&look(TableState::Fits, ttl_days), "analytics", retention_ms);
            assert_eq!(finding.state, state, "{finding:?}");
        }
        let finding = table(&look(TableState::Fits, None), "analytics", day);
        let remedy = finding.remedy.expect("there is something to do");
        assert!(
            remedy.ends_with("analytics.event_metrics MODIFY TTL window_end + INTERVAL 1 DAY"),
            "{remedy}"
        );
    }

    #[test]
    fn what_keeps_a_sink_from_storing_is_wrong_and_what_it_makes_itself_is_not() {
        let unfit = TableState::Unfit {
            misfit: Misfit::Deduplication,
            statements: Vec::new(),
            rows: 7,
            drops_rows: 0,
            notes: Vec::new(),
        };
        assert_eq!(table(&look(unfit, None), "analytics", None).state, State::Wrong);
        assert_eq!(table(&look(TableState::Missing, None), "analytics", None).state, State::Ok);
        let grant = "GRANT SELECT ON system.processes TO me".to_owned();
        let right_of = |is_given| right(&RightLook { name: "r".to_owned(), is_given, grant: grant.clone() });
        assert_eq!(right_of(Some(true)), None);
        let missing = right_of(Some(false)).expect("it is told");
        assert_eq!((missing.state, missing.remedy), (State::Wrong, Some(grant.clone())));
        assert_eq!(
            [clock(0), clock(1_001), clock(-1_001)].map(|it| it.state),
            [State::Ok, State::Warning, State::Warning]
        );
    }
}
