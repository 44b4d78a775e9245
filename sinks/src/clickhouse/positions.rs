//! The positions: read from what the server holds, and written after rows.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use tidegate_model::{Epoch, Offset, PartitionId};

use super::binary::{Reader, Truncated, put_optional, put_text};
use super::layout::{POSITIONS, UNREADABLE};
use super::resume::{Facts, resume};
use super::server::Server;
use super::text::{literal, quote};
use super::{garbled, label};
use crate::sink::Topic;
use crate::store::{LastRow, Position, StoreError, TopicPartition};

/// How far one partition is stored, and how many of its rows did not fit so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) position: Position,
    /// Rows of epochs before are of a log that was there before this one. Each log has a row of its own in
    /// `sink_positions`; the newest one counts.
    pub(super) since: Epoch,
    pub(super) unreadable: u64,
}

pub(super) type ByPartition = BTreeMap<TopicPartition, Progress>;

/// Reads them, from `sink_positions` and from the tables of `topics`.
pub(super) fn load(server: &Server, topics: &[Topic]) -> Result<ByPartition, StoreError> {
    let committed = read_committed(server)?;
    let mut facts: BTreeMap<TopicPartition, (&str, Facts)> = BTreeMap::new();
    for (source, progress) in &committed {
        let committed = Some(progress.position);
        facts.insert(source.clone(), (POSITIONS, Facts { committed, table: None }));
    }
    for topic in topics {
        for (partition, last) in read_newest(server, topic, &committed)? {
            let entry = facts.entry((topic.name.clone(), partition)).or_default();
            entry.0 = topic.table.name();
            entry.1.table = Some(last);
        }
    }
    let mut positions = BTreeMap::new();
    for (source, (table, facts)) in facts {
        let position = resume(facts).map_err(|conflict| StoreError::Storage {
            path: label(server, table),
            reason: format!(
                "its row at offset {} of partition {} of topic {} is of epoch {}, but {POSITIONS} has epoch {} \
                 there: they are of two logs; truncate both, and they are written anew",
                conflict.table.offset, source.1, source.0, conflict.table.epoch, conflict.committed.epoch,
            ),
        })?;
        let Some(position) = position else { continue };
        let mut progress = committed.get(&source).copied().unwrap_or_default();
        let counted = progress.position.next;
        if position.next > counted {
            progress.unreadable += count_unreadable(server, &source, progress.since, counted..position.next)?;
        }
        positions.insert(source, Progress { position, ..progress });
    }
    Ok(positions)
}

fn read_committed(server: &Server) -> Result<ByPartition, StoreError> {
    let answer = server.read(&format!(
        "SELECT topic, log_partition, since_version, next_offset, last_offset, last_version, unreadable \
         FROM {}.{} FINAL ORDER BY topic, log_partition, since_version",
        quote(&server.database),
        quote(POSITIONS),
    ));
    let answer = answer.map_err(|failure| failure.of_read(label(server, POSITIONS)))?;
    let read = || -> Result<ByPartition, Truncated> {
        let (mut reader, mut found) = (Reader(&answer), ByPartition::new());
        while !reader.is_empty() {
            let topic: Arc<str> = String::from_utf8_lossy(reader.text()?).into();
            let source = (topic, PartitionId(reader.u32()?));
            let since = Epoch(reader.u64()?);
            let next = Offset(reader.u64()?);
            let last = reader.optional()?.zip(reader.optional()?);
            let last = last.map(|(offset, epoch)| LastRow { offset: Offset(offset), epoch: Epoch(epoch) });
            let position = Position { next, last };
            // The last one of a partition is that of the newest log.
            found.insert(source, Progress { position, since, unreadable: reader.u64()? });
        }
        Ok(found)
    };
    read().map_err(|error| garbled(server, POSITIONS, &error))
}

/// The row with the largest offset of every partition. Rows of epoch 0 say nothing: see [`Facts`]; nor do those of
/// a log that was there before.
fn read_newest(
    server: &Server,
    topic: &Topic,
    committed: &ByPartition,
) -> Result<Vec<(PartitionId, LastRow)>, StoreError> {
    let table = topic.table.name();
    let of_topic =
        committed.iter().filter(|((name, _), progress)| *name == topic.name && progress.since.0 > 0);
    let earlier = of_topic.map(|((_, partition), Progress { since, .. })| {
        format!(" AND NOT (log_partition = {partition} AND version < {since})")
    });
    let answer = server.read(&format!(
        "SELECT log_partition, max(log_offset), argMax(version, log_offset) FROM {}.{} \
         WHERE version > 0{} GROUP BY log_partition",
        quote(&server.database),
        quote(table),
        earlier.collect::<String>(),
    ));
    let answer = answer.map_err(|failure| failure.of_read(label(server, table)))?;
    let read = || -> Result<Vec<_>, Truncated> {
        let (mut reader, mut found) = (Reader(&answer), Vec::new());
        while !reader.is_empty() {
            let partition = PartitionId(reader.u32()?);
            let (offset, epoch) = (Offset(reader.u64()?), Epoch(reader.u64()?));
            found.push((partition, LastRow { offset, epoch }));
        }
        Ok(found)
    };
    read().map_err(|error| garbled(server, table, &error))
}

/// How many rows at these offsets did not fit. They are put before the other rows of their batch, so those that lie
/// before the newest row of a table are all there, whether or not the position was moved.
fn count_unreadable(
    server: &Server,
    (topic, partition): &TopicPartition,
    since: Epoch,
    offsets: Range<Offset>,
) -> Result<u64, StoreError> {
    let answer = server.read(&format!(
        "SELECT uniqExact(log_offset) FROM {}.{} \
         WHERE topic = {} AND log_partition = {partition} AND version >= {since} \
         AND log_offset >= {} AND log_offset < {}",
        quote(&server.database),
        quote(UNREADABLE),
        literal(topic.as_bytes()),
        offsets.start,
        offsets.end,
    ));
    let answer = answer.map_err(|failure| failure.of_read(label(server, UNREADABLE)))?;
    Reader(&answer).u64().map_err(|error| garbled(server, UNREADABLE, &error))
}

/// The row of `sink_positions` that says so.
pub(super) fn row((topic, partition): &TopicPartition, progress: Progress) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_text(&mut bytes, topic.as_bytes());
    bytes.extend(partition.0.to_le_bytes());
    bytes.extend(progress.since.0.to_le_bytes());
    bytes.extend(progress.position.next.0.to_le_bytes());
    put_optional(&mut bytes, progress.position.last.map(|last| last.offset.0));
    put_optional(&mut bytes, progress.position.last.map(|last| last.epoch.0.min(i64::MAX as u64)));
    bytes.extend(progress.unreadable.to_le_bytes());
    bytes
}
