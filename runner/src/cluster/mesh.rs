//! Timely's connections between the processes.
//!
//! Timely's threads panic when a connection breaks, and have their workers panic. Here a connection that breaks
//! is told of and goes silent instead, so that the run ends by an error that says what happened.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::ManuallyDrop;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::{
    CommsGuard, initialize_networking_from_sockets,
};
use timely::communication::allocator::zero_copy::stream::Stream;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

/// The header of a message of timely's: six numbers of eight bytes, of which the fifth is the length of what follows.
/// The last message has none.
const HEADER: usize = 48;
const LENGTH: std::ops::Range<usize> = 32..40;

/// What is sent and not acknowledged for so long breaks the connection.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// So long may the others take to end their connections, once everybody is done.
const ENDING_PATIENCE: Duration = Duration::from_secs(2);

/// Told which process a connection to broke, and why.
type Lost = Arc<dyn Fn(usize, &io::Error) + Send + Sync>;

/// The connections, before timely has them. Whoever drops them closes them.
pub(crate) struct Mesh {
    process: usize,
    workers: usize,
    /// By process; none to itself.
    pub(super) sockets: Vec<Option<TcpStream>>,
}

/// What is left of them while timely has them.
pub(crate) struct Ends(ManuallyDrop<CommsGuard>);

impl Mesh {
    /// Connections by process; none to itself.
    pub(super) fn new(process: usize, workers: usize, sockets: Vec<Option<TcpStream>>) -> Self {
        Self { process, workers, sockets }
    }

    /// Makes of them what timely builds its workers on. `lost` is told of connections that break.
    ///
    /// # Errors
    /// When the system does not do what is needed.
    pub(crate) fn build(
        self,
        lost: impl Fn(usize, &io::Error) + Send + Sync + 'static,
    ) -> io::Result<(Vec<AllocatorBuilder>, Ends)> {
        let Self { process, workers, sockets } = self;
        let lost: Lost = Arc::new(lost);
        let watched = |(remote, stream): (usize, TcpStream)| {
            give_up_in_time(&stream)?;
            Ok(Watched { stream, remote, lost: Arc::clone(&lost), read: Passed::default() })
        };
        let sockets = sockets.into_iter().enumerate();
        let sockets =
            sockets.map(|(remote, stream)| stream.map(|stream| watched((remote, stream))).transpose());
        let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
        let hooks = Hooks::default();
        let threads = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), None);
        let (builders, guard) =
            initialize_networking_from_sockets(threads, sockets, process, workers, hooks)?;
        Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Ends(ManuallyDrop::new(guard))))
    }
}

impl Ends {
    /// Ends the connections in order, after the workers of this process are done. Where this is not called, the system closes
    /// them with the process: nobody knows then what the others still wait for.
    pub(crate) fn close(self) {
        let guard = ManuallyDrop::into_inner(self.0);
        let ending = std::thread::Builder::new().name("tidegate-mesh".to_owned()).spawn(move || drop(guard));
        let Ok(ending) = ending else { return };
        let until = Instant::now() + ENDING_PATIENCE;
        while !ending.is_finished() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

/// Has the system find out that the other side is gone, even when nothing is sent.
pub(super) fn give_up_in_time(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;

    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, UNACKNOWLEDGED_MAX / 3)?;
    sockopt::set_tcp_keepintvl(stream, UNACKNOWLEDGED_MAX / 3)?;
    sockopt::set_tcp_keepcnt(stream, 2)?;
    #[cfg(target_os = "linux")]
    {
        let millis = u32::try_from(UNACKNOWLEDGED_MAX.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, millis)?;
    }
    Ok(())
}

/// A connection that never fails.
struct Watched {
    stream: TcpStream,
    remote: usize,
    lost: Lost,
    read: Passed,
}

/// How far the messages are that were read.
#[derive(Clone, Debug, Default)]
struct Passed {
    header: Vec<u8>,
    /// Bytes left of the message whose header was read.
    left: u64,
    /// Whether the last message was read.
    is_last: bool,
}

impl Passed {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let passed = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= passed as u64;
                bytes = &bytes[passed..];
                continue;
            }
            let (part, rest) = bytes.split_at(bytes.len().min(HEADER - self.header.len()));
            self.header.extend_from_slice(part);
            bytes = rest;
            if self.header.len() == HEADER {
                let length = self.header[LENGTH].first_chunk().expect("eight bytes");
                self.left = u64::from_be_bytes(*length);
                self.is_last = self.left == 0;
                self.header.clear();
            }
        }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let error = loop {
            match self.stream.read(buffer) {
                Ok(0) if self.read.is_last => return Ok(0),
                Ok(0) => break io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed"),
                Ok(read) => {
                    self.read.pass(&buffer[..read]);
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        (self.lost)(self.remote, &error);
        // The process ends; until then there is nothing to be read.
        loop {
            std::thread::park();
        }
    }
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                (self.lost)(self.remote, &error);
                // The process ends; until then nobody misses it.
                Ok(bytes.len())
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Watched {
    fn try_clone(&self) -> io::Result<Self> {
        let stream = self.stream.try_clone()?;
        Ok(Self { stream, remote: self.remote, lost: Arc::clone(&self.lost), read: self.read.clone() })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        // One that is broken already is shut down.
        let _ = self.stream.shutdown(how);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use timely::communication::networking::MessageHeader;

    use super::*;

    #[test]
    fn the_last_message_is_told_from_zeros() {
        let header = |length| MessageHeader {
            channel: 1,
            source: 0,
            target_lower: 0,
            target_upper: 1,
            length,
            seqno: 2,
        };
        let mut bytes = Vec::new();
        header(100).write_to(&mut bytes).expect("memory");
        bytes.extend([0; 100]);
        for cut in [1, 7, 48, 200] {
            let mut read = Passed::default();
            bytes.chunks(cut).for_each(|piece| read.pass(piece));
            assert!(!read.is_last, "these are what a message says");
            let mut last = Vec::new();
            header(0).write_to(&mut last).expect("memory");
            last.chunks(cut).for_each(|piece| read.pass(piece));
            assert!(read.is_last);
        }
    }
}
