//! Finding the segments of a partition again when the log is opened.
//!
//! Only the last segment can have a torn tail, because a segment is followed by another one only when
//! all of it is durable. The tail is cut off and reported. Older segments are checked when they are
//! read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_model::PartitionId;

use super::error::OpenError;
use super::files::{Files, StoredFile};
use super::frame::{FrameFault, FrameHeader, HEADER_BYTES, find_magic};
use super::partition::{Partition, SegmentInfo, Segments};
use super::segment::{
    HeaderFault, SEGMENT_VERSION, ScanError, Scanner, base_of_name, check_header, segment_name,
};
use super::writer::{Active, PartitionWriter};

/// How much is read at once.
const SEARCH_BYTES: usize = 1 << 20;

/// A partition that was opened: what is shared, and what only its writer has.
pub(super) struct Opened {
    pub(super) partition: Partition,
    pub(super) writer: PartitionWriter,
}

/// The last segment, after its tail was cut.
struct Last {
    info: SegmentInfo,
    file: Box<dyn StoredFile>,
    end: u64,
    append_ms: i64,
}

/// Opens a partition, whose directory may be new.
pub(super) fn open_partition(
    files: &Arc<dyn Files>,
    id: PartitionId,
    dir: PathBuf,
) -> Result<Opened, OpenError> {
    let storage = |error: io::Error| OpenError::storage(&dir, &error);
    let mut bases: Vec<u64> =
        files.list(&dir).map_err(storage)?.iter().filter_map(|name| base_of_name(name)).collect();
    bases.sort_unstable();
    // The process before may have died before the name of the newest segment was durable.
    files.sync_dir(&dir).map_err(storage)?;

    // What a crash left of a segment that was just being created holds nothing; it is created again.
    let mut unborn = None;
    if let Some(base) = bases.last().copied()
        && open_segment(files.as_ref(), id, &dir, base)?.is_none()
    {
        bases.pop();
        unborn = Some(base);
    }

    let mut segments = Segments::default();
    let Some(last_base) = bases.pop() else {
        segments.end = unborn.unwrap_or(0);
        let writer = PartitionWriter::new(None, segments.end, i64::MIN);
        return Ok(Opened { partition: Partition::new(id, dir, segments), writer });
    };
    for base in bases {
        let path = dir.join(segment_name(base));
        let Some((file, len)) = open_segment(files.as_ref(), id, &dir, base)? else {
            let reason = "its header is not all there, although another segment follows".to_owned();
            return Err(OpenError::Damaged { path: path.display().to_string(), at: 0, reason });
        };
        let mut scanner = Scanner::new(file, path.clone(), Vec::new());
        // A frame that is damaged is reported to whoever reads it; here it only has no time.
        let first_append_ms = match scanner.frame(base, len) {
            Ok(frame) => frame.map(|(header, _)| header.append_time_ms),
            Err(ScanError::Fault { .. }) => None,
            Err(ScanError::Io(error)) => return Err(OpenError::storage(&path, &error)),
        };
        segments.list.push(SegmentInfo::new(base, path, len, first_append_ms));
    }
    let mut last = open_last(files.as_ref(), id, &dir, last_base, unborn)?;
    if last.end == last_base
        && let Some(before) = segments.list.last()
    {
        // Append times go on from those of the segment before one that is still empty.
        let before = open_last(files.as_ref(), id, &dir, before.base, Some(last_base))?;
        last.append_ms = before.append_ms;
    }
    segments.end = last.end;
    let active = Active { file: last.file, path: last.info.path.clone(), base: last_base };
    let active_bytes = last.info.durable_bytes;
    segments.list.push(last.info);
    // The segment before one that was being created had been full.
    let active = if unborn.is_some() { None } else { Some((active, active_bytes)) };
    let writer = PartitionWriter::new(active, segments.end, last.append_ms);
    Ok(Opened { partition: Partition::new(id, dir, segments), writer })
}

type FileAndLength = (Box<dyn StoredFile>, u64);

/// Opens a segment and checks its header; `None` when that is torn. Also says the file's length.
fn open_segment(
    files: &dyn Files,
    id: PartitionId,
    dir: &Path,
    base: u64,
) -> Result<Option<FileAndLength>, OpenError> {
    let path = dir.join(segment_name(base));
    let storage = |error: io::Error| OpenError::storage(&path, &error);
    let file = files.open(&path).map_err(storage)?;
    let len = file.len().map_err(storage)?;
    let name = || path.display().to_string();
    match check_header(file.as_ref(), len, id, base).map_err(storage)? {
        Ok(()) => Ok(Some((file, len))),
        Err(HeaderFault::Torn) => Ok(None),
        Err(HeaderFault::Wrong(at, reason)) => {
            Err(OpenError::Damaged { path: name(), at, reason: reason.to_owned() })
        }
        Err(HeaderFault::Newer(found)) => {
            Err(OpenError::NewerFormat { path: name(), found, supported: SEGMENT_VERSION })
        }
    }
}

