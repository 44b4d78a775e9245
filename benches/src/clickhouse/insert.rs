//! Blocks of rows into a table: by the store, and by a client that does nothing but insert them.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_model::row::{MetricRow as _, SessionMetrics};
use tidegate_model::{Epoch, Offset, Op, PartitionId};
use tidegate_sinks::MetricStore as _;
use tidegate_sinks::batch::{Batch, Content, Row, Table as Of, Value};
use tidegate_sinks::clickhouse::ClickHouseStore;

use super::{Database, Server};
use crate::clock::timed;
use crate::kafka::per_million;
use crate::measure::{By, Done, Group};
use crate::workload::session;
use crate::{Scale, Table};

const ROWS: usize = 1_000_000;

/// The largest insert, and what `store.batch_rows` is by default.
const BLOCKS: [usize; 2] = [100_000, 10_000];

pub(super) fn run(server: &Server, scale: Scale) -> anyhow::Result<Table> {
    let rows = scale.of(ROWS);
    let bytes: usize = (0..rows).map(|number| row_binary(number).len()).sum();
    let mut group = Group::new("Rows of sessions into ClickHouse", By::Wall, "rows", rows, bytes).rounds(3);
    for block in BLOCKS {
        let block = scale.of(block);
        let name = format!("a bare insert of the same blocks, {block} rows each");
        group = group.ceiling(&name, move || bare(&server.database(), rows, block));
        let name = format!("`ClickHouseStore::apply`, {block} rows each");
        group = group.case(&name, move || stored(&server.database(), rows, block));
    }
    group.measure(scale)
}

/// The same table, and the blocks as they are, one after the other.
pub(super) fn bare(database: &Database<'_>, rows: usize, block: usize) -> anyhow::Result<Done> {
    // The store makes its tables, and is not used any further.
    open(database)?;
    let columns: Vec<&str> = SessionMetrics::SCHEMA.columns.iter().map(|column| column.name).collect();
    let sql = format!(
        "INSERT INTO {}.session_metrics ({}, version, log_partition, log_offset) FORMAT RowBinary",
        database.name,
        columns.join(", ")
    );
    let client = clickhouse::Client::default().with_url(database.config().url);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let numbers: Vec<usize> = (0..rows).collect();
    let blocks: Vec<Bytes> = numbers
        .chunks(block)
        .map(|block| block.iter().flat_map(|number| row_binary(*number)).collect::<Vec<u8>>().into())
        .collect();
    let (inserted, took) = timed(|| -> anyhow::Result<()> {
        for block in blocks {
            runtime.block_on(async {
                let mut insert = client.insert_formatted_with(&sql);
                insert.send(block).await?;
                insert.end().await
            })?;
        }
        Ok(())
    });
    inserted?;
    database.check(rows)?;
    Ok(Done { took, note: per_million(took.cpu, rows) })
}

fn stored(database: &Database<'_>, rows: usize, block: usize) -> anyhow::Result<Done> {
    let mut store = open(database)?;
    let topic: Arc<str> = "session_metrics".into();
    let numbers: Vec<usize> = (0..rows).collect();
    let batches: Vec<Batch> = numbers
        .chunks(block)
        .map(|block| {
            let (first, last) = (block[0], block[block.len() - 1]);
            Batch {
                table: Of::Metrics(&SessionMetrics::SCHEMA),
                topic: Arc::clone(&topic),
                partition: PartitionId(0),
                range: Offset(first as u64)..Offset(last as u64 + 1),
                rows: block.iter().map(|number| row(*number)).collect(),
            }
        })
        .collect();
    store.positions()?;
    let (applied, took) = timed(|| batches.iter().try_for_each(|batch| store.apply(batch).map(drop)));
    applied?;
    database.check(rows)?;
    Ok(Done { took, note: per_million(took.cpu, rows) })
}

pub(super) fn open(database: &Database<'_>) -> anyhow::Result<ClickHouseStore> {
    let mut store = ClickHouseStore::new(database.config())?;
    store.positions()?;
    Ok(store)
}

fn row(number: usize) -> Row {
    let row = session(number);
    let values = [
        Value::Text(row.session_id.into()),
        Value::Text(row.user_id.into()),
        Value::Instant(row.start_time),
        Value::Instant(row.end_time),
        Value::UInt(row.duration),
        Value::UInt(row.page_count),
        Value::Text(row.device_category.into()),
    ];
    Row {
        offset: Offset(number as u64),
        epoch: Epoch(1),
        op: Op::Final,
        content: Content::Put(values.into()),
    }
}

/// The row as the server takes it.
fn row_binary(number: usize) -> Vec<u8> {
    let row = session(number);
    let mut bytes = Vec::with_capacity(96);
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push(u8::try_from(text.len()).expect("short names"));
        bytes.extend(text.as_bytes());
    };
    text(&mut bytes, &row.session_id);
    text(&mut bytes, &row.user_id);
    bytes.extend(row.start_time.as_millis().to_le_bytes());
    bytes.extend(row.end_time.as_millis().to_le_bytes());
    bytes.extend(row.duration.to_le_bytes());
    bytes.extend(row.page_count.to_le_bytes());
    text(&mut bytes, &row.device_category);
    bytes.extend(1_u64.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend((number as u64).to_le_bytes());
    bytes
}
