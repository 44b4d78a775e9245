//! The import as a user runs it: the built program, from a file to closed windows in the tables.

mod program;

use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::path::Path;

use anyhow::ensure;

use self::program::Program;
use crate::clock::timed;
use crate::measure::{By, Done, Group};
use crate::workload::{JsonLines, Workload, access_log};
use crate::{Scale, Table, scratch};

const LINES: usize = 300_000;
const READ_BYTES: usize = 256 << 10;

/// Measures imports of an access log and of JSON Lines.
///
/// # Errors
/// When the program cannot be built or fails, or the disk does.
pub fn run(scale: Scale) -> anyhow::Result<Vec<Table>> {
    let program = Program::find(scale)?;
    let folder = scratch::folder()?;
    let count = scale.of(LINES);
    let json = JsonLines::new(Workload::new(5), count).bytes;
    let mut tables = Vec::new();
    for (title, name, bytes) in [
        ("Importing an access log", "access.log", access_log(Workload::new(5), count)),
        ("Importing JSON Lines", "events.jsonl", json),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes)?;
        tables.push(measure(&program, title, &path, count, bytes.len(), scale)?);
    }
    Ok(tables)
}

fn measure(
    program: &Program,
    title: &str,
    path: &Path,
    lines: usize,
    bytes: usize,
    scale: Scale,
) -> anyhow::Result<Table> {
    let import = |workers: usize| {
        move || {
            let folder = scratch::folder()?;
            let (imported, took) = timed(|| program.import(path, folder.path(), workers));
            imported?;
            let counted = program.events(folder.path())?;
            ensure!(counted == lines, "{counted} of {lines} events are in windows");
            Ok(Done { took, note: format!("{} sessions", program.sessions(folder.path())?) })
        }
    };
    let title = format!("{title}, end to end");
    Group::new(title, By::Wall, "lines", lines, bytes)
        .rounds(3)
        .ceiling("line scan", move || {
            let (found, took) = timed(|| scan(path));
            ensure!(found? == lines, "the file was written with {lines} lines");
            Ok(Done { took, note: String::new() })
        })
        .ceiling("copy and fsync", move || copy(path))
        .case("`tidegate import --workers 1`", import(1))
        .case("`tidegate import --workers 2`", import(2))
        .measure(scale)
}

fn scan(path: &Path) -> std::io::Result<usize> {
    let (mut file, mut buffer, mut lines) = (File::open(path)?, vec![0; READ_BYTES], 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', black_box(&buffer[..read])).count();
    }
}

fn copy(path: &Path) -> anyhow::Result<Done> {
    let folder = scratch::folder()?;
    let (copied, took) = timed(|| -> std::io::Result<()> {
        // Not `fs::copy`, which shares the blocks where the file system can.
        let (mut from, mut to) = (File::open(path)?, File::create(folder.path().join("copy"))?);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                return to.sync_all();
            }
            std::io::Write::write_all(&mut to, &buffer[..read])?;
        }
    });
    copied?;
    Ok(Done { took, note: String::new() })
}
