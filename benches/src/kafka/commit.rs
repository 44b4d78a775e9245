//! The worst commit: every session that is open closes in one epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tidegate_log::{Commit, Journal as _, RowReader as _, RowRecord};
use tidegate_model::binding::BINDING_VERSION;
use tidegate_model::row::MetricRow as _;
use tidegate_model::{Binding, Epoch, EventTime, Ledger, Offset, Op};

use super::Deployment;
use super::append::{bare, per_million};
use crate::clock::timed;
use crate::measure::{By, Done, Group};
use crate::workload::session;
use crate::{Scale, Table};

const SESSIONS: usize = 1_000_000;

/// What is not visible by then is not going to be.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn run(bootstrap: &str, scale: Scale) -> anyhow::Result<Table> {
    let sessions: Vec<(String, String)> = (0..scale.of(SESSIONS)).map(keyed).collect();
    let bytes = sessions.iter().map(|(_, value)| value.len()).sum();
    Group::new(
        "Sessions that close in one epoch, one transaction",
        By::Wall,
        "sessions",
        sessions.len(),
        bytes,
    )
    .rounds(3)
    .ceiling("a bare producer, acks=all, lz4, no transaction", || {
        let deployment = Deployment::new(bootstrap);
        deployment.open()?;
        let rows = sessions.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
        bare(bootstrap, &deployment.topic("session_metrics"), rows)
    })
    .case("`Journal::commit`, until all are read", || committed(&Deployment::new(bootstrap), &sessions))
    .measure(scale)
}

/// A row's key and value.
fn keyed(number: usize) -> (String, String) {
    let row = session(number);
    (row.message_key(), serde_json::to_string(&row).expect("strings and numbers"))
}

fn committed(deployment: &Deployment, sessions: &[(String, String)]) -> anyhow::Result<Done> {
    let log = deployment.open()?;
    let (mut journal, mut rows) = (log.journal()?, log.row_reader()?);
    let generation = journal.recover()?.generation;
    let name = deployment.topic("session_metrics");
    let (topic, epoch): (Arc<str>, _) = (name.as_str().into(), Epoch(1));
    let row = |(key, value): &(String, String)| RowRecord {
        topic: Arc::clone(&topic),
        key: key.clone().into_bytes(),
        value: value.clone().into_bytes(),
        epoch,
        op: Op::Final,
        headers: Vec::new(),
    };
    let binding = Binding {
        version: BINDING_VERSION,
        epoch,
        generation,
        definitions: BTreeMap::new(),
        now: EventTime::from_millis(1),
        close_to: EventTime::from_millis(1),
        partitions: BTreeMap::new(),
        ledger: Ledger::default(),
        starts: BTreeMap::new(),
        origin: None,
        snapshot: None,
        last_records: BTreeMap::new(),
        gap: None,
    };
    let commit = Commit { bindings: vec![binding], rows: sessions.iter().map(row).collect() };
    let mut positions: Vec<_> =
        rows.partitions(&name)?.into_iter().map(|partition| (partition, Offset::ZERO)).collect();
    let (seen, took) = timed(|| -> anyhow::Result<(usize, Duration)> {
        let began = Instant::now();
        journal.commit(&commit)?;
        let (done, mut count) = (Instant::now(), 0);
        while count < sessions.len() {
            for (partition, next) in &mut positions {
                *next = rows.read(&name, *partition, *next, 10_000, &mut |_| count += 1)?;
            }
            ensure!(done.elapsed() < PATIENCE, "{count} of {} are visible", sessions.len());
        }
        Ok((count, done - began))
    });
    let (count, commit_took) = seen?;
    ensure!(count == sessions.len(), "{count} rows of {} sessions", sessions.len());
    let note = format!(
        "committed after {:.1} s; {}",
        commit_took.as_secs_f64(),
        per_million(took.cpu, sessions.len())
    );
    Ok(Done { took, note })
}