/// Reads the last segment to its end and cuts off what is torn. `followed_by` says that a segment
/// follows that begins there, so that nothing can be torn.
fn open_last(
    files: &dyn Files,
    id: PartitionId,
    dir: &Path,
    base: u64,
    followed_by: Option<u64>,
) -> Result<Last, OpenError> {
    let path = dir.join(segment_name(base));
    let storage = |error: io::Error| OpenError::storage(&path, &error);
    let damaged = |at, reason: String| OpenError::Damaged { path: path.display().to_string(), at, reason };
    let Some((file, len)) = open_segment(files, id, dir, base)? else {
        return Err(damaged(0, "its header is not all there, although another segment follows".to_owned()));
    };
    let mut info = SegmentInfo::new(base, path.clone(), len, None);
    let mut scanner = Scanner::new(file, path.clone(), Vec::new());
    let (mut end, mut last_append_ms) = (base, i64::MIN);
    // Where the last write whose frames are all there ends: position and offset. And where it began,
    // which is up to where the file was durable then.
    let mut whole = (scanner.position(), base);
    let mut durable = 0;
    let torn = loop {
        let position = scanner.position();
        match scanner.frame(end, len) {
            Ok(None) if whole.0 == len => break None,
            Ok(None) => break Some((len, FrameFault::CutShort)),
            Ok(Some((header, _))) => {
                info.note(header.base, position);
                info.first_append_ms.get_or_insert(header.append_time_ms);
                last_append_ms = last_append_ms.max(header.append_time_ms);
                end = header.end();
                if header.followed_by == 0 {
                    whole = (scanner.position(), end);
                    durable = header.durable_at.min(position);
                }
            }
            Err(ScanError::Io(error)) => return Err(storage(error)),
            Err(ScanError::Fault { at, fault }) => break Some((at, fault)),
        }
    };
    let file = scanner.into_file();
    if let Some((at, fault)) = torn {
        if let Some(next) = followed_by {
            return Err(damaged(at, format!("{fault}, although offset {next} was written later")));
        }
        if let Some(later) = durable_before_a_later_frame(file.as_ref(), at, len).map_err(storage)? {
            return Err(damaged(at, format!("{fault}, although byte {later} was written later")));
        }
        tracing::warn!(
            path = %path.display(), at, %fault, cut_to = whole.0, bytes = len - whole.0, next_offset = whole.1,
            "cut off the torn end of the log; nothing in it had been acknowledged"
        );
        file.truncate(whole.0).map_err(storage)?;
        info.cut(whole.0);
    } else if let Some(next) = followed_by.filter(|next| *next != end) {
        return Err(damaged(len, format!("it ends at offset {end}, but the next segment begins at {next}")));
    }
    make_durable(file.as_ref(), durable, whole.0).map_err(storage)?;
    Ok(Last { info, file, end: whole.1, append_ms: last_append_ms })
}

/// Makes what was found durable, before anybody sees it. The process before may have died between the
/// write and the sync; or its sync had failed, after which the system shows bytes that are not on the
/// disk and, asked to sync them, says that it has. Only bytes that are written again are surely synced.
fn make_durable(file: &dyn StoredFile, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; SEARCH_BYTES];
    let mut at = from;
    while at < to {
        let wanted = usize::try_from(to - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.read_at(&mut buffer[..wanted], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&buffer[..read], at)?;
        at += read as u64;
    }
    file.sync()
}

/// Whether the bytes at `at` had been durable: then an intact frame follows that was written when they
/// were, and says so. Returns where it begins.
fn durable_before_a_later_frame(file: &dyn StoredFile, at: u64, len: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; SEARCH_BYTES];
    let mut position = at + 1;
    while position + HEADER_BYTES as u64 <= len {
        let read = file.read_at(&mut buffer, position)?;
        let mut from = 0;
        while let Some(found) = find_magic(&buffer[..read], from) {
            let candidate = position + found as u64;
            if is_later_frame(file, candidate, len, at)? {
                return Ok(Some(candidate));
            }
            from = found + 1;
        }
        if read < HEADER_BYTES {
            break;
        }
        // The magic bytes may lie across the end of what was read.
        position += (read - 3) as u64;
    }
    Ok(None)
}

fn is_later_frame(file: &dyn StoredFile, at: u64, len: u64, durable: u64) -> io::Result<bool> {
    let mut header = [0; HEADER_BYTES];
    if file.read_at(&mut header, at)? < HEADER_BYTES {
        return Ok(false);
    }
    let Ok(header) = FrameHeader::parse(&header) else { return Ok(false) };
    let plausible = header.durable_at > durable && header.durable_at <= at;
    if !plausible || header.frame_bytes() as u64 > len - at {
        return Ok(false);
    }
    let mut frame = vec![0; header.frame_bytes()];
    let read = file.read_at(&mut frame, at)?;
    Ok(read == frame.len() && header.verify(&frame).is_ok())
}
