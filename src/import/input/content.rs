//! The bytes of a file, decompressed, no more of them than there were when the file was looked at.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

const BUFFER_BYTES: usize = 128 << 10;

/// How many bytes have been read from the disk, all files together.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// The number so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A source of lines.
pub(crate) type Content = Box<dyn Read + Send>;

/// The content of the file at `path`, up to `bytes` bytes on the disk.
pub(crate) fn open(path: &Path, bytes: u64, is_gzip: bool, progress: &Progress) -> io::Result<Content> {
    let source = Bounded { source: File::open(path)?, left: bytes, progress: progress.clone() };
    Ok(decompressed(source, is_gzip))
}

/// The content of a source that ends by itself.
pub(crate) fn of_stream(source: impl Read + Send + 'static, is_gzip: bool) -> Content {
    decompressed(source, is_gzip)
}

fn decompressed(source: impl Read + Send + 'static, is_gzip: bool) -> Content {
    if is_gzip {
        Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, source)))
    } else {
        Box::new(source)
    }
}

/// Ends after `left` bytes, and fails when there are fewer.
struct Bounded {
    source: File,
    left: u64,
    progress: Progress,
}

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.source.read(&mut buf[..wanted])?;
        if read == 0 {
            return Err(io::Error::other("the file became shorter while it was imported"));
        }
        self.left -= read as u64;
        self.progress.0.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
