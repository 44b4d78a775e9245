//! Reading everything back, as one source does it.

use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tidegate_log::embedded::{EmbeddedLog, EmbeddedReader, Options};
use tidegate_log::{EventAppender as _, EventReader as _, NewEvent, ReadError};
use tidegate_model::Offset;

use super::{Events, READ_BYTES};
use crate::clock::timed;
use crate::measure::{By, Done, Group};
use crate::{Scale, Table, scratch};

/// Events of an append, which is what a frame of the log holds per partition.
const APPEND_EVENTS: usize = 1_024;

pub(super) fn run(events: &Events, scale: Scale) -> anyhow::Result<Table> {
    let folder = scratch::folder()?;
    let log = EmbeddedLog::open(folder.path(), Options::default())?;
    let appender = log.appender();
    let lines: Vec<_> = events.lines.lines().zip(&events.users).collect();
    for batch in lines.chunks(APPEND_EVENTS) {
        let event = |(line, user): &(&[u8], &String)| NewEvent {
            partition: appender.partition_of(user),
            key: (*user).clone(),
            value: line.to_vec(),
        };
        appender.append_blocking(batch.iter().map(event).collect())?;
    }
    let segments = segments(&folder.path().join("events"))?;
    let expected = (events.count(), events.bytes());
    Group::new("Reading from the embedded log, one thread", By::Cpu, "events", expected.0, expected.1)
        .ceiling("reading its files", || raw(&segments, expected.1))
        .case("a reader", || {
            let mut reader = log.reader();
            let (read, took) = timed(|| read_all(&mut reader));
            assert_eq!(read?, expected);
            Ok(Done { took, note: String::new() })
        })
        .measure(scale)
}

/// Reads every partition to its end: how many events there are, and how many bytes they have.
pub(super) fn read_all(reader: &mut EmbeddedReader) -> Result<(usize, usize), ReadError> {
    let (mut count, mut bytes) = (0, 0);
    for partition in reader.partitions()? {
        let end = reader.bounds(partition)?.end;
        let mut next = Offset::ZERO;
        while next < end {
            next = reader.read(partition, next, READ_BYTES, &mut |record| {
                count += 1;
                bytes += black_box(record.value).len();
            })?;
        }
    }
    Ok((count, bytes))
}

fn segments(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for partition in std::fs::read_dir(folder)? {
        for segment in std::fs::read_dir(partition?.path())? {
            found.push(segment?.path());
        }
    }
    Ok(found)
}

fn raw(paths: &[PathBuf], at_least: usize) -> anyhow::Result<Done> {
    let mut buffer = vec![0; READ_BYTES];
    let (read, took) = timed(|| -> std::io::Result<usize> {
        let mut bytes = 0;
        for path in paths {
            let mut file = File::open(path)?;
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                bytes += read;
            }
            black_box(&buffer);
        }
        Ok(bytes)
    });
    assert!(read? > at_least, "the files hold the events and what is around them");
    Ok(Done { took, note: String::new() })
}
